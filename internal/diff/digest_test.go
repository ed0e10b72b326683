package diff_test

import (
	"slices"
	"strings"
	"testing"

	"crisol/internal/diff"
)

// The digest says which change it is, however it was written down.
func TestDigestIsOfTheChange(t *testing.T) {
	want := parse(t, "--- x.js\n+++ x.js\n"+five).Digest()
	if len(want) != 64 {
		t.Errorf("digest %q", want)
	}
	for name, patch := range map[string]string{
		"prefixes":    header + five,
		"timestamps":  "--- a/x.js\t2020-01-01 00:00:00 +0000\n+++ b/x.js\t2021-01-01 00:00:00 +0000\n" + five,
		"directories": "--- old/x.js\n+++ new/x.js\n" + five,
		"git":         "diff --git a/x.js b/x.js\nindex 1..2 100644\n" + header + five,
		"other index": "diff --git a/x.js b/x.js\nindex 3..4\n" + header + five,
		"message":     "From: me\n\nWhy.\n---\n" + header + five + "-- \n2.39\n",
		"CRLF":        crlf("diff --git a/x.js b/x.js\nindex 1..2 100644\n" + header + five),
		"content in CRLF": strings.Replace(strings.Replace(crlf(header+five), header[:10]+"\r\n", header[:10]+"\n", 1),
			"+++ b/x.js\r\n", "+++ b/x.js\n", 1),
		"no heading":    header + strings.Replace(five, " head", "", 1),
		"new start":     header + strings.Replace(five, "+2,7", "+44,7", 1),
		"trimmed":       header + strings.TrimSpace(five),
		"added first":   header + strings.Replace(five, "-five\n+FIVE\n", "+FIVE\n-five\n", 1),
		"quoted":        "--- \"a/x.js\"\n+++ \"b/x.js\"\n" + five,
		"a fenced text": "```\n" + header + five + "```\n",
	} {
		if got := parse(t, patch).Digest(); got != want {
			t.Errorf("%s: another digest:\n%s", name, parse(t, patch))
		}
	}
	for name, patch := range map[string]string{
		"path":     "--- y.js\n+++ y.js\n" + five,
		"line":     header + strings.Replace(five, "FIVE", "FIve", 1),
		"context":  header + strings.Replace(five, "six", "Six", 1),
		"place":    header + strings.Replace(five, "-2,7", "-3,7", 1),
		"mode":     "diff --git a/x.js b/x.js\nold mode 100644\nnew mode 100755\n" + header + five,
		"newline":  header + five + "\\ No newline at end of file\n",
		"a return": header + strings.Replace(five, "+FIVE", "+FIVE\r", 1),
		"a blank":  header + strings.Replace(five, "+FIVE", "+FIVE ", 1),
		"rename":   "diff --git a/x.js b/y.js\nrename from x.js\nrename to y.js\n--- a/x.js\n+++ b/y.js\n" + five,
		"two":      header + five + "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
	} {
		if parse(t, patch).Digest() == want {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestDigestIgnoresTheOrderOfFiles(t *testing.T) {
	x, y := header+five, "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n"
	p, q := parse(t, x+y), parse(t, y+x)
	if p.Digest() != q.Digest() {
		t.Error("digests differ")
	}
	if p.Files[0].New != "x.js" || q.Files[0].New != "y" {
		t.Error("the order of the files was changed")
	}
	again := "--- a/y\n+++ b/y\n@@ -1 +1 @@\n-b\n+c\n"
	if parse(t, y+again).Digest() == parse(t, again+y).Digest() {
		t.Error("the order of changes of one file is ignored")
	}
}

func TestPaths(t *testing.T) {
	p := parse(t, header+five+"diff --git a/b b/c\nrename from b\nrename to c\ndiff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+a\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n")
	if got, want := p.Paths(), []string{"b", "c", "gone", "new", "x.js"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := p.Files[0].Hunks[0].Line; got != 3 {
		t.Errorf("the hunk stands in line %d, want 3", got)
	}
}

// Whoever judges a patch by its paths sees those that it will be applied to.
func TestFit(t *testing.T) {
	root := open(t, tree{"x.js": ten}.lay(t))
	p := parse(t, "--- a/package/x.js\n+++ b/package/x.js\n"+five+"--- /dev/null\n+++ b/package/sitecustomize.py\n@@ -0,0 +1 @@\n+evil()\n")
	fitted, note := p.Fit(root)
	if want := []string{"sitecustomize.py", "x.js"}; !slices.Equal(fitted.Paths(), want) || note == "" {
		t.Errorf("got %v (%q), want %v", fitted.Paths(), note, want)
	}
	if p.Paths()[1] != "package/x.js" {
		t.Error("the patch itself was changed")
	}
	if again, note := fitted.Fit(root); again != fitted || note != "" {
		t.Errorf("fitted twice: %v", again.Paths())
	}
	c, err := p.Apply(root)
	check(t, err)
	compare(t, result(c), tree{"x.js": tenFive, "sitecustomize.py": "evil()\n"})
}

func TestLimitsOr(t *testing.T) {
	got := diff.Limits{Files: 3}.Or(diff.DefaultLimits)
	want := diff.DefaultLimits
	want.Files = 3
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
