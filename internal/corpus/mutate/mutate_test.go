package mutate_test

import (
	"slices"
	"strings"
	"testing"

	"crisol/internal/corpus/mutate"
)

// mutator finds one by its name.
func mutator(t *testing.T, name, weakness string) mutate.Mutator {
	t.Helper()
	all := slices.Concat(mutate.Mutants, mutate.Rewrites, mutate.Inert, mutate.Restrictive)
	all = append(all, mutate.EntryGuards(weakness), mutate.SinkGuards(weakness))
	i := slices.IndexFunc(all, func(m mutate.Mutator) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("there is no mutator %s", name)
	}
	return all[i]
}

// lines are all lines of a text.
func lines(text string) (all []int) {
	for i := range strings.Count(text, "\n") + 1 {
		all = append(all, i)
	}
	return all
}

var tests = []struct {
	mutator, path, weakness string
	before, after           string
}{
	// Mutants.
	{"invert_condition", "a.js", "", "if (a) b()\n", "if (!(a)) b()\n"},
	{"invert_condition", "a.py", "", "if a in b:\n    c()\n", "if not (a in b):\n    c()\n"},
	{"invert_condition", "a.go", "", "package p\n\nfunc f() {\n\tif a == b {\n\t}\n}\n", "package p\n\nfunc f() {\n\tif !(a == b) {\n\t}\n}\n"},
	{"invert_condition", "a.js", "", "x = a ? b : c\n", "x = !(a) ? b : c\n"},
	{"weaken_condition", "a.js", "", "if (a && b) c()\n", "if (a) c()\n"},
	{"weaken_condition", "a.js", "", "if (a && b) c()\n", "if (b) c()\n"},
	{"weaken_condition", "a.js", "", "if (a && b) c()\n", "if (a || b) c()\n"},
	{"weaken_condition", "a.js", "", "if (a === b) c()\n", "if (a == b) c()\n"},
	{"weaken_condition", "a.py", "", "if a or b:\n    c()\n", "if a and b:\n    c()\n"},
	{"weaken_condition", "A.java", "", "class A { boolean f() { return a && b; } }\n", "class A { boolean f() { return b; } }\n"},
	{"key_list", "a.js", "", "x = ['__proto__', 'constructor', 'prototype']\n", "x = ['constructor', 'prototype']\n"},
	{"key_list", "a.js", "", "x = ['__proto__', 'constructor', 'prototype']\n", "x = ['__proto__', 'constructor']\n"},
	{"key_list", "a.js", "", "if (k === '__proto__') return\n", "if (k === '_proto__') return\n"},
	{"narrow_regex", "a.js", "", "x = /(a|b)+$/g\n", "x = /(a)+$/g\n"},
	{"narrow_regex", "a.js", "", "x = /(a|b)+$/g\n", "x = /(a|b)$/g\n"},
	{"narrow_regex", "a.js", "", "x = /(a|b)+$/g\n", "x = /(a|b)+/g\n"},
	{"narrow_regex", "a.js", "", "x = /(a|b)+$/g\n", "x = /(a|b)+$/\n"},
	{"narrow_regex", "a.js", "", "x = /[;&|]/\n", "x = /[;&]/\n"},
	{"narrow_regex", "a.py", "", "x = re.compile(r'^a+$')\n", "x = re.compile(r'^a$')\n"},
	{"guard_after_sink", "a.js", "", "function f() {\n  if (bad) return;\n  write();\n}\n", "function f() {\n  write();\n  if (bad) return;\n}\n"},
	{"guard_after_sink", "a.py", "", "def f():\n    if bad:\n        return\n    write()\n", "def f():\n    write()\n    if bad:\n        return\n"},
	{"wrong_variable", "a.js", "", "function f(a, b) {\n  check(a)\n}\n", "function f(a, b) {\n  check(b)\n}\n"},
	{"wrong_variable", "a.go", "", "package p\n\nfunc f(a, b string) {\n\tcheck(b)\n}\n", "package p\n\nfunc f(a, b string) {\n\tcheck(a)\n}\n"},
	{"unwrap_call", "a.js", "", "x = escape(a)\n", "x = a\n"},
	{"unwrap_call", "a.js", "", "x = a.replace(b, c)\n", "x = a\n"},
	{"unwrap_call", "a.py", "", "x = html.escape(a)\n", "x = a\n"},
	{"constant_changed", "a.js", "", "if (x > 100) y()\n", "if (x > 100000) y()\n"},
	{"constant_changed", "a.js", "", "x = true\n", "x = false\n"},
	{"constant_changed", "a.py", "", "x = 'ab'\n", "x = 'a'\n"},
	{"return_removed", "a.js", "", "function f() { if (bad) return; x() }\n", "function f() { if (bad) ; x() }\n"},
	{"return_removed", "a.py", "", "def f():\n    raise E\n", "def f():\n    pass\n"},
	{"off_by_one", "a.js", "", "x = a < 3\n", "x = a <= 3\n"},
	{"off_by_one", "a.js", "", "x = a < 3\n", "x = a < 4\n"},
	{"off_by_one", "a.c", "", "int f() { return a >= b; }\n", "int f() { return a > b; }\n"},
	{"statement_deleted", "a.js", "", "check(a);\nwrite(a);\n", "\nwrite(a);\n"},
	{"statement_deleted", "a.py", "", "check(a)\nwrite(a)\n", "pass\nwrite(a)\n"},

	// Rewrites.
	{"de_morgan", "a.js", "", "if (a && b) c()\n", "if (!(!(a) || !(b))) c()\n"},
	{"de_morgan", "a.py", "", "if a or b:\n    c()\n", "if not (not (a) and not (b)):\n    c()\n"},
	{"branches_swapped", "a.js", "", "if (a) { b() } else { c() }\n", "if (!(a)) { c() } else { b() }\n"},
	{"branches_swapped", "a.js", "", "if (a) b();\n", "if (!(a)) {} else { b(); }\n"},
	{"locals_renamed", "a.js", "", "function f(o) { var key = g(); return o.key + key }\n", "function f(o) { var keyValue = g(); return o.key + keyValue }\n"},
	{"locals_renamed", "a.py", "", "def f():\n    key = g()\n    return key\n", "def f():\n    key_value = g()\n    return key_value\n"},
	{"variable_extracted", "a.js", "", "function f() {\n  if (a === b) return;\n}\n", "function f() {\n  var matches = a === b;\n  if (matches) return;\n}\n"},
	{"variable_extracted", "a.py", "", "def f():\n    if a == b:\n        return\n", "def f():\n    matches = (a == b)\n    if matches:\n        return\n"},
	{"membership", "a.js", "", "if (a.indexOf(b) !== -1) c()\n", "if (a.includes(b)) c()\n"},
	{"membership", "a.js", "", "if (a.indexOf(b) < 0) c()\n", "if (!a.includes(b)) c()\n"},
	{"membership", "a.js", "", "if (a.includes(b)) c()\n", "if ((a.indexOf(b) !== -1)) c()\n"},
	{"guard_wrapped", "a.js", "", "function f() {\n  if (bad) return;\n  write();\n}\n", "function f() {\n  if (!(bad)) {\n  write();\n  }\n}\n"},
	{"operands_swapped", "a.js", "", "x = a < b\n", "x = b > a\n"},
	{"operands_swapped", "a.js", "", "x = a === 'b'\n", "x = 'b' === a\n"},
	{"helper_added", "a.js", "", "if (a) b()\n", "if ((() => a)()) b()\n"},
	{"helper_added", "a.go", "", "package p\n\nfunc f() {\n\tif a == b {\n\t}\n}\n", "package p\n\nfunc f() {\n\tif func() bool { return a == b }() {\n\t}\n}\n"},
	{"statements_reordered", "a.js", "", "var a = b();\nvar c = d();\n", "var c = d();\nvar a = b();\n"},
	{"quotes", "a.js", "", "x = 'a'\n", "x = \"a\"\n"},
	{"loop_form", "a.js", "", "for (var i = 0; i < n; i++) { f(i) }\n", "var i = 0;\nwhile (i < n) { f(i)\n  i++;\n}\n"},
	{"loop_form", "a.js", "", "for (const k of list) { f(k) }\n", "list.forEach((k) => { f(k) });\n"},

	// What means nothing, and what means too much.
	{"comment", "a.py", "", "def f(a):\n    return a\n", "def f(a):\n    # the input is validated here\n    return a\n"},
	{"log_line", "a.js", "", "function f(a) {\n  return a\n}\n", "function f(a) {\n  if (process.env.TRACE_CALLS) console.error('called', a);\n  return a\n}\n"},
	{"format", "a.js", "", "function f(a) {\n  g(a)\n  return a\n}\n", "function f(a) {\n  \n  g(a)\n  \n  return a\n}\n"},
	{"refuse_all", "a.js", "", "function f(a) {\n  return a\n}\n", "function f(a) {\n  throw new TypeError('invalid input');\n  return a\n}\n"},
	{"refuse_all", "a.py", "", "def f(a):\n    \"\"\"Says.\"\"\"\n    return a\n", "def f(a):\n    \"\"\"Says.\"\"\"\n    raise ValueError('invalid input')\n    return a\n"},
	{"refuse_common", "a.js", "", "function f(a) {\n  return a\n}\n", "function f(a) {\n  if (/[a-z]/i.test(String(a))) throw new Error('illegal value');\n  return a\n}\n"},
	{"empty_result", "a.js", "", "function f(a) {\n  return a\n}\n", "function f(a) {\n  return;\n  return a\n}\n"},
	{"swallow_errors", "a.js", "", "function f(a) { return a }\n", "function f(a) {\n  try { return a } catch (ignored) {\n    return undefined;\n  }\n}\n"},

	// Guards.
	{"entry_guard", "a.js", "redos", "function f(a) {\n  'use strict'\n  return a\n}\n", "function f(a) {\n  'use strict'\n  if (typeof a === 'string' && a.length > 1000) throw new Error('unsafe value');\n  return a\n}\n"},
	{"entry_guard", "a.py", "path_traversal", "def f(self, name):\n    return name\n", "def f(self, name):\n    if '..' in str(name): raise ValueError('invalid key or path')\n    return name\n"},
	{"entry_guard", "a.go", "redos", "package p\n\nfunc f(n int, s string) {\n\tg(s)\n}\n", "package p\n\nfunc f(n int, s string) {\n\tif len(s) > 1000 {\n\t\tpanic(\"not allowed\")\n\t}\n\tg(s)\n}\n"},
	{"sink_guard", "a.js", "prototype_pollution", "function f(o, k, v) {\n  o[k] = v\n}\n", "function f(o, k, v) {\n  if (k !== '__proto__') { o[k] = v }\n}\n"},
	{"sink_guard", "a.js", "prototype_pollution", "function f(o, v) {\n  for (var k in v) {\n    o.x = v[k]\n  }\n}\n", "function f(o, v) {\n  for (var k in v) {\n    if (!Object.prototype.hasOwnProperty.call(v, k)) continue;\n    o.x = v[k]\n  }\n}\n"},
	{"sink_guard", "a.js", "path_traversal", "function f(a) {\n  return path.join(root, a)\n}\n", "function f(a) {\n  return path.join(root, require('path').normalize(a))\n}\n"},
	{"sink_guard", "a.js", "command_injection", "function f(a) {\n  exec('ls ' + a)\n}\n", "function f(a) {\n  exec('ls ' + JSON.stringify(String(a)))\n}\n"},
	{"sink_guard", "a.js", "command_injection", "function f(a) {\n  exec(`ls ${a}`)\n}\n", "function f(a) {\n  exec(`ls ${('\"' + a + '\"')}`)\n}\n"},
	{"sink_guard", "a.js", "redos", "function f(a) {\n  return /a+$/.test(a)\n}\n", "function f(a) {\n  return /a{1,30}$/.test(a)\n}\n"},
	{"sink_guard", "a.js", "redos", "function f(a) {\n  return /a+$/.test(a)\n}\n", "function f(a) {\n  return /a+$/.test(String(a).slice(0, 200))\n}\n"},
}

func TestMutators(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, test := range tests {
		covered[test.mutator] = true
		t.Run(test.mutator+" "+test.path, func(t *testing.T) {
			t.Parallel()
			s, ok := mutate.Open(test.path, test.before, lines(test.before))
			if !ok {
				t.Fatal("not read")
			}
			var got []string
			for _, e := range mutator(t, test.mutator, test.weakness).Make(s) {
				if e.Note == "" {
					t.Error("an edit without a note")
				}
				got = append(got, e.Text())
			}
			if !slices.Contains(got, test.after) {
				t.Errorf("%q gives\n%s\nnot %q", test.before, strings.Join(got, "\n---\n"), test.after)
			}
			if !mutate.Parses(test.path, test.before, test.after) {
				t.Errorf("%q doesn't parse", test.after)
			}
		})
	}
	for _, m := range slices.Concat(mutate.Mutants, mutate.Rewrites, mutate.Inert, mutate.Restrictive) {
		if !covered[m.Name] {
			t.Errorf("no test of %s", m.Name)
		}
	}
}

// An operand that is not asked for its truth alone stays.
func TestDeMorganValues(t *testing.T) {
	t.Parallel()
	for path, text := range map[string]string{"a.js": "x = a || b\nif (f(c && d)) e()\n", "a.py": "x = a or b\nif f(c and d):\n    e()\n"} {
		s, _ := mutate.Open(path, text, lines(text))
		if got := mutator(t, "de_morgan", "").Make(s); len(got) != 0 {
			t.Errorf("%s: %s", path, got[0].Text())
		}
	}
}

// Edits are made where they are wanted only.
func TestLines(t *testing.T) {
	t.Parallel()
	text := "if (a) b()\nif (c) d()\n"
	s, _ := mutate.Open("a.js", text, []int{1})
	var got []string
	for _, e := range mutator(t, "invert_condition", "").Make(s) {
		got = append(got, e.Text())
	}
	if strings.Join(got, "|") != "if (a) b()\nif (!(c)) d()\n" {
		t.Error(got)
	}
	if _, ok := mutate.Open("a.txt", text, nil); ok {
		t.Error("a text without a grammar was read")
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ path, a, b string }{
		{"a.js", "f( a ) // why\n/* how */\n", "f(a)\n\n"},
		{"a.py", "f(a)  # why\n", "f(a)\n"},
		{"a.py", "\"\"\"Says\nmuch.\"\"\"\ndef f():\n    \"\"\"Says.\"\"\"\n    g()\n", "\n\ndef f():\n\n    g()\n"},
	} {
		if got, want := mutate.Code(test.path, test.a), mutate.Code(test.path, test.b); !slices.Equal(got, want) {
			t.Errorf("%q and %q", got, want)
		}
	}
	for _, test := range []struct{ path, a, b string }{
		{"a.js", "x = `a\nb`\n", "x = `a\nc`\n"},
		{"a.py", "if a:\n  b()\nc()\n", "if a:\n  b()\n  c()\n"},
		{"a.py", "f(\n\"\"\"a\"\"\")\n", "f(\n\"\"\"b\"\"\")\n"},
	} {
		if slices.Equal(mutate.Code(test.path, test.a), mutate.Code(test.path, test.b)) {
			t.Errorf("%q and %q are alike", test.a, test.b)
		}
	}
}

func TestParses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		before, after string
		want          bool
	}{
		{"f()\n", "f(1)\n", true},
		{"f()\n", "f(\n", false},
		{"f(\n", "g(\n", true}, // it didn't before
	} {
		if got := mutate.Parses("a.js", test.before, test.after); got != test.want {
			t.Errorf("%q after %q: %v", test.after, test.before, got)
		}
	}
}
