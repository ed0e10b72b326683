package corpus

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// All edits between two states make the one of the other, and none leave it as it is.
func TestEdits(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "}\n", "\n"})
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(line, 0, 30).Draw(t, "lines"), "") + rapid.SampledFrom([]string{"", "end"}).Draw(t, "end")
	})
	rapid.Check(t, func(t *rapid.T) {
		before, after := sources{"f": text.Draw(t, "before")}, sources{"f": text.Draw(t, "after"), "new": "n\n"}
		edits := editsBetween(before, after)
		if got := overlay(before, apply(before, edits)); !maps.Equal(got, after) {
			t.Fatalf("got %q, want %q by %+v", got, after, edits)
		}
		if got := applyTo(before["f"], nil); got != before["f"] {
			t.Fatalf("no edit makes %q of %q", got, before["f"])
		}
		added := strings.SplitAfter(after["f"], "\n")
		for _, e := range edits {
			if e.path == "f" && len(e.added) > 0 && !slices.Equal(added[e.newAt:e.newAt+len(e.added)], e.added) {
				t.Fatalf("%+v begins elsewhere in %q", e, after["f"])
			}
		}
	})
}

func TestCodeOnly(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, after, want string }{
		{"a.js", "f()\n", "// why\nf()\n", "f()\n"},
		{"a.js", "f( a )\n", "f(a)\n", "f( a )\n"},
		{"a.js", "f(a)\n\n/* x */\ng()\nh()\n", "f(b)\n\n/* y */\ng()\nh()\n", "f(b)\n\n/* x */\ng()\nh()\n"},
		{"a.js", "f()\n\nvar VERSION = '1.2.3';\n", "g()\n\nvar VERSION = '1.2.4-rc.1';\n", "g()\n\nvar VERSION = '1.2.3';\n"},
		{"a.js", "x = '1.2'\n", "y = '1.3'\n", "y = '1.3'\n"},
		{"a.py", "if a:\n  b()\nc()\n", "if a:\n  b()\n  c()\n", "if a:\n  b()\n  c()\n"},
	}
	for _, test := range tests {
		if got := codeOnly(test.name, test.before, test.after); got != test.want {
			t.Errorf("%q after %q: got %q, want %q", test.after, test.before, got, test.want)
		}
	}
}

// Delta debugging finds the least part, by few trials, and stops when it is told to.
func TestDeltaDebug(t *testing.T) {
	t.Parallel()
	var all []edit
	for i := range 16 {
		all = append(all, edit{at: i})
	}
	needs := func(part []edit, lines ...int) bool {
		for _, line := range lines {
			if !slices.ContainsFunc(part, func(e edit) bool { return e.at == line }) {
				return false
			}
		}
		return true
	}
	for _, lines := range [][]int{{3}, {3, 4}, {0, 15}, {1, 6, 11}} {
		tries := 0
		var least []edit
		got := deltaDebug(all, func(part []edit) (bool, bool) {
			tries++
			if needs(part, lines...) {
				least = part
				return true, true
			}
			return false, true
		})
		if len(got) != len(lines) || !needs(got, lines...) || len(least) != len(got) || tries > 90 {
			t.Errorf("%v: %d edits after %d tries", lines, len(got), tries)
		}
	}
	tries := 0
	deltaDebug(all, func([]edit) (bool, bool) { tries++; return false, tries < 5 })
	if tries != 5 {
		t.Errorf("%d tries", tries)
	}
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	versions := []string{"1.0.0", "1.1.0", "1.2.0-beta.1", "1.2.0", "1.10.0", "1.3.0", "2.0.0", "2.0.1"}
	for _, test := range []struct{ ecosystem, vulnerable, fixed, want string }{
		{"npm", "1.2.0", "2.0.0", "1.10.0 1.1.0 2.0.1 1.3.0 1.0.0"},
		{"npm", "1.0.0", "1.1.0", "1.2.0"},
		{"npm", "3.0.0", "3.0.1", ""},
		{"maven", "1.0.0", "1.1.0", ""},
	} {
		if got := strings.Join(neighbours(test.ecosystem, versions, test.vulnerable, test.fixed), " "); got != test.want {
			t.Errorf("%s to %s: got %s, want %s", test.vulnerable, test.fixed, got, test.want)
		}
	}
}

func TestLoaded(t *testing.T) {
	t.Parallel()
	tree := sources{
		"lib/index.js": "require('./a'); import('./sub/index.js'); require('other')", "lib/a.js": "", "lib/sub/index.js": "export * from '../b.mjs'", "lib/b.mjs": "",
		"dist/bundle.js": "", "extra.js": "", "bin/run.js": "require('../extra')",
	}
	for _, test := range []struct{ name, manifest, script, want string }{
		{"by its main", `{"main": "lib"}`, "require('pkg')", "lib/a.js lib/b.mjs lib/index.js lib/sub/index.js"},
		{"by what it exports", `{"exports": {".": {"require": "./lib/index.js", "types": "./extra.js"}}}`, "require('pkg')", "lib/a.js lib/b.mjs lib/index.js lib/sub/index.js"},
		{"a file of it", `{}`, "import x from 'pkg/extra'", "extra.js"},
		{"a program of it", `{}`, "node_modules/pkg/bin/run.js", "bin/run.js extra.js"},
		{"nothing is told", `{}`, "x", ""},
	} {
		got := loaded(tree, []byte(test.manifest), "pkg", []string{test.script})
		if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != test.want {
			t.Errorf("%s: got %s, want %s", test.name, names, test.want)
		}
	}
}

func TestIsSource(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"index.js": true, "lib/a.mjs": true, "a.py": true, "a.go": true, "org/A.java": true, "src/lib.rs": true, "x.c": true,
		"index.d.ts": false, "a.ts": false, "dist/a.min.js": false, "test/a.js": false, "a_test.go": false, "a.test.js": false, "README.md": false,
		"package.json": false, "docs/a.js": false, "Gruntfile.js": false, "examples/a.js": false, "LICENSE": false,
	} {
		if got := isSource(name, []byte("x\n")); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !isSource("bin/run", []byte("#!/usr/bin/env node\n")) || isSource("a.js", []byte("\xff")) {
		t.Error("a program without an extension, or a text that is none")
	}
}

// What another version changes is done where its surroundings are, and nowhere else.
func TestTransplant(t *testing.T) {
	t.Parallel()
	before := sources{"f": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "gone": "x\n"}
	after := sources{"f": "1\n2\nthree\n4\n5\n6\n7\neight\n9\n", "gone": "y\n"}
	for _, test := range []struct{ onto, want string }{
		{"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", "0\n1\n2\nthree\n4\n5\n6\n7\neight\n9\n"},
		{"1\n2\n3\n4\n5\n6\nseven\n8\n9\n", "1\n2\nthree\n4\n5\n6\nseven\n8\n9\n"},
		{"other\n", ""},
		{"5\n6\n7\n8\n9\n5\n6\n7\n8\n9\n", ""}, // twice
	} {
		if got := transplant(sources{"f": test.onto}, before, after); got["f"] != test.want || len(got) > 1 {
			t.Errorf("on %q: %q", test.onto, got)
		}
	}
}
