package diff_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crisol/internal/diff"
)

// write puts changes into a directory, as whoever ships the patch would.
func write(t testing.TB, dir string, c *diff.Changes) {
	t.Helper()
	for _, f := range c.Files {
		name := filepath.Join(dir, f.Path)
		if f.Deleted {
			check(t, os.Remove(name))
			continue
		}
		check(t, os.MkdirAll(filepath.Dir(name), 0o755))
		check(t, os.WriteFile(name, f.Content, f.Mode))
		check(t, os.Chmod(name, f.Mode))
	}
}

func apply(t testing.TB, p *diff.Patch, dir string) *diff.Changes {
	t.Helper()
	c, err := p.Apply(open(t, dir))
	if err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	return c
}

const threeHunks = header +
	"@@ -1,2 +1,3 @@\n-one\n+ONE\n+and\n two\n" +
	"@@ -5,2 +6 @@\n five\n-six\n" +
	"@@ -9,2 +9,2 @@\n nine\n-ten\n+TEN\n"

func TestReverse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		tree  tree
		patch string
	}{
		{"hunks", tree{"x.js": ten}, threeHunks},
		{"creation", tree{}, "--- /dev/null\n+++ b/y\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"creation of an empty file", tree{}, "diff --git a/y b/y\nnew file mode 100755\n"},
		{"deletion", tree{"y*": "a\r\nb"}, "diff --git a/y b/y\ndeleted file mode 100755\n--- a/y\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\r\n-b\n\\ No newline at end of file\n"},
		{"rename", tree{"x.js": ten}, "diff --git a/x.js b/z\nrename from x.js\nrename to z\n--- a/x.js\n+++ b/z\n" + five},
		{"mode", tree{"x": "a\n"}, "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"},
		{"twice the same file", tree{"x.js": ten}, header + five + header + "@@ -5 +5 @@\n-FIVE\n+V\n"},
		{"created, then changed", tree{}, "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n--- a/y\n+++ b/y\n@@ -1 +1,2 @@\n-a\n+b\n+c\n"},
		{"final newline", tree{"x": "a\nb"}, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
		{"emptied", tree{"x": "a\n"}, "--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-a\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.tree.lay(t)
			p := parse(t, tt.patch)
			write(t, dir, apply(t, p, dir))
			back, err := p.Reverse()
			check(t, err)
			write(t, dir, apply(t, parse(t, back.String()), dir))
			compare(t, snapshot(t, dir), tt.tree)
			again, err := back.Reverse()
			check(t, err)
			if again.Digest() != p.Digest() {
				t.Errorf("reversed twice:\n%s\nwant\n%s", again, p)
			}
		})
	}
}

func TestReverseOfCopy(t *testing.T) {
	_, err := parse(t, "diff --git a/x b/y\ncopy from x\ncopy to y\n").Reverse()
	wantInput(t, err, "y is a copy")
}

func TestSingleHunks(t *testing.T) {
	p := parse(t, threeHunks+"--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+a\n")
	want := []string{
		strings.Replace(ten, "one\n", "ONE\nand\n", 1),
		strings.Replace(ten, "six\n", "", 1),
		strings.Replace(ten, "ten\n", "TEN\n", 1),
	}
	for i := range want {
		t.Run(fmt.Sprint("hunk ", i), func(t *testing.T) {
			// All hunks but i, each way.
			without, err := p.WithoutHunk(0, i)
			check(t, err)
			dir, other := tree{"x.js": ten}.lay(t), tree{"x.js": ten}.lay(t)
			write(t, dir, apply(t, without, dir))

			undo, err := p.ReverseHunk(0, i)
			check(t, err)
			write(t, other, apply(t, p, other))
			write(t, other, apply(t, parse(t, undo.String()), other))
			compare(t, snapshot(t, other), snapshot(t, dir))

			// Only hunk i.
			for j := 2; j >= 0; j-- {
				if j != i {
					without, err = without.WithoutHunk(0, min(j, len(without.Files[0].Hunks)-1))
					check(t, err)
					break
				}
			}
			if len(without.Files[0].Hunks) != 1 {
				t.Errorf("got\n%s", without)
			}
		})
	}
	onlyX, err := p.WithoutHunk(1, 0)
	check(t, err)
	if len(onlyX.Files) != 1 || onlyX.Files[0].New != "x.js" {
		t.Errorf("got\n%s", onlyX)
	}
	undo, err := p.ReverseHunk(1, 0)
	check(t, err)
	dir := tree{"y": "a\n"}.lay(t)
	compare(t, result(apply(t, undo, dir)), tree{"y": "(deleted)"})
	if len(p.Files[0].Hunks) != 3 || len(p.Files) != 2 {
		t.Errorf("the patch itself was changed:\n%s", p)
	}
	for _, at := range [][2]int{{-1, 0}, {2, 0}, {0, -1}, {0, 3}} {
		_, err := p.WithoutHunk(at[0], at[1])
		wantInput(t, err, "none such")
		_, err = p.ReverseHunk(at[0], at[1])
		wantInput(t, err, "none such")
	}
}

func TestWithoutHunkKeepsTheRest(t *testing.T) {
	for _, tt := range []struct{ patch, want string }{
		{"diff --git a/x.js b/x.js\nold mode 100644\nnew mode 100755\n--- a/x.js\n+++ b/x.js\n" + five, "mode"},
		{"diff --git a/x.js b/y\nrename from x.js\nrename to y\n--- a/x.js\n+++ b/y\n" + five, "rename"},
	} {
		p, err := parse(t, tt.patch).WithoutHunk(0, 0)
		check(t, err)
		if len(p.Files) != 1 || !strings.Contains(p.String(), tt.want) || strings.Contains(p.String(), "@@") {
			t.Errorf("got %q", p)
		}
	}
	p, err := parse(t, header+five).WithoutHunk(0, 0)
	check(t, err)
	if len(p.Files) != 0 || p.String() != "" || p.Paths() != nil {
		t.Errorf("got %q", p)
	}
	if c := apply(t, p, t.TempDir()); !c.Empty() {
		t.Errorf("got %v", c)
	}
}

func TestWithout(t *testing.T) {
	p := parse(t, header+five+
		"--- a/test/x.js\n+++ b/test/x.js\n"+five+
		"--- a/test/y.js\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"+
		"diff --git a/test/old b/lib/new\nrename from test/old\nrename to lib/new\n"+
		"diff --git a/test/data b/lib/data\ncopy from test/data\ncopy to lib/data\n")
	kept, dropped := p.Without(func(path string) bool { return strings.HasPrefix(path, "test/") })
	if want := []string{"lib/new", "test/x.js", "test/y.js"}; !slices.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
	if want := []string{"lib/data", "test/data", "x.js"}; !slices.Equal(kept.Paths(), want) {
		t.Errorf("kept %v, want %v", kept.Paths(), want)
	}
	kept, dropped = p.Without(func(string) bool { return false })
	if dropped != nil || kept.Digest() != p.Digest() {
		t.Errorf("dropped %v", dropped)
	}
}

// lines draws the content of a file from few different lines, so that contexts repeat.
func lines(t *rapid.T, label string) []string {
	return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "", "}", "  x", "-- y", "++ z", "é\t", "@@ -1 +1 @@", `\ No`}), 0, 30).Draw(t, label)
}

// content joins lines with an ending, with or without a final one.
func content(lines []string, eol string, final bool) string {
	s := strings.Join(lines, eol)
	if s != "" && final {
		s += eol
	}
	return s
}

// unified writes a diff of two contents with n lines of context, from random edits rather than from a diff algorithm.
type edits struct {
	old, new []string
	ops      string // one of ' ', '-', '+' a line
}

func drawEdits(t *rapid.T, old []string) edits {
	e := edits{old: old}
	for i := 0; i <= len(old); i++ {
		for range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 3}).Draw(t, "added") {
			e.new = append(e.new, rapid.SampledFrom([]string{"a", "new", "", "}", "-- q"}).Draw(t, "line"))
			e.ops += "+"
		}
		if i == len(old) {
			break
		}
		if rapid.SampledFrom([]bool{false, false, false, false, true}).Draw(t, "removed") {
			e.ops += "-"
			continue
		}
		e.new = append(e.new, old[i])
		e.ops += " "
	}
	return e
}

// hunks renders the edits with n lines of context. cr stands before every newline; open sides lack the final one.
func (e edits) hunks(n int, cr string, oldOpen, newOpen bool) string {
	near := func(i int) bool {
		return strings.Trim(e.ops[max(0, i-n):min(len(e.ops), i+n+1)], " ") != ""
	}
	var b strings.Builder
	oldAt, newAt := 0, 0
	for i := 0; i < len(e.ops); {
		if !near(i) {
			oldAt, newAt, i = oldAt+1, newAt+1, i+1
			continue
		}
		var body strings.Builder
		o, m := oldAt, newAt
		for ; i < len(e.ops) && near(i); i++ {
			text := ""
			op := e.ops[i]
			last := true
			if op != '+' {
				text, last = e.old[oldAt], last && oldAt == len(e.old)-1 && oldOpen
				oldAt++
			}
			if op != '-' {
				text, last = e.new[newAt], last && newAt == len(e.new)-1 && newOpen
				newAt++
			}
			body.WriteString(string(op) + text)
			if last {
				body.WriteString("\n\\ No newline at end of file\n")
			} else {
				body.WriteString(cr + "\n")
			}
		}
		fmt.Fprintf(&b, "@@ -%s +%s @@\n%s", span(o, oldAt-o), span(m, newAt-m), &body)
	}
	return b.String()
}

// span renders a range as diff does: an empty one names the line before it.
func span(start, count int) string {
	if count == 0 {
		return fmt.Sprintf("%d,0", start)
	}
	return fmt.Sprintf("%d,%d", start+1, count)
}

// Whatever the edits, the patch makes the new file from the old one, and its reverse the old one from the new one.
func TestApplyThenReverse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := lines(rt, "old")
		e := drawEdits(rt, old)
		cr := rapid.SampledFrom([]string{"", "", "\r"}).Draw(rt, "cr")
		final := rapid.Bool().Draw(rt, "final newline")
		// Without its newline an empty last line would be none, and a line kept on both sides but last on one would be
		// another line there.
		final = final || endsEmpty(e.old) || endsEmpty(e.new) || lastOps(e.ops)
		hunks := e.hunks(rapid.IntRange(1, 4).Draw(rt, "context"), cr, !final, !final)
		before, after := content(e.old, cr+"\n", final), content(e.new, cr+"\n", final)
		if hunks == "" || before == after || before == "" || after == "" {
			rt.Skip("nothing is changed")
		}
		dir := tree{"x": before}.lay(t)
		p, err := diff.Parse([]byte("--- a/x\n+++ b/x\n"+hunks), diff.Limits{})
		if err != nil {
			rt.Fatalf("%v\n%s", err, hunks)
		}
		step(rt, t, dir, p, after)
		back, err := p.Reverse()
		check(t, err)
		if back, err = diff.Parse([]byte(back.String()), diff.Limits{}); err != nil {
			rt.Fatalf("%v\n%s", err, back)
		}
		step(rt, t, dir, back, before)
	})
}

func endsEmpty(lines []string) bool { return len(lines) > 0 && lines[len(lines)-1] == "" }

// lastOps: the kept last line of one side is not the last line of the other, so that a missing newline would make it
// another line.
func lastOps(ops string) bool {
	tail := strings.TrimRight(ops, "+-")
	changed := ops[len(tail):]
	return tail != "" && changed != "" && (!strings.Contains(changed, "+") || !strings.Contains(changed, "-"))
}

func step(rt *rapid.T, t *testing.T, dir string, p *diff.Patch, want string) {
	c, err := p.Apply(open(t, dir))
	if err != nil {
		rt.Fatalf("%v\n%s", err, p)
	}
	if len(c.Files) != 1 || string(c.Files[0].Content) != want {
		rt.Fatalf("got %q, want %q\n%s", result(c)["x"], want, p)
	}
	for _, offset := range c.Files[0].HunkOffsets {
		if offset != 0 {
			rt.Fatalf("a hunk was moved: %v\n%s", c.Notes, p)
		}
	}
	write(t, dir, c)
}
