package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// mounted is the scenery that root lays out: everything is a mount below one directory in the slot's namespace.
type mounted struct {
	dir     string
	root    string
	upper   string
	scratch string
	sized   []*os.File // the file systems that count against Limits.Disk
}

// mountSet mounts a root for one run: the system, the view at /work, a bounded /tmp and the command's own mounts.
func mountSet(sys system, c sandbox.Command) (_ set, err error) {
	dir := filepath.Join(stageDir, "run")
	if err := unix.Mount("crisol", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size=16m"); err != nil {
		return nil, fmt.Errorf("mount the run's directory: %w", err)
	}
	m := &mounted{dir: dir, root: dir + "/root", upper: dir + "/disk/upper", scratch: dir + "/scratch"}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.strike())
		}
	}()
	steps := []func() error{
		func() error { return m.skeleton(sys) },
		func() error { return m.mountTmp(c.Limits.Disk) },
		func() error { return m.mountView(c) },
		func() error { return m.bindSystem(sys) },
		m.mountDev,
		func() error { return m.bindMounts(c.Mounts) },
		// The root's own directory last, since mount points were made in it.
		func() error {
			return unix.Mount("", m.root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// skeleton makes the root's directories and links.
func (m *mounted) skeleton(sys system) error {
	if err := makeDirs(m.dir, "root", "disk", "scratch", "empty", "state"); err != nil {
		return err
	}
	if err := unix.Mount(m.root, m.root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	names := []string{"etc", "proc", "dev", "tmp", "work"}
	for _, dir := range sys.dirs {
		names = append(names, dir[1:])
	}
	if len(sys.tools) > 0 {
		names = append(names, "opt", "opt/toolchains")
	}
	for _, t := range sys.tools {
		names = append(names, t.Target[1:])
	}
	if err := makeDirs(m.root, names...); err != nil {
		return err
	}
	for name, target := range sys.links {
		if err := os.Symlink(target, filepath.Join(m.root, name)); err != nil {
			return err
		}
	}
	return nil
}

func makeDirs(parent string, names ...string) error {
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// mountTmp mounts the file system that /tmp and /dev/shm share.
func (m *mounted) mountTmp(size int64) error {
	if err := m.mountSized(m.scratch, size); err != nil {
		return fmt.Errorf("mount /tmp: %w", err)
	}
	for _, name := range []string{"tmp", "shm"} {
		dir := filepath.Join(m.scratch, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o1777); err != nil {
			return err
		}
		if err := os.Lchown(dir, sandbox.HostUID, sandbox.HostGID); err != nil {
			return err
		}
	}
	return bindAt(m.scratch+"/tmp", m.root+"/tmp", 0)
}

// mountSized mounts a tmpfs that holds size bytes, and as many files as it could hold of 1 KiB.
func (m *mounted) mountSized(dir string, size int64) error {
	options := fmt.Sprintf("mode=0755,size=%d,nr_inodes=%d", size, max(size/1024, 1024))
	if err := unix.Mount("crisol", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return err
	}
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	m.sized = append(m.sized, file)
	return nil
}

// mountView lays the layers over each other at /work, with a bounded private layer on top.
func (m *mounted) mountView(c sandbox.Command) error {
	disk := filepath.Dir(m.upper)
	if err := m.mountSized(disk, c.Limits.Disk); err != nil {
		return fmt.Errorf("mount the private layer: %w", err)
	}
	if err := makeDirs(disk, "upper", "work"); err != nil {
		return err
	}
	if err := os.Lchown(m.upper, sandbox.HostUID, sandbox.HostGID); err != nil {
		return err
	}
	// The layers are named by descriptors: no path needs escaping, and many fit in the options' one page.
	var names []string
	layers := c.Layers
	if len(layers) == 0 {
		layers = []string{filepath.Join(m.dir, "empty")}
	}
	for _, layer := range layers {
		fd, err := unix.Open(layer, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open layer %s: %w", layer, err)
		}
		defer unix.Close(fd)
		names = append(names, "/proc/thread-self/fd/"+strconv.Itoa(fd))
	}
	// No redirects and no metacopy: the private layer must be readable as plain files (see keep).
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s/work,redirect_dir=off,index=off,metacopy=off",
		strings.Join(names, ":"), m.upper, disk)
	if err := unix.Mount("crisol", m.root+sandbox.WorkDir, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount the view over %d layers: %w", len(layers), err)
	}
	return nil
}

func (m *mounted) bindSystem(sys system) error {
	for _, dir := range sys.dirs {
		if err := bindAt(dir, m.root+dir, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	for _, t := range sys.tools {
		if err := bindAt(t.Source, m.root+t.Target, unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	return bindAt(filepath.Join(stageDir, "etc"), m.root+"/etc", unix.MOUNT_ATTR_RDONLY)
}

// bindMounts binds the command's own mounts. Their targets may lie in a view full of hostile symlinks, so they are
// walked and made within the root only.
func (m *mounted) bindMounts(mounts []sandbox.Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	root, err := os.OpenRoot(m.root)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, b := range mounts {
		if err := m.bindMount(root, b); err != nil {
			return fmt.Errorf("show %s at %s: %w", b.Source, b.Target, err)
		}
	}
	return nil
}

func (m *mounted) bindMount(root *os.Root, b sandbox.Mount) error {
	info, err := os.Stat(b.Source)
	if err != nil {
		return err
	}
	target := strings.TrimPrefix(filepath.Clean("/"+b.Target), "/")
	if info.IsDir() {
		err = mkdirOwned(root, target)
	} else if err = mkdirOwned(root, filepath.Dir(target)); err == nil {
		var file *os.File
		if file, err = root.OpenFile(target, os.O_CREATE|os.O_RDONLY|unix.O_NONBLOCK, 0o644); err == nil {
			file.Close()
		}
	}
	if err != nil {
		return err
	}
	point, err := root.OpenFile(target, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer point.Close()
	return bind(b.Source, int(point.Fd()), unix.MOUNT_ATTR_RDONLY)
}

// mkdirOwned makes a directory and its parents; those that it makes belong to the sandboxed user.
func mkdirOwned(root *os.Root, path string) error {
	if path == "." || path == "" {
		return nil
	}
	if _, err := root.Stat(path); err == nil {
		return nil
	}
	if err := mkdirOwned(root, filepath.Dir(path)); err != nil {
		return err
	}
	if err := root.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return root.Lchown(path, sandbox.HostUID, sandbox.HostGID)
}

// bind shows a directory or file somewhere else. The mount is restricted before it is attached, and attached to what
// was opened rather than to a path (kernel 5.12 or later).
func bind(from string, to int, attributes uint64) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: attributes | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("restrict %s: %w", from, err)
	}
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	if err := unix.MoveMount(tree, "", to, "", flags); err != nil {
		return fmt.Errorf("attach %s: %w", from, err)
	}
	return nil
}

func bindAt(from, to string, attributes uint64) error {
	fd, err := unix.Open(to, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return annotate("open", to, err)
	}
	defer unix.Close(fd)
	return bind(from, fd, attributes)
}

func (m *mounted) furnish(s *Scene) {
	s.Root = m.root
	s.Shm = m.scratch + "/shm"
	s.State = m.dir + "/state"
	s.Attr.Credential = sandboxedUser()
}

// sandboxedUser is who a root's sandboxed processes are on the host, in no further group.
func sandboxedUser() *syscall.Credential {
	return &syscall.Credential{Uid: sandbox.HostUID, Gid: sandbox.HostGID, Groups: []uint32{}}
}

func (m *mounted) tmpfs() int64 {
	var used int64
	for _, f := range m.sized {
		var st unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &st) == nil {
			used += int64(st.Blocks-st.Bfree) * st.Bsize
		}
	}
	return used
}

func (m *mounted) after(f func(*os.Root) error) error { return openView(m.root+sandbox.WorkDir, f) }

func (m *mounted) strike() error {
	for _, f := range m.sized {
		f.Close()
	}
	return annotate("unmount", m.dir, unix.Unmount(m.dir, unix.MNT_DETACH))
}
