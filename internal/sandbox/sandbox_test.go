package sandbox

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestLimitsOr(t *testing.T) {
	got := Limits{Wall: time.Second, Disk: 7}.Or(DefaultLimits)
	want := DefaultLimits
	want.Wall, want.Disk = time.Second, 7
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOwn(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for _, path := range []string{outside, filepath.Join(dir, "file")} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Own(dir); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) uint32 {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	want := uint32(os.Geteuid())
	if want == 0 {
		want = HostUID
	}
	for _, path := range []string{dir, filepath.Join(dir, "file"), filepath.Join(dir, "link")} {
		if got := owner(path); got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
	if got := owner(outside); got != uint32(os.Geteuid()) {
		t.Errorf("a symlink's target was given to %d", got)
	}
	if err := Own(filepath.Join(dir, "absent")); os.Geteuid() == 0 && err == nil {
		t.Error("owned nothing")
	}
}
