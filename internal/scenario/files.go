package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"crisol/internal/kit"
)

// WorkFiles is what is laid at /work: everything but the manifest, the page for people, the locks, the derived
// variants, the target's own folder, and the folders and diffs of its fixes.
func (s *Scenario) WorkFiles() fs.FS {
	hidden := map[string]bool{manifestName: true, readmeName: true, lockDir: true, variantsName: true}
	fixes := append([]Fix{s.Target.Reference}, s.Target.Incomplete...)
	if s.Target.Decoy != nil {
		fixes = append(fixes, *s.Target.Decoy)
	}
	for _, fix := range fixes {
		hidden[fix.Patch], hidden[fix.Dir] = true, true
	}
	hidden[s.Target.Dir] = true
	delete(hidden, "") // what a fix leaves empty
	return &without{FS: s.Files, hides: func(name string) bool { return hidden[name] }}
}

// Materialise writes WorkFiles and the kit's files into dir, which must be absent or empty, as a layer for /work. Modes
// don't depend on where the scenario came from: 0755 for folders and for what begins with "#!", else 0644.
func (s *Scenario) Materialise(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the layer: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the layer: %w", err)
	}
	err = writeTree(root, s.WorkFiles())
	if err == nil && s.Kit != "" {
		var lays fs.FS
		if lays, err = kit.Files(s.Kit); err == nil {
			err = writeTree(root, lays)
		}
	}
	return errors.Join(err, root.Close())
}

func writeTree(root *os.Root, tree fs.FS) error {
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		local := filepath.FromSlash(name)
		if entry.IsDir() {
			if err := root.MkdirAll(local, 0o755); err != nil {
				return err
			}
			return root.Chmod(local, 0o755) // whatever the umask
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return writeFile(root, local, text)
	})
}

func writeFile(root *os.Root, name string, text []byte) error {
	mode := fs.FileMode(0o644)
	if bytes.HasPrefix(text, []byte("#!")) {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// without is a file system with some names taken out, and all that lies below them.
type without struct {
	fs.FS
	hides func(name string) bool
}

// tidy is a scenario's folder without litter.
func tidy(dir fs.FS) fs.FS {
	return &without{FS: dir, hides: func(name string) bool { return litter(path.Base(name)) }}
}

// hidden looks at a name and at every folder above it.
func (w *without) hidden(name string) bool {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if w.hides(name) {
			return true
		}
	}
	return false
}

// Open opens what isn't taken out.
func (w *without) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if w.hidden(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := w.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if dir, ok := f.(fs.ReadDirFile); ok {
		return &listing{ReadDirFile: dir, of: w, name: name}, nil
	}
	return f, nil
}

// ReadDir lists a folder without what is taken out.
func (w *without) ReadDir(name string) ([]fs.DirEntry, error) {
	if w.hidden(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	entries, err := fs.ReadDir(w.FS, name)
	return w.left(name, entries), err
}

func (w *without) left(dir string, entries []fs.DirEntry) []fs.DirEntry {
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return w.hides(path.Join(dir, e.Name())) })
}

// listing is an open folder of which some entries are taken out.
type listing struct {
	fs.ReadDirFile
	of   *without
	name string
}

// ReadDir lists the open folder; like the standard library's it may return fewer than n entries.
func (l *listing) ReadDir(n int) ([]fs.DirEntry, error) {
	for {
		entries, err := l.ReadDirFile.ReadDir(n)
		left := l.of.left(l.name, entries)
		if n <= 0 || err != nil || len(left) > 0 || len(entries) == 0 {
			return left, err
		}
	}
}
