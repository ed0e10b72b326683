package diff_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crisol/internal/diff"
)

func TestBetween(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, before, after, want string
	}{
		{"equal", "a\n", "a\n", ""},
		{"one line", "a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"insert at the start", "a\n", "x\na\n", "@@ -1,1 +1,2 @@\n+x\n a\n"},
		{"insert into nothing", "", "x\n", "@@ -0,0 +1,1 @@\n+x\n"},
		{"delete all", "x\n", "", "@@ -1,1 +0,0 @@\n-x\n"},
		{"no newline at the end", "a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
		{"two hunks", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
			"@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n"},
		{"repeated lines", "{\n}\n{\n}\n", "{\n}\n{\nz\n}\n", "@@ -1,4 +1,5 @@\n {\n }\n {\n+z\n }\n"},
		{"CRLF", "a\r\nb\r\n", "a\r\nc\r\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c\n"},
		{"moved", "a\nb\nc\nd\n", "c\na\nb\nd\n", "@@ -1,4 +1,4 @@\n+c\n a\n b\n-c\n d\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := diff.Between(map[string]string{"f": test.before}, map[string]string{"f": test.after}).String()
			if i := strings.Index(text, "@@"); i > 0 {
				text = text[i:]
			}
			if text != test.want {
				t.Errorf("got\n%s\nwant\n%s", text, test.want)
			}
		})
	}
}

// Whatever the texts, the patch parses back to itself and turns the one into the other.
func TestBetweenApplies(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"a\n", "b\n", "c\n", "{\n", "}\n", "\n", "  return x\n", "d\r\n", "e\r\n", "f\r\n"})
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(line, 0, 40).Draw(t, "lines"), "") + rapid.SampledFrom([]string{"", "", "end"}).Draw(t, "end")
	})
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		if before == after || strings.Contains(before+after, "\r") && !strings.Contains(before, "\r") {
			t.Skip("nothing to do, or line endings that the patch would not keep")
		}
		p := diff.Between(map[string]string{"f": before}, map[string]string{"f": after})
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		changes, err := p.Apply(root)
		if err != nil {
			t.Fatalf("%v\n%s", err, p)
		}
		got := before
		for _, f := range changes.Files {
			got = string(f.Content)
		}
		if strings.ReplaceAll(got, "\r", "") != strings.ReplaceAll(after, "\r", "") {
			t.Fatalf("got %q, want %q\n%s", got, after, p)
		}
		again, err := diff.Parse([]byte(p.String()), diff.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if again.Digest() != p.Digest() {
			t.Fatalf("the patch parses back to another:\n%s\n%s", p, again)
		}
	})
}

func TestBetweenFiles(t *testing.T) {
	t.Parallel()
	p := diff.Between(map[string]string{"gone": "x\n", "same": "s\n", "z": "1\n"}, map[string]string{"new": "n\n", "same": "s\n", "z": "2\n"})
	var got []string
	for _, f := range p.Files {
		got = append(got, string(f.Op)+" "+f.Path())
	}
	if strings.Join(got, ", ") != "delete gone, create new, modify z" {
		t.Error(got)
	}
	if _, err := diff.Parse([]byte(p.String()), diff.Limits{}); err != nil {
		t.Error(err)
	}
}

func TestEditsMakeOneTextOfTheOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a\n", "b\n", "c d\n", "\n", "e\r\n", "f"}), 0, 12).Draw(t, "lines"), "")
		})
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		var made strings.Builder
		old, now := 0, 0
		for _, e := range diff.Edits([]byte(before), []byte(after)) {
			if e.Old < old || e.OldEnd < e.Old || e.NewEnd < e.New || e.Old-old != e.New-now {
				t.Fatalf("edit %+v after bytes %d and %d", e, old, now)
			}
			made.WriteString(before[old:e.Old] + after[e.New:e.NewEnd])
			old, now = e.OldEnd, e.NewEnd
		}
		if made.WriteString(before[old:]); made.String() != after {
			t.Fatalf("%q became %q, want %q", before, made.String(), after)
		}
	})
}
