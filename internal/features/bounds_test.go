package features

import (
	"math"
	"slices"
	"strings"
	"testing"

	"crisol/internal/diff"
)

// same compares vectors, NaN with NaN.
func same(a, b Vector) []string {
	var differ []string
	for i := range a {
		if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			differ = append(differ, table[i].Name)
		}
	}
	return differ
}

func TestInvariance(t *testing.T) {
	before := fileReader
	after := strings.Replace(before, "  fs.readFile", "  if (!file.startsWith(root)) return cb(new Error('no'))\n  fs.readFile", 1)
	base := change(t, "path_traversal", "lib/serve.js", before, after)
	base.Vulnerability.Package, base.Vulnerability.Text = "static-files", "Path traversal in static-files through `readFile`"
	want, _ := Compute(base)
	moved := change(t, "path_traversal", "src/deep/other.js", before, after)
	moved.Vulnerability = base.Vulnerability
	moved.Vulnerability.ID = "CVE-1-2"
	renamed := base
	renamed.Vulnerability.Package, renamed.Vulnerability.Text = "other-name", "Path traversal in other-name through `readFile`"
	for name, in := range map[string]Input{"path": moved, "package": renamed} {
		got, _ := Compute(in)
		if differ := same(got, want); differ != nil {
			t.Errorf("%s: %v differ", name, differ)
		}
	}
	remarks := []string{"remark_share", "lines_added", "lines_removed", "hunks"}
	for name, texts := range map[string][2]string{
		"comments":    {"// a comment\n" + strings.Replace(before, "  fs.", "  /* b */ fs.", 1), "// a comment\n" + strings.Replace(after, "  fs.", "  /* b */ fs.", 1)},
		"added":       {before, strings.Replace(after, "  if (", "  // a comment\n\n  if (", 1)},
		"white space": {strings.ReplaceAll(before, "  ", "\t\t"), strings.ReplaceAll(after, "  ", "\t\t")},
		"line ends":   {strings.ReplaceAll(before, "\n", "\r\n"), strings.ReplaceAll(after, "\n", "\r\n")},
		"reformatted": {before, strings.NewReplacer("path.join(root, name)", "path.join(\n    root,\n    name\n  )", "'fs'", "\"fs\"").Replace(after)},
		"elsewhere":   {"function other(a) {\n  return a + 1 // x\n}\n" + before, "function other(a) {\n  return a + 1 // x\n}\n" + after},
	} {
		in := change(t, "path_traversal", "lib/serve.js", texts[0], texts[1])
		in.Vulnerability = base.Vulnerability
		got, report := Compute(in)
		if len(report.Missing) > 0 {
			t.Errorf("%s: %+v", name, report)
		}
		if differ := same(got, want); slices.ContainsFunc(differ, func(s string) bool { return !slices.Contains(remarks, s) }) {
			t.Errorf("%s: %v differ", name, differ)
		}
	}
	first, second := NGrams(base), NGrams(moved)
	if !slices.Equal(first, second) || len(first) == 0 {
		t.Errorf("n-grams differ by path: %v, %v", first, second)
	}
}

func TestDiffAlone(t *testing.T) {
	in := change(t, "path_traversal", "a.js", fileReader, strings.Replace(fileReader, "path.join(root, name)", "path.join(root, path.basename(name))", 1))
	full, _ := Compute(in)
	in.Files = nil
	alone, report := Compute(in)
	if len(report.Missing) != 1 || len(report.Lexical) != 1 {
		t.Errorf("report %+v", report)
	}
	for i, f := range table {
		switch {
		case f.Source && !math.IsNaN(alone[i]):
			t.Errorf("%s = %v without the source", f.Name, alone[i])
		case !f.Source && alone[i] != full[i]:
			t.Errorf("%s = %v without the source, %v with it", f.Name, alone[i], full[i])
		}
	}
	in.Files = []File{{"a.js", []byte("something else\n")}}
	if _, report := Compute(in); len(report.Missing) != 1 {
		t.Errorf("a text that the patch doesn't fit: %+v", report)
	}
}

func TestCreatedDeletedRenamed(t *testing.T) {
	created := mustPatch(t, "--- /dev/null\n+++ b/x.js\n@@ -0,0 +1,3 @@\n+function f(k) {\n+  return k\n+}\n")
	v, report := Compute(Input{Patch: created})
	if len(report.Missing) > 0 || v[featureAt("functions_added")] != 1 || v[featureAt("lines_added")] != 3 {
		t.Errorf("created: %+v, %s", report, show(v))
	}
	deleted := mustPatch(t, "--- a/x.js\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-function f(k) {\n-  return k\n-}\n")
	v, report = Compute(Input{Patch: deleted, Files: []File{{"x.js", []byte("function f(k) {\n  return k\n}\n")}}})
	if len(report.Missing) > 0 || v[featureAt("conditions_added")] != 0 || v[featureAt("lines_removed")] != 3 {
		t.Errorf("deleted: %+v, %s", report, show(v))
	}
	renamed := mustPatch(t, "diff --git a/x.js b/y.js\nsimilarity index 50%\nrename from x.js\nrename to y.js\n--- a/x.js\n+++ b/y.js\n@@ -1,2 +1,2 @@\n f(1)\n-g(2)\n+g(3)\n")
	v, report = Compute(Input{Patch: renamed, Files: []File{{"x.js", []byte("f(1)\ng(2)\n")}}})
	if len(report.Missing) > 0 || v[featureAt("numbers_changed")] != 2 {
		t.Errorf("renamed: %+v, %s", report, show(v))
	}
}

func TestSource(t *testing.T) {
	text := ""
	for _, path := range []string{"lib/a.js", "test/a.js", "lib/a.test.js", "README.md", "package-lock.json", "package.json", "docs/x.js", "a_test.go", "src/AppTest.java", "views/x.ejs"} {
		text += "--- a/" + path + "\n+++ b/" + path + "\n@@ -1 +1 @@\n-a(1)\n+a(2)\n"
	}
	text += "--- a/lib/b.js\n+++ b/lib/b.js\n@@ -1 +1 @@\n-// a\n+// b\n@@ -10 +10 @@\n-a( 1 )\n+a(1);\n@@ -20 +20 @@\n-v = '1.2.3'\n+v = '1.2.4'\n@@ -30 +30 @@\n-a = 1\n+a = 2\n"
	text += "--- a/lib/c.js\n+++ b/lib/c.js\n@@ -1 +1 @@\n- * a\n+ * b\n"
	kept, dropped := Source(mustPatch(t, text))
	var paths []string
	for _, f := range kept.Files {
		paths = append(paths, f.Path())
	}
	if want := []string{"lib/a.js", "views/x.ejs", "lib/b.js"}; !slices.Equal(paths, want) {
		t.Errorf("kept %q, want %q", paths, want)
	}
	if hunks := kept.Files[2].Hunks; len(hunks) != 1 || hunks[0].OldStart != 30 {
		t.Errorf("hunks of lib/b.js: %+v", hunks)
	}
	reasons := map[string]int{}
	for _, d := range dropped {
		reasons[d.Reason]++
	}
	if reasons[ReasonTest] != 4 || reasons[ReasonDocument] != 2 || reasons[ReasonLock] != 1 || reasons[ReasonData] != 1 || reasons[ReasonRemarks] != 4 {
		t.Errorf("reasons %v", reasons)
	}
	again, more := Source(kept)
	if len(again.Files) != len(kept.Files) || len(more) > 0 {
		t.Errorf("a second time: %v dropped", more)
	}
}

// hostile are patches that are made to cost.
func hostile() map[string]Input {
	out := map[string]Input{}
	for name, body := range map[string]string{
		"one long line": strings.Repeat("a=b+c*d;", 100_000),
		"brackets":      strings.Repeat("[", 300_000),
		"blocks":        strings.Repeat("{", 300_000),
		"calls":         strings.Repeat("f(", 150_000),
		"quotes":        strings.Repeat("'\\", 200_000),
		"slashes":       strings.Repeat("=/[\\", 100_000),
		"backticks":     strings.Repeat("`${", 100_000),
		"invalid":       strings.Repeat("\xff\xfe\x80a ", 100_000),
		"zeros":         strings.Repeat("\x00 a", 100_000),
		"conditions":    strings.Repeat("if(a)return;", 40_000),
		"assignments":   strings.Repeat("a[k]=b[k];", 40_000),
		"expressions":   strings.Repeat("/(a+)+$/.test(x);", 20_000),
		"functions":     strings.Repeat("function(){", 40_000),
	} {
		var added, removed strings.Builder
		for chunk := 0; chunk < len(body); chunk += 200_000 {
			piece := body[chunk:min(len(body), chunk+200_000)]
			added.WriteString("+" + piece + "\n")
			removed.WriteString("-" + piece + "x\n")
		}
		lines := strings.Count(added.String(), "\n")
		head := "--- a/x.js\n+++ b/x.js\n@@ -1," + itoa(lines) + " +1," + itoa(lines) + " @@\n"
		p, err := diff.Parse([]byte(head+removed.String()+added.String()), diff.Limits{})
		if err != nil {
			continue
		}
		before := strings.ReplaceAll(strings.ReplaceAll(removed.String(), "\n-", "\n"), "x\n", "x\n")[1:]
		out[name] = Input{Vulnerability: Vulnerability{Type: "prototype_pollution"}, Patch: p, Files: []File{{"x.js", []byte(before)}}}
	}
	return out
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestHostilePatches(t *testing.T) {
	inputs := hostile()
	if len(inputs) < 10 {
		t.Fatalf("only %d inputs", len(inputs))
	}
	for name, in := range inputs {
		for _, class := range []string{"prototype_pollution", "redos", "memory_corruption", ""} {
			in.Vulnerability.Type = class
			v, _ := Compute(in)
			check(t, v)
			in.Files = nil
			v, _ = Compute(in)
			check(t, v)
		}
		if grams := NGrams(in); len(grams) > Buckets {
			t.Errorf("%s: %d buckets", name, len(grams))
		}
	}
}

// check holds what every vector must keep.
func check(t *testing.T, v Vector) {
	t.Helper()
	if len(v) != len(table) {
		t.Fatalf("%d numbers", len(v))
	}
	for i, x := range v {
		if math.IsInf(x, 0) || math.IsNaN(x) && !table[i].Source {
			t.Errorf("%s = %v", table[i].Name, x)
		}
	}
}

func FuzzCompute(f *testing.F) {
	for _, texts := range [][2]string{{setter, runner}, {fileReader, setter}, {copier, fileReader}} {
		f.Add(uint8(1), "a.js", []byte(texts[0]), []byte(texts[1]))
		f.Add(uint8(2), "a.py", []byte(texts[0]), []byte(texts[1]))
		f.Add(uint8(8), "a.c", []byte(texts[0]), []byte(texts[1]))
	}
	classes := []string{"", "prototype_pollution", "redos", "command_injection", "path_traversal", "xss", "sql_injection", "code_injection", "memory_corruption", "xxe"}
	paths := []string{"a.js", "a.ts", "a.tsx", "a.py", "a.go", "A.java", "a.c", "a.cc", "a.php", "a.rs", "a.rb", "a"}
	f.Fuzz(func(t *testing.T, class uint8, path string, before, after []byte) {
		if len(before)+len(after) > 8<<10 {
			return
		}
		if !slices.Contains(paths, path) {
			path = paths[len(path)%len(paths)]
		}
		p, err := diff.Parse([]byte(unified(path, string(before), string(after))), diff.Limits{})
		if err != nil {
			return
		}
		in := Input{Vulnerability: Vulnerability{Type: classes[int(class)%len(classes)], Text: string(after)}, Patch: p, Files: []File{{path, before}}}
		v, _ := Compute(in)
		check(t, v)
		again, _ := Compute(in)
		if differ := same(v, again); differ != nil {
			t.Errorf("%v differ from one time to the next", differ)
		}
		in.Files = nil
		v, _ = Compute(in)
		check(t, v)
		NGrams(in)
		Source(p)
	})
}
