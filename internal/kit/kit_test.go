package kit

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"crisol"
)

// TestFiles holds what is embedded against the folders that it is made of.
func TestFiles(t *testing.T) {
	for _, name := range Names() {
		files, err := Files(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = fs.WalkDir(os.DirFS(name), ".", func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				if err == nil && path.Base(file) == "__pycache__" {
					return fs.SkipDir
				}
				return err
			}
			n++
			want, err := os.ReadFile(path.Join(name, file))
			if err != nil {
				return err
			}
			if got, err := fs.ReadFile(files, file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s/%s is not in the binary as it is on disk: %v", name, file, err)
			}
			return nil
		})
		if err != nil || n == 0 {
			t.Errorf("%s: %d files, %v", name, n, err)
		}
	}
	if !slices.Equal(Names(), []string{"go", "java", "node", "python", "rust"}) {
		t.Error(Names())
	}
}

// TestLayout shows where scripts look for their kit.
func TestLayout(t *testing.T) {
	for name, file := range map[string]string{
		"node": "node_modules/@crisol/trial/index.js", "python": "crisol_trial.py", "go": "trial/trial.go", "java": "Trial.java",
		"rust": "src/trial.rs",
	} {
		files, err := Files(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Stat(files, file); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, name := range []string{"", "ruby", "../kit", "."} {
		_, err := Files(name)
		if crisol.KindOf(err) != crisol.KindInput || !strings.Contains(crisol.HintOf(err), "go, java, node, python, rust") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
