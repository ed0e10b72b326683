package diff_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"crisol"
	"crisol/internal/diff"
)

const header = "--- a/x.js\n+++ b/x.js\n"

var malformed = []struct{ name, patch, want string }{
	{"empty", "", "it is empty"},
	{"blank", " \r\n\n", "it is empty"},
	{"prose", "I fixed it.\n", "no file header"},
	{"code only", "function f() {}\n", "no file header"},
	{"normal diff", "5c5\n< five\n---\n> FIVE\n", "no file header"},
	{"header only", header, "line 1: a file header without a hunk"},
	{"git header only", "diff --git a/x b/x\nindex 1..2 100644\n", "nothing is changed in x"},
	{"git header and blank line", "diff --git a/x b/x\n\n" + header + five, "nothing is changed"},
	{"git header without paths", "diff --git  \n", "without paths"},
	{"git header with three words", "diff --git a/x b/x c/x\nold mode 100644\nnew mode 100755\n", "can't tell the two paths"},
	{"git header with one word", "diff --git a/x\nold mode 100644\nnew mode 100755\n", "can't tell the two paths"},
	{"hunk only", five, "line 1: a hunk without a file header"},
	{"hunk without names", "diff --git a/x b/x\n" + five, "line 2: a hunk without the lines"},
	{"one name", "diff --git a/x b/x\n--- a/x\n" + five, "line 2: one of the lines"},
	{"context diff", "*** a/x\n--- b/x\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n", "a context diff"},
	{"combined diff", "diff --cc x\nindex 1,2..3\n--- a/x\n+++ b/x\n@@@ -1,2 -1,2 +1,2 @@@\n", "a combined diff"},
	{"git binary", "diff --git a/x.png b/x.png\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n", "line 3: a binary patch"},
	{"binary note", "diff --git a/x.png b/x.png\nindex 1..2 100644\nBinary files a/x.png and b/x.png differ\n", "line 3: a binary patch"},
	{"plain binary note", "--- a/x\n+++ b/x\n" + "@@ -1 +1 @@\n-a\n+b\n" + "Binary files a/y and b/y differ\n", "line 6: a binary patch"},
	{"binary after names", "--- a/x\n+++ b/x\nBinary files a/x and b/x differ\n", "line 3: a binary patch"},
	{"binary alone", "Binary files a/y and b/y differ\n", "line 1: a binary patch"},
	{"NUL", header + "@@ -1 +1 @@\n-a\n+b\x00\n", "line 5: a NUL byte"},

	{"no numbers", header + "@@ function x @@\n-a\n+b\n", "line 3: malformed hunk header"},
	{"bad numbers", header + "@@ -1,x +1 @@\n-a\n+b\n", "malformed hunk header"},
	{"negative number", header + "@@ --1 +1 @@\n-a\n+b\n", "malformed hunk header"},
	{"huge number", header + "@@ -9999999999 +1 @@\n-a\n+b\n", "malformed hunk header"},
	{"no lines", header + "@@ -1,0 +1,0 @@\n", "line 3: a hunk without lines"},
	{"lines from 0", header + "@@ -0,1 +1 @@\n-a\n+b\n", "from line 0 on"},
	{"too few lines", header + "@@ -1,6 +1,6 @@\n a\n-b\n+c\n", "line 6: the patch ends within the hunk of line 3, which announces 4 more old and 4 more new lines"},
	{"too few removed", header + "@@ -1,3 +1,1 @@\n a\n-b\n", "which announces 1 more old and 0 more new"},
	{"only a header", header + "@@ -1,3 +1,3 @@\n", "the patch ends within the hunk"},
	{"next header too early", header + "@@ -1,3 +1,3 @@\n a\n-b\n+c\ndiff --git a/y b/y\n", "line 7: \"diff --git a/y b/y\" within the hunk of line 3"},
	{"counts disagree", header + "@@ -1,2 +1,1 @@\n a\n+b\n", "line 5: the hunk of line 3 announces 2 old and 1 new lines, and has others"},
	{"a line too many", header + five + "+evil\n", "line 12: a line too many"},
	{"context too many", header + five + " evil\n", "line 12: a line too many"},
	{"removed too many", header + five + "-evil\n", "line 12: a line too many"},
	{"a name too many", header + five + "--- a/y\n", "line 12: a line too many"},
	{"marker first", header + "@@ -1 +1 @@\n\\ No newline at end of file\n-a\n+b\n", "line 4:"},
	{"two markers", header + "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n\\ No newline at end of file\n", "line 7: a line too many"},
	{"marker in the middle", header + "@@ -1,2 +1,2 @@\n-a\n\\ No newline at end of file\n+b\n c\n", "not the last one"},
	{"marker before another hunk", header + "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n@@ -5 +5 @@\n-a\n+b\n", "not the last one"},
	{"marker after an empty line", header + "@@ -1 +1 @@\n-a\n+\n\\ No newline at end of file\n", "is no line"},
	{"misordered", header + "@@ -5 +5 @@\n-a\n+b\n@@ -1 +1 @@\n-a\n+b\n", "line 6: the hunk begins at line 1, before the change above it ends"},
	{"overlapping", header + "@@ -5,2 +5 @@\n-a\n-c\n+b\n@@ -6 +5 @@\n-a\n+b\n", "before the change above it ends"},

	{"two names", "--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "can't tell which file is meant"},
	{"two names in git", "diff --git a/x b/y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "differ without a rename"},
	{"two names below the line", "diff --git a/x b/x y\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "differ without a rename"},
	{"disagreeing names", "diff --git a/x b/x\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "names both x and y"},
	{"disagreeing new name", "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+b\n", "names both x and b/y"},
	{"no file at all", "--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "both created and deleted"},
	{"no name", "--- \t2020\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "the path is empty"},
	{"no name in git", "diff --git a/x b/x\n--- \t2020\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "the path is empty"},
	{"open quote", "--- \"a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "without its closing quote"},
	{"bad escape", "--- \"a/\\x41\"\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "a bad escape"},
	{"bad octal escape", "--- \"a/\\19\"\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "a bad escape"},
	{"octal escape with a letter", "--- \"a/\\1z1\"\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "a bad escape"},
	{"backslash at the end", "--- \"a/\\\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "a bad escape"},
	{"created with old lines", "diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "line 5: new file depends on old contents"},
	{"deleted with new lines", "--- a/x\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n", "line 3: deleted file still has contents"},
	{"created in two hunks", "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n@@ -0,0 +2 @@\n+b\n", "line 5: a second hunk"},
	{"created and deleted", "diff --git a/x b/x\nnew file mode 100644\ndeleted file mode 100644\n", "both created and deleted"},
	{"created on both sides", "diff --git a/x b/x\nnew file mode 100644\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", "names it on both sides"},
	{"created with a mode change", "diff --git a/x b/x\nnew file mode 100644\nold mode 100644\nnew mode 100755\n", "mode change of a file that is created"},
	{"deleted with a mode change", "diff --git a/x b/x\ndeleted file mode 100644\nold mode 100644\nnew mode 100755\n", "mode change of a file that is created or deleted"},
	{"half a mode change", "diff --git a/x b/x\nnew mode 100755\n", "one of the lines \"old mode\""},
	{"twice a mode", "diff --git a/x b/x\nold mode 100644\nnew mode 100755\nnew mode 120000\n", "line 4: a second \"new mode\""},
	{"mode that is no number", "diff --git a/x b/x\nold mode 100644\nnew mode x\n", "line 3: git file header: invalid mode"},
	{"half a rename", "diff --git a/x b/y\nrename from x\n", "is missing"},
	{"rename to itself", "diff --git a/x b/x\nrename from x\nrename to x\n", "to itself"},
	{"rename of a bad quote", "diff --git a/x b/y\nrename from \"x\nrename to y\n", "closing quote"},
	{"rename of other files", "diff --git a/x b/y\nrename from x\nrename to z\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", "the rename is of x to z"},
	{"rename of no file", "diff --git a/x b/y\nrename from x\nrename to y\n--- /dev/null\n+++ b/z\n@@ -0,0 +1 @@\n+a\n", "the rename is of x to y"},
	{"quoted on the right, without end", "diff --git a/x \"b/x\nold mode 100644\nnew mode 100755\n", "can't tell the two paths"},
	{"quote within a word", "diff --git a/x\"y b/x\"y\nold mode 100644\nnew mode 100755\n", "can't tell the two paths"},
	{"quoted on the left alone", "diff --git \"a/x\"\nold mode 100644\nnew mode 100755\n", "can't tell the two paths"},
	{"changed after deletion", "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "line 5: modify of x after delete"},
	{"created twice", "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", "create of x after create"},
	{"swap", "diff --git a/x b/y\nrename from x\nrename to y\ndiff --git a/y b/x\nrename from y\nrename to x\n", "delete of y after create"},
	{"file and directory, deleted", "diff --git a/x b/x\ndeleted file mode 100644\ndiff --git a/x/y b/x/y\ndeleted file mode 100644\n", "both a file and the directory"},
	{"file and directory", "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n--- /dev/null\n+++ b/x/y\n@@ -0,0 +1 @@\n+a\n", "both a file and the directory"},
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range malformed {
		t.Run(tt.name, func(t *testing.T) {
			_, err := diff.Parse([]byte(tt.patch), diff.Limits{})
			wantInput(t, err, tt.want)
		})
	}
}

var escapes = []struct{ path, want string }{
	{"/etc/passwd", "absolute"},
	{"../x", `".." component`},
	{"lib/../../x", `".." component`},
	{"lib/..", `".." component`},
	{"lib/./x", `"." component`},
	{"lib//x", "empty component"},
	{"lib/", "empty component"},
	{"C:/x", "drive letter"},
	{"c:x", "drive letter"},
	{".git/config", "lies in .git"},
	{"lib/.GIT/hooks/pre-commit", "lies in .git"},
	{".git", "lies in .git"},
	{".git./config", "lies in .git"},
	{".git /config", "lies in .git"},
	{".git . ./config", "lies in .git"},
	{".git::$INDEX_ALLOCATION/config", "lies in .git"},
	{"GIT~1/config", "lies in .git"},
	{"lib/.wh.x", "whiteout"},
	{"lib/\u202exsj.x", "invisible"},
	{".g\u200cit/config", "invisible"},
	{"x\u2028y", "invisible"},
	{"x\u0085y", "control"},
	{strings.Repeat("x", 256), "more than 255 bytes"},
	{strings.Repeat("x/", 64) + "x", "deeper than 64"},
	{strings.Repeat("xxxxxxxxx/", 401), "more than 4000 bytes"},
	{"x\xffy", "UTF-8"},
	{`\\x`, "backslash"},
	{`..\\x`, "backslash"},
	{`x\ny`, "control"},
	{`x\ty`, "control"},
	{`x\ry`, "control"},
	{`x\001y`, "control"},
	{`x\000y`, "control"},
}

// Each path is tried wherever a patch can name one.
func TestJail(t *testing.T) {
	hunk := "@@ -1 +1 @@\n-a\n+b\n"
	forms := map[string]func(p string) string{
		"git":         func(p string) string { return "diff --git \"a/P\" \"b/P\"\n--- \"a/P\"\n+++ \"b/P\"\n" + hunk },
		"plain":       func(string) string { return "--- \"a/P\"\n+++ \"b/P\"\n" + hunk },
		"unprefixed":  func(string) string { return "--- \"P\"\n+++ \"P\"\n" + hunk },
		"creation":    func(string) string { return "--- /dev/null\n+++ \"b/P\"\n@@ -0,0 +1 @@\n+a\n" },
		"deletion":    func(string) string { return "--- \"a/P\"\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n" },
		"mode":        func(string) string { return "diff --git \"a/P\" \"b/P\"\nold mode 100644\nnew mode 100755\n" },
		"rename from": func(string) string { return "diff --git \"a/P\" b/y\nrename from \"P\"\nrename to y\n" },
		"rename to":   func(string) string { return "diff --git a/y \"b/P\"\nrename from y\nrename to \"P\"\n" },
		"copy from":   func(string) string { return "diff --git \"a/P\" b/y\ncopy from \"P\"\ncopy to y\n" },
		"copy to":     func(string) string { return "diff --git a/y \"b/P\"\ncopy from y\ncopy to \"P\"\n" },
	}
	for _, tt := range escapes {
		for name, form := range forms {
			patch := strings.ReplaceAll(form(tt.path), "P", tt.path)
			_, err := diff.Parse([]byte(patch), diff.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s of %q: got %v, want %q", name, tt.path, err, tt.want)
			}
			if crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "" {
				t.Errorf("%s of %q: kind %v, hint %q", name, tt.path, crisol.KindOf(err), crisol.HintOf(err))
			}
		}
	}
	for _, good := range []string{"lib/..x", "...", ".github/x", ".gitignore", "a b", "xy:z", "lib/C:x", "é", "日本"} {
		parse(t, "diff --git \"a/"+good+"\" \"b/"+good+"\"\n--- a/"+good+"\n+++ b/"+good+"\n"+hunk)
	}
}

func TestModesAreRefused(t *testing.T) {
	for mode, want := range map[string]string{
		"120000": "symbolic link", "160000": "submodule", "104755": "neither", "102755": "neither", "100777": "neither",
		"100600": "neither", "040000": "neither", "020666": "neither", "0": "a mode of 0", "644": "neither",
	} {
		for _, patch := range []string{
			"diff --git a/x b/x\nnew file mode " + mode + "\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
			"diff --git a/x b/x\ndeleted file mode " + mode + "\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n",
			"diff --git a/x b/x\nold mode 100644\nnew mode " + mode + "\n",
			"diff --git a/x b/x\nold mode " + mode + "\nnew mode 100644\n",
			"diff --git a/x b/x\nindex 1..2 " + mode + "\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-y\n+/etc\n",
			"diff --git a/x b/y\nrename from x\nrename to y\nindex 1..2 " + mode + "\n",
		} {
			_, err := diff.Parse([]byte(patch), diff.Limits{})
			if mode == "0" && strings.Contains(patch, "index") {
				check(t, err) // says nothing
				continue
			}
			wantInput(t, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	file := func(n string) string { return "--- a/" + n + "\n+++ b/" + n + "\n" + five }
	for _, tt := range []struct {
		name   string
		limits diff.Limits
		patch  string
		want   string
	}{
		{"bytes", diff.Limits{Bytes: 50}, file("x"), "more than 50 bytes"},
		{"files", diff.Limits{Files: 2}, file("x") + file("y") + file("z"), "line 23: more than 2 files"},
		{"hunks", diff.Limits{Hunks: 1}, file("x") + file("y"), "line 14: more than 1 hunks"},
		{"lines", diff.Limits{Lines: 10}, file("x"), "more than 10 lines"},
		{"line", diff.Limits{LineBytes: 20}, header + "@@ -1 +1 @@\n-a\n+" + strings.Repeat("b", 20) + "\n", "line 5: longer than 20 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := diff.Read(strings.NewReader(tt.patch), tt.limits)
			wantInput(t, err, tt.want)
		})
	}
}

func TestFileLimits(t *testing.T) {
	root := open(t, tree{"x": strings.Repeat("x\n", 600), "y": strings.Repeat("x\n", 600), "z": "a\n"}.lay(t))
	big := "--- a/z\n+++ b/z\n@@ -1 +1,600 @@\n a\n" + strings.Repeat("+bb\n", 599)
	for _, tt := range []struct {
		name   string
		limits diff.Limits
		patch  string
		want   string
	}{
		{"file read", diff.Limits{FileBytes: 1000}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n", "x: the file has more than 1000 bytes"},
		{"file produced", diff.Limits{FileBytes: 1000}, big, "z: the file has more than 1000 bytes"},
		{"file copied", diff.Limits{TotalBytes: 2000}, "diff --git a/x b/v\ncopy from x\ncopy to v\n", "more than 2000 bytes together"},
		{"files together", diff.Limits{TotalBytes: 3000}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-x\n+y\n", "more than 3000 bytes together"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := diff.Parse([]byte(tt.patch), tt.limits)
			check(t, err)
			_, err = p.Apply(root)
			wantInput(t, err, tt.want)
		})
	}
}

// A reader that never ends costs no more than the limit.
func TestReadIsBounded(t *testing.T) {
	read := 0
	endless := readerFunc(func(b []byte) (int, error) {
		for i := range b {
			b[i] = "+\n"[i%2]
		}
		read += len(b)
		return len(b), nil
	})
	_, err := diff.Read(endless, diff.Limits{})
	wantInput(t, err, "more than 10485760 bytes")
	if read > 11<<20 {
		t.Errorf("%d bytes were read", read)
	}
	_, err = diff.Parse(bytes.Repeat([]byte("+evil\n"), 50<<20/6), diff.Limits{})
	wantInput(t, err, "more than 10485760 bytes")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestReadFails(t *testing.T) {
	broken := errors.New("the line is dead")
	_, err := diff.Read(iotest.ErrReader(broken), diff.Limits{})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	p, err := diff.Read(iotest.OneByteReader(strings.NewReader(header+five)), diff.Limits{})
	check(t, err)
	if len(p.Files) != 1 {
		t.Errorf("got %v", p)
	}
}

var refused = []struct {
	name  string
	tree  tree
	patch string
	want  []string
}{
	{"missing file", tree{"y": ""}, header + five, []string{"x.js: no such file"}},
	{"missing file, found below", tree{"x.js": ten, "y/": ""}, "--- a/packages/core/x.js\n+++ b/packages/core/x.js\n" + five, []string{"no such file", "which has x.js"}},
	{"a directory that is there is not left out", tree{"x.js": ten, "lib/y": ""}, "--- a/lib/x.js\n+++ b/lib/x.js\n" + five, []string{"lib/x.js: no such file"}},
	{"an archive directory of some files only", tree{"x.js": ten, "y": "a\n"}, "--- a/package/x.js\n+++ b/package/x.js\n" + five + "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n", []string{"package/x.js: no such file"}},
	{"an archive directory, one file missing", tree{"x.js": ten}, "--- a/package/x.js\n+++ b/package/x.js\n" + five + "--- a/package/y\n+++ b/package/y\n@@ -1 +1 @@\n-a\n+b\n", []string{"package/x.js: no such file"}},
	{"an archive directory before a drive letter", tree{"x.js": ten}, "--- a/package/x.js\n+++ b/package/x.js\n" + five + "--- /dev/null\n+++ b/package/C:y\n@@ -0,0 +1 @@\n+b\n", []string{"package/x.js: no such file"}},
	{"context differs", tree{"x.js": strings.Replace(ten, "six", "SIX", 1)}, header + five, []string{"x.js: hunk 1 (line 3 of the patch) does not apply at line 6", `want "six", found "SIX"`, "must match the target exactly"}},
	{"white space differs", tree{"x.js": strings.Replace(ten, "six", "\tsix", 1)}, header + five, []string{`want "six", found "\tsix"`, "white space only"}},
	{"already applied", tree{"x.js": tenFive}, header + five, []string{"does not apply at line 5", "already has this change"}},
	{"file too short", tree{"x.js": "one\ntwo\n"}, header + five, []string{`line 3: want "three", found the end of the file`}},
	{"long lines are cut", tree{"x": strings.Repeat("a", 100) + "\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-" + strings.Repeat("b", 100) + "\n+c\n", []string{`"` + strings.Repeat("b", 60) + `"...`}},
	{"second hunk", tree{"x": "a\nb\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+A\n@@ -2 +2 @@\n-c\n+C\n", []string{"hunk 2 (line 6 of the patch) does not apply at line 2"}},
	{"second hunk before the first", tree{"x": "b\na\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+A\n@@ -2 +2 @@\n-b\n+B\n", []string{"hunk 2"}},
	{"taken by the hunk before", tree{"x": "b\na\na\nc\n"}, "--- a/x\n+++ b/x\n@@ -1,3 +1,2 @@\n-a\n-a\n+A\n c\n@@ -4 +3 @@\n-a\n+A\n", []string{"hunk 2", "found the end of the file"}},
	{"cut off, and in several places", tree{"x": "0\n0\na\nb\n0\na\nb\n0\n"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n b\n+c\n", []string{"in several other places", "context after the change"}},
	{"insertion beyond the end", tree{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -5,0 +6 @@\n+b\n", []string{"does not apply at line 6: want a line to insert after, found the end of the file"}},
	{"new final line, not at the end", tree{"x": "a\nb\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+c\n\\ No newline at end of file\n", []string{"want the end of the file, found \"b\""}},
	{"old final line, not at the end", tree{"x": "a\nb\n"}, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", []string{"does not apply"}},
	{"mixed line endings where the patch has one", tree{"x": "a\r\nb\nc\r\n"}, "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", []string{"line endings of the patch (LF) and of the file there (mixed)"}},
	{"creation of a file that is there", tree{"x.js": ten}, "--- /dev/null\n+++ b/x.js\n@@ -0,0 +1 @@\n+a\n", []string{"x.js: the patch would create the file, and it is already there"}},
	{"creation that doesn't say so of a file that is there", tree{"x.js": ten}, header + "@@ -0,0 +1 @@\n+a\n", []string{"starts from an empty file"}},
	{"rename to a file that is there", tree{"x": "a\n", "y": "b\n"}, "diff --git a/x b/y\nrename from x\nrename to y\n", []string{"y: the patch would rename another to the file"}},
	{"copy to a file that is there", tree{"x": "a\n", "y": "b\n"}, "diff --git a/x b/y\ncopy from x\ncopy to y\n", []string{"y: the patch would copy another to the file"}},
	{"rename of no file", tree{}, "diff --git a/x b/y\nrename from x\nrename to y\n", []string{"x: no such file"}},
	{"deletion of part of a file", tree{"x": "a\nb\n"}, "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", []string{"x: the file would be deleted and still has content"}},
	{"deletion without its content", tree{"x": "a\n"}, "diff --git a/x b/x\ndeleted file mode 100644\n", []string{"still has content"}},
	{"directory", tree{"x.js/": ""}, header + five, []string{"x.js: it is a directory in the target"}},
	{"creation over a directory", tree{"x.js/": ""}, "--- /dev/null\n+++ b/x.js\n@@ -0,0 +1 @@\n+a\n", []string{"it is a directory"}},
	{"creation below a file", tree{"x": "a\n"}, "--- /dev/null\n+++ b/x/y\n@@ -0,0 +1 @@\n+a\n", []string{"x/y: x is not a directory"}},
	{"symlink", tree{"y": ten, "x.js": "-> y"}, header + five, []string{"x.js: x.js is a symbolic link"}},
	{"symlink out of the tree", tree{"x.js": "-> /etc/passwd"}, header + five, []string{"symbolic link"}},
	{"dangling symlink", tree{"x": "-> /nowhere"}, "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", []string{"symbolic link"}},
	{"below a symlinked directory", tree{"real/x.js": ten, "lib": "-> real"}, "--- a/lib/x.js\n+++ b/lib/x.js\n" + five, []string{"lib is a symbolic link"}},
	{"creation below a symlinked directory", tree{"lib": "-> /tmp"}, "--- /dev/null\n+++ b/lib/a/b\n@@ -0,0 +1 @@\n+a\n", []string{"lib is a symbolic link"}},
	{"deletion below a symlinked directory", tree{"real/x": "a\n", "lib": "-> real"}, "--- a/lib/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", []string{"lib is a symbolic link"}},
	{"rename to a symlinked directory", tree{"x": "a\n", "lib": "-> /tmp"}, "diff --git a/x b/lib/y\nrename from x\nrename to lib/y\n", []string{"lib is a symbolic link"}},
	{"rename from a symlink", tree{"x": "-> /etc/passwd"}, "diff --git a/x b/y\nrename from x\nrename to y\n", []string{"x is a symbolic link"}},
	{"all or nothing", tree{"x.js": ten, "y": "a\n"}, header + five + "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-b\n+c\n", []string{"y: hunk 1"}},
}

func TestApplyRefuses(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(t, tt.patch).Apply(open(t, tt.tree.lay(t)))
			wantInput(t, err, tt.want...)
			if c != nil {
				t.Errorf("changes beside the error: %v", c)
			}
		})
	}
}

func TestApplyRefusesSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	check(t, syscall.Mkfifo(filepath.Join(dir, "x.js"), 0o644))
	_, err := parse(t, header+five).Apply(open(t, dir))
	wantInput(t, err, "a special file")
}

// A name that no directory of the file system can hold is the patch's fault.
func TestApplyRefusesNamesTooLong(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 255)+"/", 15) + "x"
	_, err := parse(t, "--- a/"+long+"\n+++ b/"+long+"\n@@ -1 +1 @@\n-a\n+b\n").Apply(open(t, t.TempDir()))
	wantInput(t, err)
}

func TestApplyOnClosedRoot(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	check(t, err)
	check(t, root.Close())
	_, err = parse(t, header+five).Apply(root)
	if crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("got %v", err)
	}
}

// A file of equal lines must not make the search for a hunk's place quadratic.
func TestApplyIsBounded(t *testing.T) {
	root := open(t, tree{"x": strings.Repeat("a\n", 200000)}.lay(t))
	context := strings.Repeat(" a\n", 20000)
	for name, patch := range map[string]string{
		"cut off": "@@ -1,20001 +1,20001 @@\n" + context + "-b\n+c\n",
		"whole":   "@@ -1,40001 +1,40001 @@\n" + context + "-b\n+c\n" + context,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, "--- a/x\n+++ b/x\n"+patch).Apply(root)
			wantInput(t, err, "takes too long")
		})
	}
}

func TestNothingIsWritten(t *testing.T) {
	dir := tree{"x.js": ten, "y": "a\n"}.lay(t)
	before := snapshot(t, dir)
	_, err := parse(t, header+five+"--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n").Apply(open(t, dir))
	check(t, err)
	compare(t, snapshot(t, dir), before)
}

// snapshot reads a directory back as a tree.
func snapshot(t testing.TB, dir string) tree {
	t.Helper()
	tr := tree{}
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			tr[rel] = info.Mode().Type().String()
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		if info.Mode()&0o111 != 0 {
			rel += "*"
		}
		tr[rel] = string(b)
		return errors.Join(err, f.Close())
	}))
	return tr
}
