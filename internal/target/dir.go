package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"crisol"
)

// A directory is what a person wrote by hand: what doesn't fit in here isn't one.
const (
	maxDirBytes   = 1 << 30
	maxDirEntries = 100_000
)

const dirVersion = "dir/1"

// readDir checks a directory spec and digests the directory: its content is its key.
func readDir(spec Spec) (request, error) {
	if len(spec.With) > 0 || spec.Lock != nil {
		return request{}, crisol.Errorf(crisol.KindInput, "target %s: a directory takes no further packages and no lock", spec.DirName)
	}
	if !fs.ValidPath(spec.DirName) || spec.DirName == "." {
		return request{}, crisol.Errorf(crisol.KindInput, "target directory %q: not a plain relative path", spec.DirName)
	}
	sum := sha256.New()
	field(sum, dirVersion, spec.DirName)
	err := walkDir(spec, func(e dirEntry) error {
		field(sum, e.name, e.mode.String(), e.link)
		if !e.mode.IsRegular() {
			return nil
		}
		text, err := e.open()
		if err != nil {
			return err
		}
		defer text.Close()
		inner := sha256.New()
		_, err = io.Copy(inner, text)
		field(sum, string(inner.Sum(nil)))
		return err
	})
	if err != nil {
		return request{}, fmt.Errorf("read target directory %s: %w", spec.DirName, err)
	}
	return request{key: "dir-" + hex.EncodeToString(sum.Sum(nil))[:40], name: spec.DirName, spec: spec}, nil
}

// copyDir copies the directory to dir/DirName.
func copyDir(spec Spec, dir string) (record, error) {
	base := filepath.Join(dir, filepath.FromSlash(spec.DirName))
	if err := os.MkdirAll(base, 0o755); err != nil {
		return record{}, err
	}
	rec := record{Package: spec.DirName, Ecosystem: "dir", Root: spec.DirName}
	return rec, walkDir(spec, func(e dirEntry) error {
		to := filepath.Join(base, filepath.FromSlash(e.name))
		switch {
		case e.mode.IsDir():
			return os.MkdirAll(to, 0o755)
		case e.mode&fs.ModeSymlink != 0:
			return os.Symlink(e.link, to)
		}
		from, err := e.open()
		if err != nil {
			return err
		}
		defer from.Close()
		return writeFile(to, from, e.mode)
	})
}

func writeFile(name string, from io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm()|0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// dirEntry is one entry of a directory spec, with the mode that it will have in the tree.
type dirEntry struct {
	name string
	mode fs.FileMode
	link string
	fsys fs.FS
}

func (e dirEntry) open() (fs.File, error) { return e.fsys.Open(e.name) }

// walkDir calls visit for every entry of spec.Dir, in lexical order.
func walkDir(spec Spec, visit func(dirEntry) error) error {
	var bytes int64
	var entries int
	return fs.WalkDir(spec.Dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return crisol.Errorf(crisol.KindInput, "%w", err)
		}
		info, err := d.Info()
		if err != nil {
			return crisol.Errorf(crisol.KindInput, "%w", err)
		}
		if info.Mode().IsRegular() {
			bytes += info.Size()
		}
		if entries++; entries > maxDirEntries || bytes > maxDirBytes {
			return crisol.Errorf(crisol.KindInput, "more than %d entries or %d bytes", maxDirEntries, maxDirBytes)
		}
		e, err := readEntry(spec.Dir, name, info.Mode())
		if err != nil {
			return err
		}
		return visit(e)
	})
}

func readEntry(fsys fs.FS, name string, mode fs.FileMode) (dirEntry, error) {
	e := dirEntry{name: name, fsys: fsys}
	switch {
	case mode.IsDir():
		e.mode = fs.ModeDir | 0o755
	case mode.IsRegular():
		program, err := isProgram(fsys, name, mode)
		if err != nil {
			return e, crisol.Errorf(crisol.KindInput, "%w", err)
		}
		if e.mode = 0o644; program {
			e.mode = 0o755
		}
	case mode&fs.ModeSymlink != 0:
		link, err := fs.ReadLink(fsys, name)
		if err != nil {
			return e, crisol.Errorf(crisol.KindInput, "%w", err)
		}
		e.mode, e.link = fs.ModeSymlink, link
	default:
		return e, crisol.Errorf(crisol.KindInput, "%s: neither a file nor a directory nor a link", name)
	}
	return e, nil
}

// isProgram says whether a file is to be executable. An embedded file system has lost the mode, so that a first line of
// #! counts as well: the same folder gives the same tree, embedded or not.
func isProgram(fsys fs.FS, name string, mode fs.FileMode) (bool, error) {
	if mode&0o111 != 0 {
		return true, nil
	}
	f, err := fsys.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [2]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && n == 2 {
		return false, err
	}
	return n == 2 && string(head[:]) == "#!", nil
}
