package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/sandbox"
)

// opaque are the attributes by which overlayfs marks a directory that hides those below it: the first is root's, the
// second that of mounts without privilege.
var opaque = []string{"trusted.overlay.opaque", "user.overlay.opaque"}

func (m *mounted) keep(dir string) error {
	if err := emptyDir(dir); err != nil {
		return err
	}
	return copyLayer(m.upper, dir)
}

// emptyDir makes dir, or checks that nothing is in it.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return crisol.Errorf(crisol.KindInternal, "keep a private layer in %s: it is not empty", dir)
	}
	return nil
}

// copyLayer copies a private layer: files, directories, symlinks, and what hides entries of the layers below. Its
// content is hostile: nothing is followed, holes stay holes, set-user-id bits and sockets are left behind.
func copyLayer(from, to string) error {
	type dirTime struct {
		path string
		info fs.FileInfo
	}
	var dirs []dirTime
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			dirs = append(dirs, dirTime{target, info})
			return copyDir(path, target)
		}
		return copyEntry(path, target, info)
	})
	if err != nil {
		return fmt.Errorf("copy a layer: %w", err)
	}
	for i := len(dirs) - 1; i >= 0; i-- { // after their content, which would change their times
		if err := finish(dirs[i].path, dirs[i].info); err != nil {
			return err
		}
	}
	return nil
}

func copyDir(path, target string) error {
	if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range opaque {
		if isOpaque(path, name) {
			if err := unix.Setxattr(target, name, []byte("y"), 0); err != nil {
				return annotate("mark as opaque", target, err)
			}
		}
	}
	return nil
}

func isOpaque(dir, attribute string) bool {
	value := make([]byte, 8)
	n, err := unix.Lgetxattr(dir, attribute, value)
	return err == nil && n == 1 && value[0] == 'y'
}

// isWhiteout says whether an entry hides one of the same name in the layers below.
func isWhiteout(info fs.FileInfo) bool {
	st, ok := statOf(info)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// copyEntry copies anything but a directory.
func copyEntry(path, target string, info fs.FileInfo) error {
	switch {
	case isWhiteout(info):
		return annotate("make a whiteout at", target, unix.Mknod(target, unix.S_IFCHR, 0))
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(path)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, target); err != nil {
			return err
		}
	case info.Mode().IsRegular():
		if err := copyFile(path, target); err != nil {
			return err
		}
	case info.Mode()&fs.ModeNamedPipe != 0:
		if err := unix.Mkfifo(target, 0o600); err != nil {
			return annotate("make", target, err)
		}
	default:
		return nil
	}
	return finish(target, info)
}

// finish gives an entry its owner, mode and time.
func finish(target string, info fs.FileInfo) error {
	st, ok := statOf(info)
	if !ok {
		return fmt.Errorf("stat %s", target)
	}
	if os.Geteuid() == 0 {
		uid, gid := int(st.Uid), int(st.Gid)
		if uid == 0 { // made on the way to a mount's target
			uid, gid = sandbox.HostUID, sandbox.HostGID
		}
		if err := os.Lchown(target, uid, gid); err != nil {
			return err
		}
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		if err := os.Chmod(target, info.Mode().Perm()); err != nil {
			return err
		}
	}
	times := []unix.Timespec{st.Mtim, st.Mtim}
	return annotate("set the time of", target, unix.UtimesNanoAt(unix.AT_FDCWD, target, times, unix.AT_SYMLINK_NOFOLLOW))
}

// copyFile copies a regular file: by sharing its blocks where the file system can, otherwise extent by extent, so
// that a sparse file of a terabyte does not fill the disk.
func copyFile(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		err = copyExtents(in, out)
	}
	return errors.Join(err, out.Close())
}

func copyExtents(in, out *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	for offset := int64(0); offset < size; {
		start, err := in.Seek(offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return err
		}
		end, err := in.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := in.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-start); err != nil {
			return err
		}
		offset = end
	}
	return out.Truncate(size)
}
