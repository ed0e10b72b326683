package diff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"crisol"
)

// WriteLayer writes the changed files below dir/prefix, so that dir is a layer to lay over the tree with overlayfs: whole
// files with their modes, and a whiteout (character device 0:0) for each deleted one. dir must exist and should be empty.
// prefix is where the patched tree lies in the view ("node_modules/lodash"); "" or "." is its root.
//
// A directory whose last file is deleted stays, empty. After an error the layer is incomplete and must not be used.
func (c *Changes) WriteLayer(dir, prefix string) error {
	if err := c.writeLayer(dir, prefix); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	return nil
}

func (c *Changes) writeLayer(dir, prefix string) error {
	if prefix == "" {
		prefix = "."
	}
	if !fs.ValidPath(prefix) {
		return crisol.Errorf(crisol.KindInternal, "prefix %q leaves the layer", prefix)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "%w", err)
	}
	defer func() { _ = root.Close() }() // every file has been closed, and its error seen
	for _, f := range c.Files {
		// Parse has seen to it; here it holds whoever made the Changes.
		if err := jail(f.Path); err != nil {
			return crisol.Errorf(crisol.KindInput, "%q: %w", f.Path, err)
		}
		if err := f.write(root, path.Join(prefix, f.Path)); err != nil {
			return crisol.Errorf(crisol.KindInfrastructure, "%w", err)
		}
	}
	return nil
}

func (f Change) write(root *os.Root, name string) error {
	if err := mkdirs(root, path.Dir(name)); err != nil {
		return err
	}
	if f.Deleted {
		return whiteout(root, name)
	}
	w, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(f.Content)
	// The mode is set apart from the opening, so that no umask has a say.
	return errors.Join(err, w.Chmod(f.Mode.Perm()), w.Close())
}

// mkdirs makes a directory and those above it, open to all for reading whatever the umask. Those that are there stay as
// they are.
func mkdirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := root.Lstat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if err := mkdirs(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return root.Chmod(dir, 0o755)
}

// whiteout makes the device by which overlayfs hides an entry of the layers below. Linux allows it to everyone (5.8).
func whiteout(root *os.Root, name string) error {
	parent, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }() // opened for its descriptor only
	if err := unix.Mknodat(int(parent.Fd()), path.Base(name), unix.S_IFCHR, 0); err != nil {
		return &fs.PathError{Op: "mknod", Path: name, Err: err}
	}
	return nil
}
