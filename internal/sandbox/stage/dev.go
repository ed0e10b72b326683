package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// devices are the character devices of major number 1 that a sandbox has, by their minor numbers. There is no
// terminal: /dev/tty leads nowhere, so that nothing is written to or typed into the one that Crisol was started from.
var devices = map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}

// makeDev lays out /dev for a slot's runs. Each run sees it read-only, with a shm and a pts of its own.
func makeDev(dir string) error {
	if err := unix.Mount("crisol", dir, "tmpfs", unix.MS_NOSUID, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	if err := makeDirs(dir, "shm", "pts"); err != nil {
		return err
	}
	links := map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx", "tty": "null"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for name, minor := range devices {
		if err := makeDevice(filepath.Join(dir, name), name, minor); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	return nil
}

// makeDevice makes a device, or shows the host's where making one is not allowed.
func makeDevice(path, name string, minor uint32) error {
	err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor)))
	if errors.Is(err, unix.EPERM) {
		if err = os.WriteFile(path, nil, 0o666); err == nil {
			return unix.Mount("/dev/"+name, path, "", unix.MS_BIND, "")
		}
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, 0o666)
}

// mountDev shows the slot's /dev in a run's root.
func (m *mounted) mountDev() error {
	dev := m.root + "/dev"
	tree, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join(stageDir, "dev"), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("show /dev: %w", err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("restrict /dev: %w", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, dev, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach /dev: %w", err)
	}
	if err := bindAt(m.scratch+"/shm", dev+"/shm", 0); err != nil {
		return err
	}
	const options = "newinstance,ptmxmode=0666,mode=0620"
	if err := unix.Mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}
