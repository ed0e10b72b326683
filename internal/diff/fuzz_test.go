package diff_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/diff"
)

// small keeps a fuzzed patch from spending its time on size.
var small = diff.Limits{Bytes: 1 << 16, Files: 20, Hunks: 100, FileBytes: 1 << 16, TotalBytes: 1 << 18}

func seed(f *testing.F, add func(patch string)) {
	for _, tt := range applied {
		add(tt.patch)
	}
	for _, tt := range malformed {
		add(tt.patch)
	}
	for _, tt := range refused {
		add(tt.patch)
	}
	for _, tt := range escapes {
		add("diff --git a/" + tt.path + " b/" + tt.path + "\n--- \"a/" + tt.path + "\"\n+++ \"b/" + tt.path + "\"\n@@ -1 +1 @@\n-a\n+b\n")
	}
	add(threeHunks)
}

// inside checks a path with nothing of the room's own code.
func inside(t *testing.T, path string) {
	t.Helper()
	if !fs.ValidPath(path) || path == "." || !filepath.IsLocal(path) {
		t.Fatalf("path %q leaves the tree", path)
	}
	for _, part := range strings.Split(path, "/") {
		if strings.HasPrefix(strings.ToLower(strings.TrimRight(part, " .")), ".git:") || strings.EqualFold(strings.TrimRight(part, " ."), ".git") {
			t.Fatalf("path %q is git's", path)
		}
	}
	if strings.ContainsAny(path, "\\\x00\n\r\t") {
		t.Fatalf("path %q holds a trick", path)
	}
}

func fuzzParse(t *testing.T, text []byte) *diff.Patch {
	p, err := diff.Parse(text, small)
	if err != nil {
		if crisol.KindOf(err) != crisol.KindInput {
			t.Fatalf("kind %v: %v", crisol.KindOf(err), err)
		}
		return nil
	}
	if len(p.Files) == 0 {
		t.Fatal("a patch without files")
	}
	for _, f := range p.Files {
		if (f.Old == "") != (f.Op == diff.Create) || (f.New == "") != (f.Op == diff.Delete) {
			t.Fatalf("%s has paths %q, %q", f.Op, f.Old, f.New)
		}
		for _, m := range []fs.FileMode{f.OldMode, f.Mode} {
			if m != 0 && m != 0o644 && m != 0o755 {
				t.Fatalf("mode %o", m)
			}
		}
	}
	for _, path := range p.Paths() {
		inside(t, path)
	}
	return p
}

func roundTrip(t *testing.T, p *diff.Patch) {
	text := p.String()
	limits := small
	limits.Bytes *= 4 // a header grows when it is written out
	again, err := diff.Parse([]byte(text), limits)
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	if again.Digest() != p.Digest() {
		t.Fatalf("digest differs: %q, then %q", text, again)
	}
}

func FuzzParse(f *testing.F) {
	seed(f, func(patch string) { f.Add([]byte(patch)) })
	f.Fuzz(func(t *testing.T, text []byte) {
		p := fuzzParse(t, text)
		if p == nil {
			return
		}
		roundTrip(t, p)
		if back, err := p.Reverse(); err == nil {
			roundTrip(t, back)
			twice, err := back.Reverse()
			check(t, err)
			if twice.Digest() != p.Digest() {
				t.Fatalf("reversed twice: %q, want %q", twice, p)
			}
		}
		for i, f := range p.Files {
			for j := range f.Hunks {
				less, err := p.WithoutHunk(i, j)
				check(t, err)
				if len(less.Files) > 0 {
					roundTrip(t, less)
				}
				undo, err := p.ReverseHunk(i, j)
				check(t, err)
				roundTrip(t, undo)
			}
		}
	})
}

// FuzzApply has the patch meet a tree with the content where it names its files, and with symlinks out of the tree.
func FuzzApply(f *testing.F) {
	seed(f, func(patch string) {
		f.Add([]byte(patch), ten)
		f.Add([]byte(patch), "a\nb")
		f.Add([]byte(patch), "a\r\nb\r\n")
	})
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, content string) {
		p := fuzzParse(t, text)
		if p == nil || len(p.Paths()) > 20 {
			return
		}
		dir, err := os.MkdirTemp(base, "run")
		check(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		target, layer, outside := filepath.Join(dir, "target"), filepath.Join(dir, "layer"), filepath.Join(dir, "outside")
		for _, d := range []string{target, layer, outside} {
			check(t, os.Mkdir(d, 0o755))
		}
		check(t, os.WriteFile(filepath.Join(outside, "x.js"), []byte(content), 0o644))
		for _, link := range []string{"lib", "link"} {
			check(t, os.Symlink(outside, filepath.Join(target, link)))
		}
		for _, file := range p.Files {
			if file.Old != "" && !strings.HasPrefix(file.Old, "li") {
				// Names too long for the file system, or below another's file, are simply not there.
				if os.MkdirAll(filepath.Join(target, filepath.Dir(file.Old)), 0o755) == nil {
					_ = os.WriteFile(filepath.Join(target, file.Old), []byte(content), 0o644)
				}
			}
		}
		before := snapshotAll(t, dir)
		root, err := os.OpenRoot(target)
		check(t, err)
		defer func() { _ = root.Close() }()
		c, err := p.Apply(root)
		if err != nil {
			if crisol.KindOf(err) != crisol.KindInput {
				t.Fatalf("kind %v: %v", crisol.KindOf(err), err)
			}
			compare(t, snapshotAll(t, dir), before)
			return
		}
		for _, change := range c.Files {
			inside(t, change.Path)
			if strings.HasPrefix(change.Path, "lib/") || strings.HasPrefix(change.Path, "link/") {
				t.Fatalf("%s lies behind a symlink", change.Path)
			}
		}
		check(t, c.WriteLayer(layer, "node_modules/x"))
		after := snapshotAll(t, dir)
		written := 0
		for path := range after {
			if strings.HasPrefix(path, "layer/node_modules/x/") {
				written++
				delete(after, path)
			}
		}
		compare(t, after, before)
		if written != len(c.Files) {
			t.Fatalf("%d files were written for %d changes", written, len(c.Files))
		}
	})
}

// snapshotAll reads back a directory without following links.
func snapshotAll(t *testing.T, dir string) tree {
	t.Helper()
	tr := snapshot(t, dir)
	for path, content := range tr {
		if link, err := os.Readlink(filepath.Join(dir, path)); err == nil {
			tr[path] = content + link
		}
	}
	return tr
}
