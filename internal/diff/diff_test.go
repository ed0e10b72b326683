package diff_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/diff"
)

// tree is a directory as tests write it down: path to content. A content that begins with "-> " is a symlink, a path
// that ends with "/" a directory, one that ends with "*" an executable.
type tree map[string]string

func (tr tree) lay(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range tr {
		lay(t, dir, path, content)
	}
	return dir
}

func lay(t testing.TB, dir, path, content string) {
	t.Helper()
	name, exec := strings.CutSuffix(filepath.Join(dir, path), "*")
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	link, isLink := strings.CutPrefix(content, "-> ")
	switch {
	case isLink:
		check(t, os.Symlink(link, name))
	case strings.HasSuffix(path, "/"):
		check(t, os.MkdirAll(name, 0o755))
	default:
		check(t, os.WriteFile(name, []byte(content), 0o644))
		if exec {
			check(t, os.Chmod(name, 0o755))
		} else {
			check(t, os.Chmod(name, 0o644))
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	check(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func parse(t testing.TB, text string) *diff.Patch {
	t.Helper()
	p, err := diff.Parse([]byte(text), diff.Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

// result renders changes as a tree: what was deleted has the content "(deleted)".
func result(c *diff.Changes) tree {
	tr := tree{}
	for _, f := range c.Files {
		path, content := f.Path, string(f.Content)
		if f.Mode&0o111 != 0 {
			path += "*"
		}
		if f.Deleted {
			content = "(deleted)"
		}
		tr[path] = content
	}
	return tr
}

// wantInput checks that an error is the caller's fault and says what it should.
func wantInput(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("kind %v of %v, want input", crisol.KindOf(err), err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error()+"\nhint: "+crisol.HintOf(err), text) {
			t.Errorf("error %q (hint %q) lacks %q", err, crisol.HintOf(err), text)
		}
	}
}

// ten is a file of ten different lines.
const ten = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n"

// five replaces the fifth line of ten, under any header.
const five = "@@ -2,7 +2,7 @@ head\n two\n three\n four\n-five\n+FIVE\n six\n seven\n eight\n"

var tenFive = strings.Replace(ten, "five", "FIVE", 1)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

var applied = []struct {
	name  string
	tree  tree
	patch string
	want  tree
	note  string
}{
	{"git", tree{"lib/x.js": ten},
		"diff --git a/lib/x.js b/lib/x.js\nindex 1234567..89abcde 100644\n--- a/lib/x.js\n+++ b/lib/x.js\n" + five,
		tree{"lib/x.js": tenFive}, ""},
	{"plain with prefixes", tree{"lib/x.js": ten}, "--- a/lib/x.js\n+++ b/lib/x.js\n" + five, tree{"lib/x.js": tenFive}, ""},
	{"plain without prefixes", tree{"lib/x.js": ten}, "--- lib/x.js\n+++ lib/x.js\n" + five, tree{"lib/x.js": tenFive}, ""},
	{"diff -u with timestamps", tree{"x.js": ten},
		"--- x.js.orig\t2019-07-09 17:41:33.000000000 +0000\n+++ x.js\t2019-07-10 08:00:00.000000000 +0200\n" + five, tree{"x.js": tenFive}, ""},
	{"diff -u with timestamps after blanks", tree{"x.js": ten},
		"--- x.js 2019-07-09 17:41:33 +0000\n+++ x.js 2019-07-10 08:00:00 +0200\n" + five, tree{"x.js": tenFive}, ""},
	{"diff -ru of two directories", tree{"x.js": ten},
		"diff -ru lodash-4.17.11/x.js lodash-4.17.12/x.js\n--- lodash-4.17.11/x.js\t2019-07-09 17:41:33\n+++ lodash-4.17.12/x.js\t2019-07-10 08:00:00\n" + five, tree{"x.js": tenFive}, ""},
	{"git without prefixes", tree{"lib/x.js": ten}, "diff --git lib/x.js lib/x.js\n--- lib/x.js\n+++ lib/x.js\n" + five, tree{"lib/x.js": tenFive}, ""},
	{"git without prefixes in a directory a", tree{"a/x.js": ten}, "diff --git a/x.js a/x.js\n--- a/x.js\n+++ a/x.js\n" + five, tree{"a/x.js": tenFive}, ""},
	{"git with mnemonic prefixes", tree{"lib/x.js": ten}, "diff --git i/lib/x.js w/lib/x.js\n--- i/lib/x.js\n+++ w/lib/x.js\n" + five, tree{"lib/x.js": tenFive}, ""},
	{"npm diff", tree{"x.js": ten}, "diff --git a/x.js b/x.js\nindex v4.17.11..v4.17.12 100644\n--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": tenFive}, ""},
	{"subversion", tree{"x.js": ten}, "Index: x.js\n" + strings.Repeat("=", 67) + "\n--- x.js\t(revision 12)\n+++ x.js\t(working copy)\n" + five, tree{"x.js": tenFive}, ""},
	{"mail", tree{"x.js": ten},
		"From 3f2a Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nSubject: [PATCH] fix\n\nBecause.\n---\n x.js | 2 +-\n 1 file changed\n\ndiff --git a/x.js b/x.js\nindex 1..2 100644\n--- a/x.js\n+++ b/x.js\n" + five + "-- \n2.39.5\n\n",
		tree{"x.js": tenFive}, ""},
	{"fenced", tree{"x.js": ten}, "Here is the fix:\n```diff\n--- a/x.js\n+++ b/x.js\n" + five + "```\nIt works.\n", tree{"x.js": tenFive}, ""},
	{"path with blanks", tree{"lib/a b.js": ten}, "diff --git a/lib/a b.js b/lib/a b.js\n--- a/lib/a b.js\t\n+++ b/lib/a b.js\t\n" + five, tree{"lib/a b.js": tenFive}, ""},
	{"quoted path", tree{"é \"x\".js": ten}, "diff --git \"a/\\303\\251 \\\"x\\\".js\" \"b/\\303\\251 \\\"x\\\".js\"\n--- \"a/\\303\\251 \\\"x\\\".js\"\n+++ \"b/\\303\\251 \\\"x\\\".js\"\n" + five, tree{"é \"x\".js": tenFive}, ""},
	{"quoted on one side", tree{"é.js": ten}, "diff --git a/é.js \"b/\\303\\251.js\"\n--- a/é.js\n+++ \"b/\\303\\251.js\"\n" + five, tree{"é.js": tenFive}, ""},
	{"quoted on the left", tree{"é.js": ten}, "diff --git \"a/\\303\\251.js\" b/é.js\n--- \"a/\\303\\251.js\"\n+++ b/é.js\n" + five, tree{"é.js": tenFive}, ""},
	{"leading ./", tree{"x.js": ten}, "--- ./x.js\n+++ ./x.js\n" + five, tree{"x.js": tenFive}, ""},
	{"byte order mark", tree{"x.js": ten}, "\ufeff--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": tenFive}, ""},
	{"archive directory", tree{"x.js": ten}, "--- a/package/x.js\n+++ b/package/x.js\n" + five, tree{"x.js": tenFive}, "without package/"},
	{"archive directory with a new file", tree{"x.js": ten},
		"--- a/package/x.js\n+++ b/package/x.js\n" + five + "--- /dev/null\n+++ b/package/lib/y.js\n@@ -0,0 +1 @@\n+y\n",
		tree{"x.js": tenFive, "lib/y.js": "y\n"}, "without package/"},

	{"patch in CRLF, file in LF", tree{"x.js": ten}, crlf("--- a/x.js\n+++ b/x.js\n" + five), tree{"x.js": tenFive}, ""},
	{"patch in LF, file in CRLF", tree{"x.js": crlf(ten)}, "--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": crlf(tenFive)}, "line endings"},
	{"patch and file in CRLF", tree{"x.js": crlf(ten)}, crlf("--- a/x.js\n+++ b/x.js\n" + five), tree{"x.js": crlf(tenFive)}, "line endings"},
	{"git diff of a file in CRLF", tree{"x.js": crlf(ten)}, "diff --git a/x.js b/x.js\n--- a/x.js\n+++ b/x.js\n" + strings.Replace(crlf(five), "head\r", "head", 1), tree{"x.js": crlf(tenFive)}, "line endings"},
	{"patch in LF, part of the file in CRLF", tree{"x.js": crlf(ten) + ten}, "--- a/x.js\n+++ b/x.js\n@@ -5 +5 @@\n-five\n+FIVE\n",
		tree{"x.js": crlf(ten) + tenFive}, "+10 lines"},
	{"insertion without context into a file in CRLF", tree{"x.js": crlf("a\nb\n")}, "--- a/x.js\n+++ b/x.js\n@@ -1,0 +2 @@\n+new\n", tree{"x.js": crlf("a\nnew\nb\n")}, "line endings"},
	{"insertion in CRLF without context into a file in LF", tree{"x.js": "a\nb\n"}, "--- a/x.js\n+++ b/x.js\n@@ -1,0 +2 @@\n+new\r\n", tree{"x.js": "a\nnew\nb\n"}, "line endings"},
	{"insertion of both endings without context", tree{"x.js": "a\nb\n"}, "--- a/x.js\n+++ b/x.js\n@@ -1,0 +2,2 @@\n+c\r\n+d\n", tree{"x.js": "a\nc\r\nd\nb\n"}, ""},
	{"line after a last line without newline, CRLF", tree{"x": "a\r\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", tree{"x": "a\r\nb\r\nc"}, "final newline"},
	{"line endings are the change", tree{"x.js": "a\r\nb\r\n"}, "--- a/x.js\n+++ b/x.js\n@@ -1,2 +1,2 @@\n-a\r\n+a\n b\r\n", tree{"x.js": "a\nb\r\n"}, ""},
	{"new file in CRLF", tree{}, "--- /dev/null\n+++ b/x.bat\n@@ -0,0 +1,2 @@\n+a\r\n+b\r\n", tree{"x.bat": "a\r\nb\r\n"}, ""},

	{"both without final newline", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", tree{"x": "a\nc"}, ""},
	{"final newline is added", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n", tree{"x": "a\nb\n"}, ""},
	{"final newline is removed", tree{"x": "a\nb\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n", tree{"x": "a\nb"}, ""},
	{"final newline is missing in the file only", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n", tree{"x": "a\nc"}, "final newline"},
	{"final newline is missing in the patch only", tree{"x": "a\nb\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", tree{"x": "a\nc\n"}, "final newline"},
	{"final newline is missing in the patch only, CRLF", tree{"x": "a\r\nb\r\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", tree{"x": "a\r\nc\r\n"}, "final newline"},
	{"line after a last line without newline", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", tree{"x": "a\nb\nc"}, "final newline"},
	{"context without newline", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n\\ No newline at end of file\n", tree{"x": "A\nb"}, ""},
	{"patch text without final newline", tree{"x.js": ten}, strings.TrimSuffix("--- a/x.js\n+++ b/x.js\n"+five, "\n"), tree{"x.js": tenFive}, ""},
	{"marker in another language", tree{"x": "b"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-b\n\\ Kein\n+c\n\\ Kein\n", tree{"x": "c"}, ""},
	{"trimmed blank context", tree{"x": "a\n\nb\n\n"}, "--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n a\n\n-b\n+c\n\n", tree{"x": "a\n\nc\n\n"}, ""},
	{"chopped blank context", tree{"x": "b\n\n\n"}, "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n-b\n+c", tree{"x": "c\n\n\n"}, ""},

	{"moved down", tree{"x.js": "0\n0\n" + ten}, "--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": "0\n0\n" + tenFive}, "hunk 1 is found +2 lines away"},
	{"moved up", tree{"x.js": strings.TrimPrefix(ten, "one\n")}, "--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": strings.TrimPrefix(tenFive, "one\n")}, "-1 lines away"},
	{"nearest wins", tree{"x": "a\nx\nx\na\nx\n"}, "--- a/x\n+++ b/x\n@@ -3 +3 @@\n-a\n+B\n", tree{"x": "a\nx\nx\nB\nx\n"}, "+1"},
	{"equally near, the later one wins", tree{"x": "x\na\nx\nx\nx\na\nx\n"}, "--- a/x\n+++ b/x\n@@ -4 +4 @@\n-a\n+B\n", tree{"x": "x\na\nx\nx\nx\nB\nx\n"}, "+2"},
	{"cut off by the end of the file", tree{"x": "a\nb\nq\na\nb\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", tree{"x": "a\nb\nq\na\nb\nc\n"}, "+3"},
	{"cut off by the start of the file", tree{"x": "a\nb\nq\na\nb\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n+c\n a\n b\n", tree{"x": "c\na\nb\nq\na\nb\n"}, ""},
	{"cut off, and elsewhere", tree{"x": "0\n0\na\nb\n0\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", tree{"x": "0\n0\na\nb\nc\n0\n"}, "+2"},
	{"hunks that share context", tree{"x": "a\nb\nc\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -2,2 +2,2 @@\n b\n-c\n+C\n", tree{"x": "A\nb\nC\n"}, ""},
	{"less context than usual", tree{"x.js": ten}, "--- a/x.js\n+++ b/x.js\n@@ -3,3 +3,3 @@\n three\n four\n-five\n+FIVE\n", tree{"x.js": tenFive}, ""},
	{"the second hunk follows the first", tree{"x": "0\n0\n0\n" + ten}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n@@ -9,2 +9,2 @@\n nine\n-ten\n+TEN\n",
		tree{"x": "0\n0\n0\n" + strings.NewReplacer("one", "ONE", "ten", "TEN").Replace(ten)}, "hunk 2 is found +3"},
	{"far beyond the end", tree{"x.js": ten}, "--- a/x.js\n+++ b/x.js\n" + strings.Replace(five, "-2,7 +2,7", "-999999999,7 +2,7", 1), tree{"x.js": tenFive}, "lines away"},

	{"creation", tree{}, "diff --git a/lib/y.js b/lib/y.js\nnew file mode 100644\nindex 0000000..1234567\n--- /dev/null\n+++ b/lib/y.js\n@@ -0,0 +1,2 @@\n+a\n+b\n", tree{"lib/y.js": "a\nb\n"}, ""},
	{"creation of an executable", tree{}, "diff --git a/y b/y\nnew file mode 100755\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n", tree{"y*": "a"}, ""},
	{"creation of an empty file", tree{}, "diff --git a/y b/y\nnew file mode 100644\nindex 0000000..e69de29\n", tree{"y": ""}, ""},
	{"creation without a mode line", tree{}, "diff --git a/y b/y\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"y": "a\n"}, ""},
	{"creation without prefixes", tree{"b/x": "a\n"}, "diff --git b/y b/y\nnew file mode 100644\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"b/y": "a\n"}, ""},
	{"plain creation beside files without prefixes", tree{"b/x": "x\n"}, "--- b/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+X\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"b/x": "X\n", "b/y": "a\n"}, ""},
	{"plain creation", tree{}, "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"y": "a\n"}, ""},
	{"creation by the epoch", tree{}, "diff -ruN o/y n/y\n--- o/y\t1970-01-01 01:00:00.000000000 +0100\n+++ n/y\t2020-01-01 00:00:00 +0000\n@@ -0,0 +1 @@\n+a\n", tree{"y": "a\n"}, ""},
	{"creation that doesn't say so", tree{}, "--- a/y\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"y": "a\n"}, ""},
	{"filling an empty file", tree{"y*": ""}, "--- a/y\n+++ b/y\n@@ -0,0 +1 @@\n+a\n", tree{"y*": "a\n"}, ""},
	{"deletion", tree{"lib/x": "a\nb\n"}, "diff --git a/lib/x b/lib/x\ndeleted file mode 100644\nindex 1..0\n--- a/lib/x\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n", tree{"lib/x": "(deleted)"}, ""},
	{"deletion of an empty file", tree{"x": ""}, "diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n", tree{"x": "(deleted)"}, ""},
	{"plain deletion", tree{"x": "a\n"}, "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", tree{"x": "(deleted)"}, ""},
	{"deletion by the epoch", tree{"x": "a\n"}, "--- o/x\t2020-01-01 00:00:00 +0000\n+++ n/x\t1970-01-01 00:00:00 +0000\n@@ -1 +0,0 @@\n-a\n", tree{"x": "(deleted)"}, ""},
	{"the epoch as a real time", tree{"x.js": ten}, "--- o/x.js\t1970-01-01 00:00:00 +0000\n+++ n/x.js\t1970-01-01 00:00:00 +0000\n" + five, tree{"x.js": tenFive}, ""},
	{"emptying a file", tree{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-a\n", tree{"x": ""}, ""},
	{"rename", tree{"x": "a\n"}, "diff --git a/x b/lib/y\nsimilarity index 100%\nrename from x\nrename to lib/y\n", tree{"x": "(deleted)", "lib/y": "a\n"}, ""},
	{"rename with a hunk", tree{"x.js*": ten}, "diff --git a/x.js b/y.js\nsimilarity index 90%\nrename from x.js\nrename to y.js\nindex 1..2 100644\n--- a/x.js\n+++ b/y.js\n" + five, tree{"x.js": "(deleted)", "y.js*": tenFive}, ""},
	{"rename without prefixes", tree{"lib/x.js": ten}, "diff --git lib/x.js lib/y.js\nrename from lib/x.js\nrename to lib/y.js\n--- lib/x.js\n+++ lib/y.js\n" + five, tree{"lib/x.js": "(deleted)", "lib/y.js": tenFive}, ""},
	{"rename of a quoted path", tree{"é": "a\n"}, "diff --git \"a/\\303\\251\" b/y\nrename from \"\\303\\251\"\nrename to y\n", tree{"é": "(deleted)", "y": "a\n"}, ""},
	{"copy, its source changed too", tree{"x.js": ten}, "diff --git a/x.js b/x.js\n--- a/x.js\n+++ b/x.js\n" + five + "diff --git a/x.js b/y.js\nsimilarity index 100%\ncopy from x.js\ncopy to y.js\n", tree{"x.js": tenFive, "y.js": ten}, ""},
	{"mode", tree{"x": "a\n"}, "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", tree{"x*": "a\n"}, ""},
	{"mode of a path with blanks", tree{"a b c": "a\n"}, "diff --git a/a b c b/a b c\nold mode 100644\nnew mode 100755\n", tree{"a b c*": "a\n"}, ""},
	{"mode and hunk", tree{"x.js*": ten}, "diff --git a/x.js b/x.js\nold mode 100755\nnew mode 100644\nindex 1..2\n--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js": tenFive}, ""},
	{"the mode stays", tree{"x.js*": ten}, "--- a/x.js\n+++ b/x.js\n" + five, tree{"x.js*": tenFive}, ""},
	{"twice the same file", tree{"x.js": ten}, "--- a/x.js\n+++ b/x.js\n" + five + "--- a/x.js\n+++ b/x.js\n@@ -5 +5 @@\n-FIVE\n+V\n", tree{"x.js": strings.Replace(ten, "five", "V", 1)}, ""},
	{"created, then changed", tree{}, "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", tree{"y": "b\n"}, ""},
	{"several files", tree{"x.js": ten, "y": "a\n", "z": "z\n"}, "--- a/x.js\n+++ b/x.js\n" + five + "\ndiff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1,2 @@\n a\n+b\n", tree{"x.js": tenFive, "y": "a\nb\n"}, ""},
	{"removed lines that look like a header", tree{"x.sql": "-- a\n-- b\nc\n"}, "--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,2 @@\n--- a\n--- b\n+++ b\n c\n", tree{"x.sql": "++ b\nc\n"}, ""},
	{"a hunk of context only", tree{"x.js": ten}, "--- a/x.js\n+++ b/x.js\n@@ -1,2 +1,2 @@\n one\n two\n", tree{}, ""},
	{"a hunk of context only, without newline", tree{"x": "a"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n a\n\\ No newline at end of file\n", tree{}, ""},
	{"a line replaced by itself", tree{"x.js": ten}, "--- a/x.js\n+++ b/x.js\n@@ -1,2 +1,2 @@\n-one\n+one\n two\n", tree{}, ""},
	{"additions before removals", tree{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n+b\n-a\n", tree{"x": "b\n"}, ""},
}

func TestApply(t *testing.T) {
	for _, tt := range applied {
		t.Run(tt.name, func(t *testing.T) {
			p := parse(t, tt.patch)
			root := open(t, tt.tree.lay(t))
			c, err := p.Apply(root)
			if err != nil {
				t.Fatalf("%v (hint: %s)", err, crisol.HintOf(err))
			}
			compare(t, result(c), tt.want)
			if c.Empty() != (len(tt.want) == 0) {
				t.Errorf("Empty is %v", c.Empty())
			}
			notes := strings.Join(c.Notes, "; ")
			if !strings.Contains(notes, tt.note) || (tt.note == "" && notes != "") {
				t.Errorf("notes %q, want %q", notes, tt.note)
			}
			again := parse(t, p.String())
			if again.Digest() != p.Digest() {
				t.Errorf("digest differs after\n%s", p)
			}
			c2, err := again.Apply(root)
			check(t, err)
			compare(t, result(c2), tt.want)
		})
	}
}

func compare(t testing.TB, got, want tree) {
	t.Helper()
	for path, content := range want {
		if g, ok := got[path]; !ok || g != content {
			t.Errorf("%s: got %q (%v), want %q", path, g, ok, content)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s changed", path)
		}
	}
}
