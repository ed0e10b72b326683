package syntax

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	sitter "github.com/tree-sitter/go-tree-sitter"
)

// samples has one text for each language, with a function "load" that calls "open" under an if.
var samples = map[Language]string{
	JavaScript: "// a\nconst load = async (name) => { if (!ok(name)) { throw new Error('bad'); } return fs.open(name, /x+/g); };\n",
	TypeScript: "// a\nexport function load(name: string): File { if (!ok(name)) throw new Error('bad'); return fs.open(name as any); }\n",
	TSX:        "// a\nconst load = (name: string) => { if (ok(name)) { return <p a={open(name)}>b</p>; } return null; };\n",
	Python:     "# a\nclass A:\n    def load(self, name):\n        if not ok(name):\n            raise ValueError('bad')\n        return os.open(name, 1)\n",
	Go:         "package a\n\n// a\nfunc (a *A) load(name string) error { if !ok(name) { return errors.New(\"bad\") }; return os.open(name) }\n",
	Java:       "class A { /* a */ File load(String name) throws E { if (!ok(name)) { throw new E(\"bad\"); } return this.fs.open(name); } }\n",
	PlainC:     "/* a */\nstatic int *load(const char *name) { if (!ok(name)) { return 0; } return open(name, 1); }\n",
	CPP:        "// a\nint A::load(const std::string &name) { if (!ok(name)) { throw E(\"bad\"); } return fs::open(name); }\n",
	PHP:        "<?php\n// a\nfunction load($name) { if (!ok($name)) { throw new E('bad'); } return $this->fs->open($name); }\n",
	Rust:       "// a\nfn load(name: &str) -> File { if !ok(name) { panic!(\"bad\"); } return fs::open(name); }\n",
}

func mustParse(t *testing.T, lang Language, source string) *Tree {
	t.Helper()
	tree, err := Parse(context.Background(), lang, []byte(source), Limits{})
	if err != nil {
		t.Fatalf("parse %s: %v", lang, err)
	}
	checkShape(t, tree)
	return tree
}

// checkShape holds what every tree must keep.
func checkShape(t *testing.T, tree *Tree) {
	t.Helper()
	for i, n := range tree.Nodes {
		if n.End < n.Start || int(n.End) > len(tree.Source) {
			t.Fatalf("node %d is of bytes %d to %d of %d", i, n.Start, n.End, len(tree.Source))
		}
		if n.Size == 0 || tree.Next(i) > len(tree.Nodes) {
			t.Fatalf("node %d has size %d in a tree of %d", i, n.Size, len(tree.Nodes))
		}
		if i == 0 {
			continue
		}
		if p := int(n.Parent); p < 0 || p >= i || tree.Next(p) < tree.Next(i) {
			t.Fatalf("node %d has parent %d", i, p)
		}
	}
	if tree.Next(0) != len(tree.Nodes) {
		t.Fatalf("the root has size %d of %d", tree.Nodes[0].Size, len(tree.Nodes))
	}
}

func TestEveryLanguage(t *testing.T) {
	for lang := JavaScript; lang < languages; lang++ {
		t.Run(lang.String(), func(t *testing.T) {
			tree := mustParse(t, lang, samples[lang])
			if tree.HasError() {
				t.Error("the sample has an error")
			}
			functions := tree.Functions()
			if len(functions) != 1 || functions[0].Name != "load" || functions[0].Body < 0 {
				t.Fatalf("functions: %+v", functions)
			}
			var names []string
			for _, call := range tree.Calls() {
				names = append(names, call.Name)
				if call.Name == "open" && (len(call.Args) == 0 || !strings.HasPrefix(tree.Text(call.Args[0]), strings.TrimLeft("$name", "")) && !strings.HasPrefix(tree.Text(call.Args[0]), "name") && lang != Rust) {
					t.Errorf("arguments of open: %d", len(call.Args))
				}
			}
			if !slices.Contains(names, "ok") || !slices.Contains(names, "open") {
				t.Errorf("calls: %q", names)
			}
			if len(tree.All(If)) != 1 || len(tree.Comments()) != 1 {
				t.Errorf("%d conditions, %d comments", len(tree.All(If)), len(tree.Comments()))
			}
			if jumps := len(tree.All(Return)) + len(tree.All(Throw)); jumps != 2 && lang != Rust {
				t.Errorf("%d returns and throws", jumps)
			}
			at := strings.Index(samples[lang], "open(")
			if f := tree.EnclosingFunction(at, at+4); f != functions[0].Node {
				t.Errorf("open lies in the function at %d, want %d", f, functions[0].Node)
			}
			if len(tree.Identifiers()) < 4 {
				t.Errorf("%d identifiers", len(tree.Identifiers()))
			}
		})
	}
}

// TestLayout holds the nodes that the C side copies against those that tree-sitter's own binding hands out.
func TestLayout(t *testing.T) {
	source := samples[JavaScript]
	tree := mustParse(t, JavaScript, source)
	parser := sitter.NewParser()
	defer parser.Close()
	if err := parser.SetLanguage(sitter.NewLanguage(grammars[JavaScript]().language)); err != nil {
		t.Fatal(err)
	}
	want := parser.Parse([]byte(source), nil)
	defer want.Close()
	if got := int(want.RootNode().DescendantCount()); got != len(tree.Nodes) {
		t.Fatalf("%d nodes, want %d", len(tree.Nodes), got)
	}
	cursor := want.Walk()
	defer cursor.Close()
	for i, n := range tree.Nodes {
		cursor.GotoDescendant(uint32(i))
		node := cursor.Node()
		if uint(n.Start) != node.StartByte() || uint(n.End) != node.EndByte() || uint(n.Row) != node.StartPosition().Row ||
			tree.Kind(i) != node.Kind() || uint(n.Size) != node.DescendantCount() || (n.Flags&Named != 0) != node.IsNamed() ||
			n.Field != fieldOf[cursor.FieldName()] {
			t.Errorf("node %d is %+v, want %s", i, n, node.Kind())
		}
	}
	if size := unsafe.Sizeof(Node{}); size != 28 {
		t.Errorf("a node takes %d bytes", size)
	}
}

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		path, start string
		want        Language
	}{
		{"lib/a.js", "", JavaScript}, {"a.MJS", "", JavaScript}, {"a.d.ts", "", TypeScript}, {"a.tsx", "", TSX}, {"a/b.py", "", Python},
		{"x.go", "", Go}, {"A.java", "", Java}, {"a.h", "int f();", PlainC}, {"a.h", "#pragma once\nnamespace a {}", CPP}, {"a.cc", "", CPP},
		{"a.php", "", PHP}, {"a.rs", "", Rust}, {"bin/tool", "#!/usr/bin/env node\n", JavaScript}, {"bin/tool", "#!/usr/bin/python3", Python},
		{"bin/tool", "", Unknown}, {"README.md", "", Unknown}, {"a.inc", "<?php 1", PHP}, {"a.inc", "int a;", PlainC}, {".js/x", "", Unknown},
	} {
		if got := Detect(test.path, []byte(test.start)); got != test.want {
			t.Errorf("Detect(%q, %q) = %s, want %s", test.path, test.start, got, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	ctx, long := context.Background(), []byte(strings.Repeat("f(1);\n", 2000))
	for name, limits := range map[string]Limits{"bytes": {Bytes: 100}, "steps": {Steps: 3}, "nodes": {Nodes: 50}, "duration": {Duration: 1}} {
		if _, err := Parse(ctx, JavaScript, long, limits); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := (*Parser)(nil).Both(ctx, JavaScript, long, long, nil, limits); !errors.Is(err, ErrLimit) {
			t.Errorf("both, %s: %v", name, err)
		}
	}
	if _, err := Parse(ctx, Unknown, long, Limits{}); !errors.Is(err, ErrLanguage) {
		t.Errorf("unknown language: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Parse(cancelled, JavaScript, long, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestParseBothAgreesWithParse(t *testing.T) {
	for _, test := range []struct{ name, before, after string }{
		{"same", "a(1)\n", "a(1)\n"},
		{"inside", "function f(a) { return g(a); }\nh();\n", "function f(a) { if (a) return g(a); }\nh();\n"},
		{"start", "a;\nb;\n", "x();\na;\nb;\n"},
		{"end", "a;\n", "a;\nb(c);\n"},
		{"all", "a;\n", "b(c);\n"},
		{"emptied", "a;\n", ""},
		{"filled", "", "a;\n"},
		{"in characters", "a('ä');\n", "a('ö');\n"},
		{"broken", "function f() { a(); }\n", "function f() { a(; }\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after, err := (*Parser)(nil).Both(context.Background(), JavaScript, []byte(test.before), []byte(test.after), nil, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			checkShape(t, before)
			checkShape(t, after)
			if !slices.Equal(before.Nodes, mustParse(t, JavaScript, test.before).Nodes) {
				t.Error("before differs")
			}
			if !slices.Equal(after.Nodes, mustParse(t, JavaScript, test.after).Nodes) {
				t.Error("after differs")
			}
		})
	}
}

func TestParseBothWithEdits(t *testing.T) {
	before, after := "a(1)\nb(2)\nc('ä')\n", "x(0)\na(1)\nb(3)\nc('ä', y)\n"
	for name, edits := range map[string][]Edit{
		"right":       {{0, 0, 0, 5}, {7, 8, 12, 13}, {15, 15, 20, 23}},
		"lines":       {{0, 0, 0, 5}, {5, 18, 10, 26}},
		"unlike":      {{0, 0, 0, 5}},
		"out of text": {{0, 100, 0, 5}},
		"backwards":   {{7, 8, 12, 13}, {0, 0, 0, 5}},
	} {
		_, tree, err := (*Parser)(nil).Both(context.Background(), JavaScript, []byte(before), []byte(after), edits, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		checkShape(t, tree)
		if !slices.Equal(tree.Nodes, mustParse(t, JavaScript, after).Nodes) {
			t.Errorf("%s: the tree differs", name)
		}
	}
}

func TestCallee(t *testing.T) {
	for _, test := range []struct {
		lang                 Language
		source, callee, name string
		args                 int
	}{
		{JavaScript, "a.b['c'](1, x /* y */)", "a.b['c']", "b", 2},
		{JavaScript, "new RegExp(a)", "RegExp", "RegExp", 1},
		{JavaScript, "new Date", "Date", "Date", 0},
		{JavaScript, "require('x')", "require", "require", 1},
		{JavaScript, "tag`x`", "tag", "tag", 1},
		{Python, "subprocess.run(a, shell=True)", "subprocess.run", "run", 2},
		{PHP, "<?php include $a;", "include", "include", 1},
		{PHP, "<?php DB::raw($a);", "DB::raw", "raw", 1},
		{Rust, "fn f() { format!(\"x\") }", "format!", "format", 1},
		{Go, "package a\nvar x = os.Open(a)", "os.Open", "Open", 1},
		{Java, "class A { int a = x.y(1).z(2, 3); }", "x.y(1).z", "z", 2},
	} {
		tree := mustParse(t, test.lang, test.source)
		calls := tree.Calls()
		if len(calls) == 0 || calls[0].Callee != test.callee || calls[0].Name != test.name || len(calls[0].Args) != test.args {
			t.Errorf("%s: %+v", test.source, calls)
		}
	}
}

func TestFunctionNames(t *testing.T) {
	source := `function a() {} const b = () => 1; exports.c = function () {}; x = { d: function () {}, e() {}, 'f': () => 2 };
class G { h() {} i = () => 3 } module.exports = j = (function () {}); run(function () {}); const k = l || function () {};`
	tree := mustParse(t, JavaScript, source)
	var got []string
	for _, f := range tree.Functions() {
		got = append(got, f.Name)
	}
	if want := []string{"a", "b", "c", "d", "e", "f", "h", "i", "j", "", "k"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

func texts(source string, tokens []Token) (out []string) {
	for _, token := range tokens {
		out = append(out, string(token.Of([]byte(source))))
	}
	return out
}

func TestTokens(t *testing.T) {
	for _, test := range []struct {
		lang   Language
		source string
		want   []string
	}{
		{JavaScript, "a = /x[/]y/g.test(b) / 2; // c\n'd\\'e' + `f`", []string{"a", "=", "/x[/]y/g", ".", "test", "(", "b", ")", "/", "2", ";", "'d\\'e'", "+", "`f`"}},
		{JavaScript, "if (a !== b && c?.d >>> 1) /* x */ return 1e3;", []string{"if", "(", "a", "!==", "b", "&&", "c", "?.", "d", ">>>", "1", ")", "return", "1e3", ";"}},
		{Python, "x = r'\\d' # y\nf(\"\"\"a\nb\"\"\")", []string{"x", "=", "r'\\d'", "f", "(", "\"\"\"a\nb\"\"\"", ")"}},
		{PHP, "<?php $a = 'b'; # c\n$d->e();", nil},
		{Go, "package a\nvar b = `c`", []string{"package", "a", "var", "b", "=", "`c`"}},
		{PlainC, "int a = 'b' + \"c\";", []string{"int", "a", "=", "'b'", "+", "\"c\"", ";"}},
	} {
		var fromTree []string
		tree := mustParse(t, test.lang, test.source)
		fromTree = texts(test.source, tree.Tokens())
		var lexed []Token
		for _, token := range Lex(test.lang, []byte(test.source)) {
			if token.Kind != Remark {
				lexed = append(lexed, token)
			}
		}
		fromText := texts(test.source, lexed)
		if test.want == nil {
			continue
		}
		if !slices.Equal(fromText, test.want) {
			t.Errorf("%s: lexed %q, want %q", test.lang, fromText, test.want)
		}
		if strings.Join(fromTree, " ") != strings.Join(test.want, " ") && !slices.Contains(fromTree, "\n") {
			t.Errorf("%s: from the tree %q, want %q", test.lang, fromTree, test.want)
		}
	}
}

func TestLexFragments(t *testing.T) {
	for source, want := range map[string][]string{
		"it's a":         {"it", "'", "s", "a"},
		"\"open\nb":      {"\"open", "b"},
		"/* open":        {"/* open"},
		"a\x00\xff'b'":   {"a", "\x00", "\xff", "'b'"},
		"'\\":            {"'", "\\"},
		"x = `open":      {"x", "=", "`", "open"},
		"'\\'\\'\\'":     {"'", "\\", "'", "\\", "'", "\\", "'"},
		"= /[/ 2\n/ 3 /": {"=", "/", "[", "/", "2", "/", "3", "/"},
	} {
		if got := texts(source, Lex(Unknown, []byte(source))); !slices.Equal(got, want) && !strings.Contains(source, "\x00") {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}

func hostile() map[string]string {
	return map[string]string{
		"brackets":    strings.Repeat("[", 100_000),
		"parentheses": strings.Repeat("(", 50_000) + strings.Repeat(")", 50_000),
		"calls":       strings.Repeat("f(", 50_000),
		"blocks":      strings.Repeat("{if(a)", 30_000),
		"quotes":      strings.Repeat("'\\", 100_000),
		"backticks":   strings.Repeat("`${", 50_000),
		"slashes":     strings.Repeat("=/[\\", 50_000),
		"invalid":     strings.Repeat("\xff\xfe\x80a", 50_000),
		"zeros":       strings.Repeat("\x00", 100_000),
		"one line":    strings.Repeat("a=b+c*d;", 20_000),
		"indents":     strings.Repeat("if a:\n", 10) + strings.Repeat(" ", 50_000) + "b",
		"heredocs":    strings.Repeat("<<<A\n", 20_000),
		"templates":   strings.Repeat("a<b<c>", 20_000),
		"else ifs":    strings.Repeat("if(a){}else ", 20_000),
	}
}

func TestHostileText(t *testing.T) {
	for name, text := range hostile() {
		for lang := Unknown; lang < languages; lang++ {
			tree, err := Parse(context.Background(), lang, []byte(text), Limits{Bytes: 200_000, Steps: 50, Nodes: 100_000})
			if err == nil {
				checkShape(t, tree)
				tree.Functions()
				tree.Calls()
				tree.Tokens()
			}
			end := uint32(0)
			for _, token := range Lex(lang, []byte(text)) {
				if token.Start < end || token.End <= token.Start {
					t.Fatalf("%s, %s: token of bytes %d to %d after %d", name, lang, token.Start, token.End, end)
				}
				end = token.End
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for lang, sample := range samples {
		f.Add(uint8(lang), []byte(sample), []byte(strings.Replace(sample, "open", "x", 1)))
	}
	f.Add(uint8(Python), []byte("\xff'''"), []byte("`${"))
	f.Fuzz(func(t *testing.T, lang uint8, before, after []byte) {
		l := Language(lang % uint8(languages))
		old, changed, err := (*Parser)(nil).Both(context.Background(), l, before, after, nil, Limits{Bytes: 1 << 14, Steps: 2000, Nodes: 20_000})
		Lex(l, before)
		if err != nil {
			return
		}
		for _, tree := range []*Tree{old, changed} {
			checkShape(t, tree)
			tree.Functions()
			tree.Calls()
			tree.Tokens()
			tree.Identifiers()
			tree.EnclosingFunction(len(tree.Source)/2, len(tree.Source)/2)
		}
	})
}

// A change of a text that was read gives the tree that the changed text alone gives, whatever is broken by it: the static
// checks decide by it.
func TestChangedAgreesWithParse(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	p := NewParser(1 << 20)
	for lang, sample := range samples {
		for range 60 {
			after := mutated(random, []byte(sample))
			agrees(t, p, lang, []byte(sample), after)
		}
	}
}

// mutated cuts, doubles or inserts something somewhere.
func mutated(random *rand.Rand, text []byte) []byte {
	const odd = "{}()[];'\"/*`$\n\\ <>=:,.+x0"
	at := random.IntN(len(text))
	end := min(at+1+random.IntN(12), len(text))
	switch random.IntN(3) {
	case 0:
		return slices.Concat(text[:at], text[end:])
	case 1:
		return slices.Concat(text[:end], text[at:])
	}
	return slices.Concat(text[:at], []byte{odd[random.IntN(len(odd))]}, text[at:])
}

func agrees(t *testing.T, p *Parser, lang Language, before, after []byte) {
	t.Helper()
	limits := Limits{Bytes: 1 << 14, Steps: 2000, Nodes: 20_000}
	old, err := p.Read(context.Background(), lang, before, limits)
	if err != nil {
		return
	}
	got, err := old.Changed(context.Background(), after, nil, limits)
	want, wantErr := Parse(context.Background(), lang, after, limits)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: %v, Parse says %v, of %q", lang, err, wantErr, after)
	}
	if err == nil && !slices.Equal(got.Nodes, want.Nodes) {
		t.Fatalf("%s: the tree of %q differs from Parse's after %q", lang, after, before)
	}
}

func TestParserKeepsTexts(t *testing.T) {
	ctx, p := context.Background(), NewParser(1<<20)
	text := []byte(strings.Repeat("f(1);\n", 200))
	first, err := p.Read(ctx, JavaScript, text, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Read(ctx, JavaScript, slices.Clone(text), Limits{})
	if err != nil || again != first {
		t.Errorf("a text is read twice: %v", err)
	}
	if other, err := p.Read(ctx, Python, text, Limits{}); err != nil || other.Lang != Python {
		t.Errorf("as Python: %v", err)
	}
	for name, limits := range map[string]Limits{"bytes": {Bytes: 100}, "steps": {Steps: 3}, "nodes": {Nodes: 50}} {
		if _, err := p.Read(ctx, JavaScript, text, limits); !errors.Is(err, ErrLimit) {
			t.Errorf("what was kept passes the limit on %s: %v", name, err)
		}
	}
}

// Many read and change the same text at once, while what is kept comes and goes.
func TestParserIsSharedByMany(t *testing.T) {
	p := NewParser(60_000)
	want := mustParse(t, JavaScript, "a(1);\n"+strings.Repeat("f(2);\n", 100)).Nodes
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 40 {
				text := strings.Repeat("f(2);\n", 100+(worker+i)%3)
				_, _, err := p.Both(context.Background(), JavaScript, []byte(text), []byte("a(1);\n"+text), nil, Limits{})
				if err != nil {
					t.Error(err)
				}
				_, changed, err := p.Both(context.Background(), JavaScript, []byte(text), []byte("a(1);\n"+text[:600]), nil, Limits{})
				if err != nil || !slices.Equal(changed.Nodes, want) {
					t.Errorf("worker %d: another tree, or %v", worker, err)
				}
			}
		})
	}
	group.Wait()
}

func FuzzChanged(f *testing.F) {
	for lang, sample := range samples {
		f.Add(uint8(lang), []byte(sample), []byte(strings.Replace(sample, "(", "", 1)))
	}
	f.Fuzz(func(t *testing.T, lang uint8, before, after []byte) {
		agrees(t, nil, Language(lang%uint8(languages)), before, after)
	})
}
