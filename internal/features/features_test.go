package features

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"crisol/internal/diff"
)

// unified is a diff of two texts with one hunk, all lines of context among it.
func unified(path, before, after string) string {
	a, b := strings.Split(strings.TrimSuffix(before, "\n"), "\n"), strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	head, tail := 0, 0
	for head < min(len(a), len(b)) && a[head] == b[head] {
		head++
	}
	for tail < min(len(a), len(b))-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	from, until := max(head-3, 0), min(tail, 3)
	var out strings.Builder
	fmt.Fprintf(&out, "--- a/%s\n+++ b/%s\n@@ -%d,%d +%d,%d @@\n", path, path, from+1, len(a)-tail+until-from, from+1, len(b)-tail+until-from)
	for _, line := range a[from:head] {
		out.WriteString(" " + line + "\n")
	}
	for _, line := range a[head : len(a)-tail] {
		out.WriteString("-" + line + "\n")
	}
	for _, line := range b[head : len(b)-tail] {
		out.WriteString("+" + line + "\n")
	}
	for _, line := range a[len(a)-tail : len(a)-tail+until] {
		out.WriteString(" " + line + "\n")
	}
	return out.String()
}

func mustPatch(t testing.TB, text string) *diff.Patch {
	t.Helper()
	p, err := diff.Parse([]byte(text), diff.Limits{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// change is an input of one file.
func change(t testing.TB, class, path, before, after string) Input {
	return Input{
		Vulnerability: Vulnerability{Type: class, Severity: "high", Ecosystem: "npm"},
		Patch:         mustPatch(t, unified(path, before, after)), Files: []File{{path, []byte(before)}},
	}
}

func featureAt(name string) int { return slices.Index(Names(), name) }

const setter = `function set(obj, path, value) {
  var keys = path.split('.')
  for (var i = 0; i < keys.length; i++) {
    var key = keys[i]
    obj[key] = value
    obj = obj[key]
  }
}
`

const fileReader = `const fs = require('fs')
function serve(root, name, cb) {
  const file = path.join(root, name)
  fs.readFile(file, cb)
}
`

const runner = `const cp = require('child_process')
function run(name, cb) {
  cp.exec('git log ' + name, cb)
}
`

const copier = `int copy(char *dst, const char *src, size_t n) {
  char buf[64];
  memcpy(buf, src, n);
  return use(buf, dst);
}
`

func TestWeaknesses(t *testing.T) {
	with := func(text, old, new string) string {
		if !strings.Contains(text, old) {
			panic("no " + old)
		}
		return strings.Replace(text, old, new, 1)
	}
	guard := func(condition string) string {
		return with(setter, "    obj[key] = value\n", "    if ("+condition+") return\n    obj[key] = value\n")
	}
	for _, test := range []struct {
		name, class, path, before, after string
		want                             want
	}{
		{"key guard", "prototype_pollution", "a.js", setter, guard("key === '__proto__' || key === 'constructor' || key === 'prototype'"),
			want{"sinks_after": 1, "guards_new": 1, "guards_right": 3, "guards_wrong": 0, "guard_covers": 1, "sink_share_new": 1, "pollution_names": 3, "guard_deny": 3, "guard_contradiction": 0, "exits_added": 1, "conditions_added": 1}},
		{"inverted", "prototype_pollution", "a.js", setter, guard("key !== '__proto__'"), want{"guards_right": 0, "guards_wrong": 1, "guard_covers": 1, "pollution_names": 1}},
		{"contradiction", "prototype_pollution", "a.js", setter, guard("key === '__proto__' && key === 'constructor'"), want{"guard_contradiction": 1}},
		{"other variable", "prototype_pollution", "a.js", setter, guard("value === '__proto__'"), want{"guard_covers": 0, "guard_other": 1, "sink_share_new": 0}},
		{"after the write", "prototype_pollution", "a.js", setter, with(setter, "    obj = obj[key]\n", "    if (key === '__proto__') return\n    obj = obj[key]\n"), want{"guard_covers": 0, "guard_late": 1, "sink_share_new": 0}},
		{"list and function", "prototype_pollution", "a.js", setter, "const bad = ['__proto__', 'constructor', 'prototype']\n" + guard("bad.includes(key)"), want{"guards_right": 1, "guard_deny": 1, "pollution_names": 3, "sink_share_new": 1}},
		{"helper", "prototype_pollution", "a.js", setter, "function odd(k) { return k === '__proto__' || k === 'constructor' }\n" + guard("odd(key)"), want{"guards_right": 1, "guards_wrong": 0, "guard_covers": 1, "functions_added": 1}},
		{"indexOf", "prototype_pollution", "a.js", setter, guard("['__proto__', 'prototype'].indexOf(key) !== -1"), want{"guards_right": 1, "guards_wrong": 0}},
		{"indexOf inverted", "prototype_pollution", "a.js", setter, guard("['__proto__', 'prototype'].indexOf(key) === -1"), want{"guards_right": 0, "guards_wrong": 1}},
		{"own", "prototype_pollution", "a.js", setter, guard("!Object.prototype.hasOwnProperty.call(obj, key)"), want{"pollution_own": 1, "guard_covers": 1}},
		{"wrapped", "prototype_pollution", "a.js", setter, with(setter, "    obj[key] = value\n", "    if (key !== '__proto__') {\n      obj[key] = value\n    }\n"), want{"guards_right": 1, "guards_wrong": 0, "guard_covers": 1, "sink_share_new": 1}},
		{"null object", "prototype_pollution", "a.js", setter, with(setter, "    obj[key] = value\n", "    obj[key] = Object.create(null)\n"), want{"pollution_null_object": 1}},
		{"emptied", "prototype_pollution", "a.js", setter, "function set(obj, path, value) {\n  throw new Error('no')\n}\n", want{"sinks_removed": 1, "emptied": 1}},
		{"early return", "prototype_pollution", "a.js", setter, with(setter, "  var keys", "  return\n  var keys"), want{"unconditional_exit": 1}},

		{"expression narrowed", "redos", "a.js", "exports.f = s => /^(a+)+$/.test(s)\n", "exports.f = s => /^a+$/.test(s)\n", want{"regex_before": 3, "regex_after": 0, "regex_anchored": 1}},
		{"still ambiguous", "redos", "a.js", "exports.f = s => /^(a+)+$/.test(s)\n", "exports.f = s => /^(a+)+b?$/.test(s)\n", want{"regex_before": 3, "regex_after": 3}},
		{"another stays", "redos", "a.js", "exports.f = s => {\n  if (/(x+)+y/.test(s)) return 1\n  return s.trim()\n}\n", "exports.f = s => {\n  if (/(x+)+y/.test(s)) return 1\n  return s\n}\n", want{"regex_before": 0, "regex_remaining": 3}},
		{"length limit", "redos", "a.js", "exports.f = s => {\n  return /(x+)+y/.test(s)\n}\n", "exports.f = s => {\n  if (s.length > 100) return false\n  return /(x+)+y/.test(s)\n}\n", want{"limits_added": 1, "guard_covers": 1, "sink_share_new": 1, "guards_right": 1, "guards_wrong": 0, "regex_remaining": 3}},
		{"python", "redos", "a.py", "import re\ndef f(s):\n    return re.match(r'(a|a)*b', s)\n", "import re\ndef f(s):\n    return re.match(r'a*b', s)\n", want{"regex_before": 3, "regex_after": 1}},

		{"argument list", "command_injection", "a.js", runner, with(runner, "cp.exec('git log ' + name, cb)", "cp.execFile('git', ['log', name], cb)"), want{"command_vector": 1, "command_shell": -1}},
		{"quoted", "command_injection", "a.js", runner, with(runner, "+ name", "+ shellQuote(name)"), want{"escape_calls": 1, "wraps_sink": 1, "sink_share_new": 1}},
		{"reassigned", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  name = escapeArg(name)\n  cp.exec"), want{"reassigns": 1, "sink_share_new": 1, "result_unused": 0}},
		{"result dropped", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  escape(name)\n  cp.exec"), want{"result_unused": 1, "sink_share_new": 0}},
		{"allowed characters", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  if (!/^[a-z]+$/.test(name)) throw new Error('bad')\n  cp.exec"), want{"guard_allow": 1, "guards_right": 1, "guards_wrong": 0, "guard_covers": 1, "regex_anchored": 1}},
		{"one exploit's", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  if (name === 'touch marker') return\n  cp.exec"), want{"guard_literal": 1, "guard_covers": 1, "guards_right": 0}},

		{"prefix", "path_traversal", "a.js", fileReader, with(fileReader, "path.join(root, name)", "path.resolve(root, name)\n  if (!file.startsWith(root + path.sep)) return cb(new Error('no'))"), want{"path_resolve": 1, "path_prefix": 1, "path_separator": 1, "guard_covers": 1, "guards_right": 1, "guards_wrong": 0}},
		{"prefix inverted", "path_traversal", "a.js", fileReader, with(fileReader, "path.join(root, name)", "path.resolve(root, name)\n  if (file.startsWith(root + path.sep)) return cb(new Error('no'))"), want{"guards_right": 0, "guards_wrong": 1}},
		{"dots once", "path_traversal", "a.js", fileReader, with(fileReader, "path.join(root, name)", "path.join(root, name.replace('../', ''))"), want{"replace_once": 1, "path_dots": 1, "reassigns": 1}},
		{"dots everywhere", "path_traversal", "a.js", fileReader, with(fileReader, "path.join(root, name)", "path.join(root, name.replace(/\\.\\.\\//g, ''))"), want{"replace_once": 0, "path_dots": 1, "regex_global": 1}},
		{"base name", "path_traversal", "a.js", fileReader, with(fileReader, "(root, name)", "(root, path.basename(name))"), want{"path_resolve": 1, "reassigns": 1}},

		{"escaped", "xss", "a.js", "function f(res, q) {\n  res.end('<p>' + q + '</p>')\n}\n", "function f(res, q) {\n  res.end('<p>' + escapeHtml(q) + '</p>')\n}\n", want{"escape_calls": 1, "wraps_sink": 1, "sink_share_new": 1}},
		{"entities", "xss", "a.js", "function f(s) {\n  return s\n}\n", "function f(s) {\n  return s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/\"/g, '&quot;')\n}\n", want{"regex_global": 4, "replace_once": 0}},
		{"parameters", "sql_injection", "a.js", "function f(db, n) {\n  return db.query('select * from t where n = ' + n)\n}\n", "function f(db, n) {\n  return db.query('select * from t where n = ?', [n])\n}\n", want{"query_parameters": 1}},
		{"safe loader", "deserialization", "a.py", "import yaml\ndef f(s):\n    return yaml.load(s)\n", "import yaml\ndef f(s):\n    return yaml.safe_load(s)\n", want{"safe_interface": 1}},
		{"no entities", "xxe", "A.java", "class A { void f(F f) {\n f.parse(x);\n} }\n", "class A { void f(F f) {\n f.setFeature(\"http://apache.org/xml/features/disallow-doctype-decl\", true);\n f.parse(x);\n} }\n", want{"safe_interface": 2}},

		{"bounds", "memory_corruption", "a.c", copier, with(copier, "  memcpy", "  if (n > sizeof(buf)) return -1;\n  memcpy"), want{"bounds_check": 1, "guard_covers": 1, "sink_share_new": 1, "size_change": 1}},
		{"off by one", "memory_corruption", "a.c", "int f(int *a, int n) {\n  if (n <= 8) a[n] = 1;\n  return n;\n}\n", "int f(int *a, int n) {\n  if (n < 8) a[n] = 1;\n  return n;\n}\n", want{"relation_changed": 1, "inverted": 1, "conditions_changed": 1}},
		{"null after free", "memory_corruption", "a.c", "void f(struct s *p) {\n  free(p->q);\n}\n", "void f(struct s *p) {\n  free(p->q);\n  p->q = NULL;\n}\n", want{"null_after_free": 1, "assignments_added": 1}},

		{"does nothing", "prototype_pollution", "a.js", setter, with(setter, "    obj[key] = value\n", "    if (key === '__proto__') { ; }\n    obj[key] = value\n"), want{"guard_idle": 1, "guard_covers": 0, "sink_share_new": 0}},
		{"helper never called", "prototype_pollution", "a.js", setter, "function odd(k) { return k === '__proto__' }\n" + setter, want{"unused_names": 1, "undefined_names": 0, "guard_covers": 0}},
		{"helper missing", "prototype_pollution", "a.js", setter, guard("isOdd(key)"), want{"undefined_names": 1, "unused_names": 0}},
		{"definition dropped", "prototype_pollution", "a.js", "var own = Object.hasOwn\n" + strings.Replace(setter, "(var i", "(own(obj); var i", 1), strings.Replace(setter, "(var i", "(own(obj); var i", 1), want{"undefined_names": 1}},
		{"module missing", "command_injection", "a.js", runner, with(runner, "+ name", "+ require('shell-quote').quote([name])"), want{"unknown_imports": 1}},
		{"module built in", "path_traversal", "a.js", fileReader, "const path = require('node:path')\n" + fileReader, want{"unknown_imports": 0}},
		{"expression that agrees", "redos", "a.js", "exports.f = s => /^(a+)+$/.test(s)\n", "exports.f = s => /^a+$/.test(s)\n", want{"regex_agreement": 1, "regex_drop": 3}},
		{"recursive", "prototype_pollution", "a.js", "function merge(a, b) {\n  for (var k in b) {\n    if (typeof b[k] === 'object') merge(a[k], b[k])\n    else a[k] = b[k]\n  }\n}\n", "function merge(a, b) {\n  for (var k in b) {\n    if (k === '__proto__') continue\n    if (typeof b[k] === 'object') merge(a[k], b[k])\n    else a[k] = b[k]\n  }\n}\n", want{"sink_repeats": 1, "sink_scope_share": 1, "guard_covers": 1, "guards_right": 1}},
		{"used out of its block", "prototype_pollution", "a.js", setter, with(setter, "    obj[key] = value\n", "    { let safe = key }\n    obj[safe] = value\n"), want{"undefined_names": 1, "alarms": 1}},
		{"used before it has a value", "prototype_pollution", "a.js", setter, with(setter, "  var keys = path", "  const parts = parts.concat(path)\n  var keys = path"), want{"undefined_names": 1}},
		{"callback's parameter", "prototype_pollution", "a.js", setter, with(setter, "path.split('.')", "path.split('.').map(part => part.trim())"), want{"undefined_names": 0, "alarms": 0, "idle_names": 0}},
		{"destructured", "prototype_pollution", "a.js", setter, with(setter, "  var keys", "  const { a, b: [c = 1, ...d] } = obj\n  use(a, c, d)\n  var keys"), want{"undefined_names": 1, "idle_names": 0}},
		{"parameter not read any more", "path_traversal", "a.js", fileReader, with(fileReader, "(root, name)\n  fs", "('/srv', name)\n  fs"), want{"idle_names": 1, "undefined_names": 0}},
		{"python name", "path_traversal", "a.py", "import os\ndef f(root, name):\n    path = os.path.join(root, name)\n    return open(path)\n", "import os\ndef f(root, name):\n    return open(path)\n", want{"undefined_names": 1, "alarms": 1}},
		{"python comprehension", "path_traversal", "a.py", "def f(names):\n    return names\n", "def f(names):\n    with open('x') as h:\n        return [n for n in names if n in h]\n", want{"undefined_names": 0, "alarms": 0}},
		{"go package", "path_traversal", "a.go", "package a\n\nfunc f(p string) string {\n\treturn p\n}\n", "package a\n\nfunc f(p string) string {\n\treturn filepath.Clean(p)\n}\n", want{"undefined_names": 1, "alarms": 1}},
		{"go variable unused", "path_traversal", "a.go", "package a\n\nfunc f(p string) string {\n\treturn p\n}\n", "package a\n\nfunc f(p string) string {\n\tq := clean(p)\n\treturn p\n}\nfunc clean(p string) string {\n\treturn p\n}\n", want{"alarms": 1, "undefined_names": 0}},
		{"go helper missing", "path_traversal", "a.go", "package a\n\nfunc f(p string) string {\n\treturn p\n}\n", "package a\n\nfunc f(p string) string {\n\treturn clean(p)\n}\n", want{"alarms": 1, "undefined_names": 0}},
		{"java helper", "path_traversal", "A.java", "class A {\n  String f(String p) {\n    return p;\n  }\n}\n", "class A {\n  String f(String p) {\n    return clean(p);\n  }\n  String clean(String p) {\n    return p.trim();\n  }\n}\n", want{"alarms": 0, "undefined_names": 0}},
		{"always", "command_injection", "a.go", "package a\n\nfunc f(p string) string {\n\treturn p\n}\n", "package a\n\nfunc f(p string) string {\n\tif true {\n\t\tpanic(1)\n\t}\n\treturn p\n}\n", want{"unconditional_exit": 1, "guards_broad": 1}},
		{"throws for any text", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  if (typeof name === 'string') throw new Error('no')\n  cp.exec"), want{"guards_broad": 1, "throws_added": 1, "unconditional_exit": 0}},
		{"throws for what is no text", "command_injection", "a.js", runner, with(runner, "  cp.exec", "  if (typeof name !== 'string') throw new Error('no')\n  cp.exec"), want{"guards_broad": 0, "throws_added": 1}},
		{"one part decides nothing", "prototype_pollution", "a.js", setter, guard("key === '__proto__' || key === 'constructor' || key !== 'prototype'"), want{"guard_contradiction": 1, "alarms": 1}},
		{"filter of names", "prototype_pollution", "a.js", setter, guard("/^(__proto__|constructor|prototype)$/.test(key)"), want{"filter_share": 1, "filter_harm": 0}},
		{"filter of some", "command_injection", "a.js", runner, with(runner, "+ name", "+ name.replace(/[;|&]/g, '')"), want{"filter_share": 0.25, "filter_harm": 0}},
		{"filter that hurts", "path_traversal", "a.js", fileReader, with(fileReader, "  fs.", "  if (name.includes('.')) return cb()\n  fs."), want{"filter_harm": 1}},
		{"limit", "redos", "a.js", "exports.f = s => {\n  return /(x+)+y/.test(s)\n}\n", "exports.f = s => {\n  if (s.length > 100) return false\n  return /(x+)+y/.test(s)\n}\n", want{"limit_value": 2}},
		{"comment", "redos", "a.js", setter, with(setter, "  var keys", "  // safe now\n  var keys"), want{"remark_share": 1, "tokens_added": 0}},
		{"version", "redos", "a.js", "var VERSION = '1.2.3'\nf()\n", "var VERSION = '1.2.4'\nf()\n", want{"tokens_added": 0}},
		{"renamed", "redos", "a.js", setter, strings.ReplaceAll(setter, "key ", "k "), want{"undefined_names": 1}},
		{"log", "path_traversal", "a.js", fileReader, with(fileReader, "  fs.", "  console.log('reading', file)\n  fs."), want{"log_share": 1, "sink_share_new": 0}},
	} {
		t.Run(test.class+"/"+test.name, func(t *testing.T) {
			v, report := Compute(change(t, test.class, test.path, test.before, test.after))
			if len(report.Missing)+len(report.Lexical) > 0 {
				t.Fatalf("report %+v", report)
			}
			for name, want := range test.want {
				at := featureAt(name)
				if at < 0 {
					t.Fatalf("no feature %s", name)
				}
				if v[at] != want {
					t.Errorf("%s = %v, want %v", name, v[at], want)
				}
			}
			if t.Failed() {
				t.Log(show(v))
			}
		})
	}
}

// show lists the numbers that aren't zero.
func show(v Vector) string {
	var out []string
	for i, x := range v {
		if x != 0 && !math.IsNaN(x) {
			out = append(out, fmt.Sprintf("%s=%.3g", table[i].Name, x))
		}
	}
	return strings.Join(out, " ")
}
