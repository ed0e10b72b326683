package diff_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"crisol"
	"crisol/internal/diff"
)

// layered lays the patched files of a small tree as a layer below prefix.
func layered(t *testing.T, prefix string) string {
	t.Helper()
	target := tree{"lib/x.js*": ten, "lib/old.js": "a\n", "y": "a\n"}.lay(t)
	p := parse(t, "--- a/lib/x.js\n+++ b/lib/x.js\n"+five+
		"--- a/lib/old.js\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"+
		"--- /dev/null\n+++ b/new/deep/z.js\n@@ -0,0 +1 @@\n+z\n")
	dir := t.TempDir()
	check(t, apply(t, p, target).WriteLayer(dir, prefix))
	return dir
}

func TestWriteLayer(t *testing.T) {
	// The modes must not depend on the umask of whoever starts us.
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	for _, prefix := range []string{"", ".", "node_modules/@scope/name"} {
		t.Run(prefix, func(t *testing.T) {
			dir := layered(t, prefix)
			root := filepath.Join(dir, prefix)
			compare(t, snapshot(t, root), tree{"lib/x.js*": tenFive, "lib/old.js": "Dc---------", "new/deep/z.js": "z\n"})
			for path, want := range map[string]fs.FileMode{
				"lib/x.js": 0o755, "new/deep/z.js": 0o644, "lib": 0o755 | fs.ModeDir, "new": 0o755 | fs.ModeDir, "new/deep": 0o755 | fs.ModeDir,
			} {
				info, err := os.Lstat(filepath.Join(root, path))
				check(t, err)
				if info.Mode() != want {
					t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
				}
			}
			var whiteout syscall.Stat_t
			check(t, syscall.Lstat(filepath.Join(root, "lib/old.js"), &whiteout))
			if whiteout.Rdev != 0 {
				t.Errorf("the whiteout is device %#x, want 0:0", whiteout.Rdev)
			}
		})
	}
}

// Changes may be made by others than Apply; a layer must not be left all the same.
func TestWriteLayerStaysInside(t *testing.T) {
	outside := t.TempDir()
	for _, tt := range []struct {
		name, prefix, path string
		before             tree
	}{
		{"dots", "", "../x", nil},
		{"absolute", "", outside + "/x", nil},
		{"git", "", ".git/config", nil},
		{"prefix of dots", "../..", "x", nil},
		{"absolute prefix", outside, "x", nil},
		{"symlink in the layer", "", "lib/x", tree{"lib": "-> " + outside}},
		{"symlink at the file", "", "x", tree{"x": "-> " + outside + "/x"}},
		{"symlinked prefix", "lib", "x", tree{"lib": "-> " + outside}},
		{"a file as directory", "", "y/x", tree{"y": ""}},
		{"a file that is there", "", "y", tree{"y": ""}},
	} {
		for _, deleted := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				dir := tt.before.lay(t)
				before := snapshot(t, dir)
				c := diff.Changes{Files: []diff.Change{{Path: tt.path, Mode: 0o644, Content: []byte("evil"), Deleted: deleted}}}
				if err := c.WriteLayer(dir, tt.prefix); err == nil {
					t.Error("no error")
				}
				compare(t, snapshot(t, dir), before)
				compare(t, snapshot(t, outside), tree{})
			})
		}
	}
}

func TestWriteLayerNowhere(t *testing.T) {
	c := diff.Changes{Files: []diff.Change{{Path: "x", Mode: 0o644}}}
	err := c.WriteLayer(filepath.Join(t.TempDir(), "absent"), "")
	if crisol.KindOf(err) != crisol.KindInfrastructure || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	c.Files[0].Deleted = true
	if err := c.WriteLayer("/proc/self", "fd/none"); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("got %v", err)
	}
}
