package scenario

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"crisol"
)

// goMod can't be the name of a file in the library: the folder that holds one is another module, which is never
// embedded. Locks keep it under another name.
const (
	goMod       = "go.mod"
	storedGoMod = "go.mod.lock"
)

// WriteLock writes the locks of one side to the scenario's folder, in place of those that are there. LockFS gives them
// back under the names given here.
func WriteLock(folder, side string, files map[string][]byte) (err error) {
	if name := lockDir + "/" + side; !fs.ValidPath(name) {
		return crisol.Errorf(crisol.KindInternal, "write the lock: %q is no side", side)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "write the lock: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	dir := filepath.Join(lockDir, filepath.FromSlash(side))
	err = root.RemoveAll(dir)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err == nil {
			err = writeLockFile(root, dir, name, files[name])
		}
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "write the lock: %w", err)
	}
	return nil
}

func writeLockFile(root *os.Root, dir, name string, text []byte) error {
	if path.Base(name) == goMod {
		name = path.Join(path.Dir(name), storedGoMod)
	}
	at := filepath.Join(dir, filepath.FromSlash(name))
	if err := root.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return root.WriteFile(at, text, 0o644)
}

// LockFS returns the locks of one side, or nil when there are none. Sides are "target", "reference", "decoy" and
// "incomplete-0" onwards.
func (s *Scenario) LockFS(side string) fs.FS {
	name := lockDir + "/" + side // not joined: what leads out of lock/ must stay invalid
	if info, err := fs.Stat(s.Files, name); err != nil || !info.IsDir() {
		return nil
	}
	sub, err := fs.Sub(s.Files, name)
	if err != nil {
		return nil
	}
	return locks{sub}
}

// locks reads a file that WriteLock renamed under the name that it was given.
type locks struct{ fs.FS }

// Open opens a lock by the name that its ecosystem's client knows.
func (l locks) Open(name string) (fs.File, error) {
	f, err := l.FS.Open(name)
	if path.Base(name) == goMod && errors.Is(err, fs.ErrNotExist) {
		return l.FS.Open(path.Join(path.Dir(name), storedGoMod))
	}
	return f, err
}
