package scenario

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"testing"

	"crisol/scenarios"
)

// TestLibrary holds the embedded library against the folders that it is made of: every scenario loads, is named by its
// folder, and not one of its files was left out of the binary.
func TestLibrary(t *testing.T) {
	library, err := Library()
	if err != nil {
		t.Error(err)
	}
	for _, s := range library.All() {
		if !s.Embedded || s.Path != "library/"+s.ID {
			t.Errorf("%s: Embedded %v, Path %q", s.ID, s.Embedded, s.Path)
		}
	}
	onDisk := os.DirFS("../../scenarios")
	walk := func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && litter(path.Base(name)) {
				return fs.SkipDir
			}
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			t.Errorf("%s is a symbolic link, which can't be embedded", name)
			return nil
		}
		want, err := fs.ReadFile(onDisk, name)
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		} else if err != nil {
			return err
		}
		if got, err := fs.ReadFile(scenarios.Files, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not in the binary as it is on disk: %v", name, err)
		}
		return nil
	}
	if err := fs.WalkDir(onDisk, ".", walk); err != nil {
		t.Fatal(err)
	}
}
