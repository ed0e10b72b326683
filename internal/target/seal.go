package target

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"crisol"
)

// sealed is what sealing a tree found out about it.
type sealed struct {
	Digest string
	Bytes  int64 // on disk, in whole blocks
}

// seal gives every entry of dir a plain mode, refuses what a tree must not hold (devices, sockets, links that leave it)
// and returns the digest over sorted (path, mode, link target or content).
func seal(dir string) (sealed, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return sealed{}, err
	}
	defer root.Close()
	sum := sha256.New()
	var out sealed
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		n, err := sealEntry(root, name, rel, d.Type(), sum)
		out.Bytes += onDisk(d.Type(), n)
		return err
	})
	out.Digest = hex.EncodeToString(sum.Sum(nil))
	return out, err
}

// sealEntry settles one entry and adds it to the digest. Fields are separated by a length or a zero byte, so that no
// two different trees write the same bytes.
func sealEntry(root *os.Root, name, rel string, typ fs.FileMode, sum io.Writer) (int64, error) {
	switch {
	case typ.IsDir():
		fmt.Fprintf(sum, "dir %s\x00", rel)
		return 0, os.Chmod(name, 0o755)
	case typ&fs.ModeSymlink != 0:
		link, err := os.Readlink(name)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(sum, "link %s\x00%s\x00", rel, link)
		return 0, checkLink(root, rel, link)
	case typ.IsRegular():
		return sealFile(name, rel, sum)
	default:
		return 0, crisol.Errorf(crisol.KindInput, "%s: neither a file nor a directory nor a link", rel)
	}
}

func sealFile(name, rel string, sum io.Writer) (int64, error) {
	// A client may leave a file that even its owner can't read.
	info, err := os.Lstat(name)
	if err != nil {
		return 0, err
	}
	mode := plainMode(info.Mode())
	if err := os.Chmod(name, mode); err != nil {
		return 0, err
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fmt.Fprintf(sum, "file %s\x00%o %d\x00", rel, mode, info.Size())
	n, err := io.Copy(sum, f)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%s changed while it was read", rel)
	}
	return n, err
}

// plainMode keeps whether a file is a program, and nothing else: no setuid, no group or world write.
func plainMode(mode fs.FileMode) fs.FileMode {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// checkLink refuses a link that leaves the tree: followed as the kernel would when it leads somewhere, by its words
// when it dangles.
func checkLink(root *os.Root, rel, link string) error {
	escape := crisol.Errorf(crisol.KindInput, "link %s -> %s leaves the tree", rel, link)
	if filepath.IsAbs(link) {
		return escape
	}
	if _, err := root.Stat(rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return escape
	}
	if to := path.Join(path.Dir(rel), link); to == ".." || strings.HasPrefix(to, "../") {
		return escape
	}
	return nil
}
