package static_test

import (
	"context"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/static"
	"crisol/internal/syntax"
)

var gate = static.Gate{Parser: syntax.NewParser(1 << 20)}

func TestDecide(t *testing.T) {
	const open = crisol.Verdict("")
	js := "var a = require('a')\nfunction f(x) {\n  return a(x)\n}\nmodule.exports = f\n"
	py := "import a\n\ndef f(x):\n    if x:\n        a.b(x)\n    return x\n"
	with := func(text, old, new string) string {
		if !strings.Contains(text, old) {
			panic("no " + old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for _, test := range []struct {
		name, path, before, after string
		want                      crisol.Verdict
	}{
		{"comment", "a.js", js, "// a\n" + js, crisol.NotFixed},
		{"comment inside", "a.js", js, with(js, "a(x)", "a(/* x */ x)"), crisol.NotFixed},
		{"spaces", "a.js", js, strings.ReplaceAll(js, "  ", "\t"), crisol.NotFixed},
		{"line ends", "a.js", js, strings.ReplaceAll(js, "\n", "\r\n"), crisol.NotFixed},
		{"code", "a.js", js, with(js, "a(x)", "a(y)"), open},
		{"operator", "a.js", "f(a < b)\n", "f(a > b)\n", open},
		{"return alone", "a.js", js, with(js, "return a(x)", "return\n  a(x)"), open},
		{"brackets that mean nothing", "a.js", js, with(js, "a(x)", "(a(x))"), open},
		{"space in a string", "a.js", "f('a  b')\n", "f('a b')\n", open},
		{"space in a template", "a.js", "f(`a  b ${c}`)\n", "f(`a b ${c}`)\n", open},
		{"space in an expression", "a.js", "f(/a  b/)\n", "f(/a b/)\n", open},
		{"shebang", "a.js", "#!/usr/bin/env node\nf()\n", "#!/usr/bin/env deno\nf()\n", open},
		{"python comment", "a.py", py, with(py, "    return", "    # x\n    return"), crisol.NotFixed},
		{"python indentation", "a.py", py, with(py, "    return x", "        return x"), open},
		{"python deeper indentation", "a.py", py, with(py, "        a.b", "            a.b"), crisol.NotFixed},
		{"python docstring", "a.py", "def f():\n    \"\"\"a\"\"\"\n", "def f():\n    \"\"\"b\"\"\"\n", open},
		{"python encoding", "a.py", "# coding: utf-8\nf()\n", "# coding: latin-1\nf()\n", open},
		{"go comment", "a.go", "package a\n\n// a\nfunc f() {}\n", "package a\n\n// b\nfunc f() {}\n", crisol.NotFixed},
		{"go directive", "a.go", "package a\n\n//go:noinline\nfunc f() {}\n", "package a\n\nfunc f() {}\n", open},
		{"go preamble", "a.go", "package a\n\n// int x;\nimport \"C\"\n", "package a\n\n// int y;\nimport \"C\"\n", open},
		{"java", "A.java", "class A { int f() { return 1; } }\n", "class A {\n  /** a */\n  int f() { return 1; }\n}\n", crisol.NotFixed},
		{"c", "a.c", "int f(void) { return 1; }\n", "int f(void)\n{\n  return 1; /* a */\n}\n", crisol.NotFixed},
		{"macro", "a.c", "#define A(x) x\nint a;\n", "#define A(x)  x + 1\nint a;\n", open},
		{"rust", "a.rs", "fn f() -> i32 { 1 }\n", "// a\nfn f() -> i32 {\n    1\n}\n", crisol.NotFixed},
		{"php", "a.php", "<?php\nf($a);\n", "<?php\n// a\nf( $a );\n", crisol.NotFixed},
		{"php text", "a.php", "<p>a  b</p><?php f(); ?>", "<p>a b</p><?php f(); ?>", open},
		{"unknown language", "a.rb", "f # a\n", "f # b\n", open},

		{"unclosed", "a.js", js, with(js, "return a(x)", "return a(x"), crisol.Broken},
		{"brace lost", "a.js", js, with(js, "  return a(x)\n}", "  return a(x)"), open},
		{"stray word", "a.js", js, with(js, "return a(x)", "return a(x) ]"), crisol.Broken},
		{"broken before", "a.js", "f(\n" + js, "f(\n" + with(js, "a(x)", "a(x"), open},
		{"python unclosed", "a.py", py, with(py, "a.b(x)", "a.b(x]"), crisol.Broken},
		{"newer syntax", "a.js", js, with(js, "return a(x)", "using y = a(x) ~ 1"), open},
		{"decorator", "a.js", js, "@@a\n" + js, open},
		{"macro use", "a.c", "int f(void) { return 1; }\n", "int f(void) { FOO(x) BAR return 1; }\n", open},

		{"document", "docs/README.md", "a", "b", crisol.NotFixed},
		{"license", "LICENSE", "a", "b", crisol.NotFixed},
		{"data", "words.txt", "a", "b", open},
		{"lock", "package-lock.json", "{}", "{\"a\":1}", crisol.NotFixed},
		{"test", "test/a.test.js", "f(1)\n", "f(2)\n", crisol.NotFixed},
		{"helper in the tests' folder", "test/helper.js", "f(1)\n", "f(2)\n", open},
		{"test beside the source", "lib/a.test.js", "f(1)\n", "f(2)\n", open},
		{"go test", "a_test.go", "package a\n", "package b\n", crisol.NotFixed},
		{"version", "package.json", `{"name":"a","version":"1.0.0","main":"a.js"}`, `{"name":"a","version":"1.0.1","main":"a.js"}`, crisol.NotFixed},
		{"entry point", "package.json", `{"name":"a","main":"a.js"}`, `{"name":"a","main":"b.js"}`, open},
		{"dependency", "package.json", `{"dependencies":{"a":"1"}}`, `{"dependencies":{"a":"2"}}`, open},
		{"scripts", "package.json", `{"scripts":{"install":"a"}}`, `{"scripts":{"install":"b"}}`, open},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := gate.Decide(context.Background(), []diff.Touched{{Path: test.path, Before: []byte(test.before), After: []byte(test.after)}})
			if got.Verdict != test.want || got.Reason == "" {
				t.Errorf("%+v, want %q", got, test.want)
			}
		})
	}
}

func TestDecideTogether(t *testing.T) {
	doc := diff.Touched{Path: "README.md", Before: []byte("a"), After: []byte("b")}
	remark := diff.Touched{Path: "a.js", Before: []byte("f()\n"), After: []byte("f() // a\n")}
	code := diff.Touched{Path: "b.js", Before: []byte("f()\n"), After: []byte("g()\n")}
	created := diff.Touched{Path: "c.js", After: []byte("g()\n")}
	torn := diff.Touched{Path: "d.js", Before: []byte("f()\n"), After: []byte("f(]\n")}
	for _, test := range []struct {
		files []diff.Touched
		want  crisol.Verdict
	}{
		{nil, crisol.NotFixed},
		{[]diff.Touched{doc, remark}, crisol.NotFixed},
		{[]diff.Touched{doc, remark, code}, ""},
		{[]diff.Touched{doc, created}, ""},
		{[]diff.Touched{remark, torn}, crisol.Broken},
	} {
		if got := gate.Decide(context.Background(), test.files); got.Verdict != test.want || got.Decided() != (test.want != "") {
			t.Errorf("%+v: %+v, want %q", test.files, got, test.want)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add("a.js", []byte("f(1)"), []byte("f(1) // a"))
	f.Add("a.py", []byte("def f():\n  x"), []byte("def f():\n  x\n  # y"))
	f.Add("package.json", []byte("{}"), []byte("{\"version\":1}"))
	f.Fuzz(func(t *testing.T, path string, before, after []byte) {
		if len(before)+len(after) > 8<<10 {
			return
		}
		got := gate.Decide(context.Background(), []diff.Touched{{Path: path, Before: before, After: after}})
		if got.Verdict != "" && got.Verdict != crisol.NotFixed && got.Verdict != crisol.Broken {
			t.Errorf("verdict %q", got.Verdict)
		}
	})
}
