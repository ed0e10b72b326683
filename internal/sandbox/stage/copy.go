package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// viewPrefix begins the names of the directories under os.TempDir that hold views made by copying.
const viewPrefix = "crisol-view-"

// copied is the scenery of a Crisol that can't mount: the layers are copied into one directory.
type copied struct {
	dir    string
	lock   *os.File // held for as long as dir is in use
	view   string
	before map[string]print // the view as it was laid out
	system system
	mounts []sandbox.Mount
	root   bool // Crisol is root, the sandboxed user is not
}

// print tells whether a process has touched an entry. The change time can't be set back.
type print struct {
	inode uint64
	mode  uint32
	size  int64
	ctime unix.Timespec
}

func statOf(info fs.FileInfo) (unix.Stat_t, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return unix.Stat_t{}, false
	}
	return unix.Stat_t{Ino: st.Ino, Mode: st.Mode, Size: st.Size, Rdev: st.Rdev, Uid: st.Uid, Gid: st.Gid,
		Mtim: unix.Timespec(st.Mtim), Ctim: unix.Timespec(st.Ctim)}, true
}

func copySet(sys system, c sandbox.Command, root bool) (_ set, err error) {
	dir, err := os.MkdirTemp("", viewPrefix)
	if err != nil {
		return nil, err
	}
	s := &copied{dir: dir, view: filepath.Join(dir, "view"), system: sys, mounts: c.Mounts, root: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.strike())
		}
	}()
	if s.lock, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err := flock(s.lock, unix.LOCK_EX); err != nil {
		return nil, err
	}
	if err := makeDirs(dir, "view", "state", "mounts"); err != nil {
		return nil, err
	}
	if err := merge(c.Layers, s.view); err != nil {
		return nil, fmt.Errorf("copy the layers: %w", err)
	}
	if s.root {
		if err := s.handOver(); err != nil {
			return nil, fmt.Errorf("give the view to the sandboxed user: %w", err)
		}
	}
	if c.Keep != "" {
		if s.before, err = prints(s.view); err != nil {
			return nil, fmt.Errorf("remember the view: %w", err)
		}
	}
	return s, nil
}

// handOver makes what Crisol laid out as root reachable for the sandboxed user: the view, and copies of what is mounted,
// which may lie where only root can walk.
func (s *copied) handOver() error {
	for i, m := range s.mounts {
		target := filepath.Join(s.dir, "mounts", strconv.Itoa(i))
		info, err := os.Stat(m.Source)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = copyLayer(m.Source, target)
		} else if err = copyFile(m.Source, target); err == nil {
			err = os.Chmod(target, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
		s.mounts = slices.Clone(s.mounts)
		s.mounts[i].Source = target
	}
	if err := os.Chown(s.view, sandbox.HostUID, sandbox.HostGID); err != nil {
		return err
	}
	return os.Chmod(s.dir, 0o711)
}

// merge copies layers, the topmost first, into one directory as overlayfs would show them.
func merge(layers []string, to string) error {
	entries := map[string]string{} // name -> the topmost layer's directory that has it
	var names []string
	for _, layer := range layers {
		listed, err := os.ReadDir(layer)
		if err != nil {
			return err
		}
		for _, e := range listed {
			if _, ok := entries[e.Name()]; !ok {
				entries[e.Name()] = layer
				names = append(names, e.Name())
			}
		}
		if isOpaque(layer, opaque[0]) || isOpaque(layer, opaque[1]) {
			break
		}
	}
	for _, name := range names {
		path := filepath.Join(entries[name], name)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		switch {
		case isWhiteout(info):
			continue
		case info.IsDir():
			err = mergeDir(layers, entries[name], name, to)
		default:
			err = copyEntry(path, filepath.Join(to, name), info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeDir merges a directory with those of the same name below, up to the first entry that is something else.
func mergeDir(layers []string, top, name, to string) error {
	var stack []string
	for _, layer := range layers {
		if len(stack) == 0 && layer != top {
			continue
		}
		info, err := os.Lstat(filepath.Join(layer, name))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			break
		}
		stack = append(stack, filepath.Join(layer, name))
	}
	target := filepath.Join(to, name)
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	if err := merge(stack, target); err != nil {
		return err
	}
	info, err := os.Lstat(stack[0])
	if err != nil {
		return err
	}
	return finish(target, info)
}

// prints remembers every entry of a tree.
func prints(dir string) (map[string]print, error) {
	found := map[string]print{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		st, _ := statOf(info)
		found[relative] = print{st.Ino, st.Mode, st.Size, st.Ctim}
		return nil
	})
	return found, err
}

// keep saves what differs from the view as it was laid out, as overlayfs would have kept it.
func (s *copied) keep(dir string) error {
	if err := emptyDir(dir); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	after, err := prints(s.view)
	if err != nil {
		return err
	}
	for name, now := range after {
		old, had := s.before[name]
		isDir := now.mode&unix.S_IFMT == unix.S_IFDIR
		if had && (old == now || isDir && old.mode == now.mode && old.inode == now.inode) {
			continue
		}
		if err := s.keepEntry(dir, name); err != nil {
			return err
		}
		// A directory in the place of something else would be merged with nothing; one in the place of a removed
		// directory hides that one's content by the whiteouts below.
	}
	for name := range s.before {
		if _, ok := after[name]; ok {
			continue
		}
		parent := filepath.Dir(name)
		if now, ok := after[parent]; !ok || now.mode&unix.S_IFMT != unix.S_IFDIR {
			continue // hidden with its parent
		}
		if err := s.keepDirs(dir, parent); err != nil {
			return err
		}
		if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, 0); err != nil {
			return annotate("make a whiteout at", name, err)
		}
	}
	return nil
}

func (s *copied) keepEntry(dir, name string) error {
	info, err := os.Lstat(filepath.Join(s.view, name))
	if err != nil {
		return err
	}
	if info.IsDir() {
		return s.keepDirs(dir, name)
	}
	if err := s.keepDirs(dir, filepath.Dir(name)); err != nil {
		return err
	}
	return copyEntry(filepath.Join(s.view, name), filepath.Join(dir, name), info)
}

// keepDirs makes a directory and its parents as they are in the view.
func (s *copied) keepDirs(dir, name string) error {
	if name == "." {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		return nil
	}
	if err := s.keepDirs(dir, filepath.Dir(name)); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(dir, name), 0o755)
}

func (s *copied) furnish(scene *Scene) {
	scene.View = s.view
	scene.State = filepath.Join(s.dir, "state")
	scene.Links = s.system.links
	scene.Files = map[string]string{}
	for name, content := range etcFiles() {
		scene.Files["/etc/"+name] = content
	}
	for _, dir := range s.system.dirs {
		scene.Binds = append(scene.Binds, sandbox.Mount{Source: dir, Target: dir})
	}
	for _, name := range etcSources() {
		scene.Binds = append(scene.Binds, sandbox.Mount{Source: "/etc/" + name, Target: "/etc/" + name})
	}
	if s.root {
		scene.Attr.Credential = sandboxedUser()
	}
	for _, t := range s.system.tools {
		if s.root && !reachable(t.Source) {
			continue
		}
		scene.Binds = append(scene.Binds, sandbox.Mount{Source: t.Source, Target: t.Target})
	}
	scene.Binds = append(scene.Binds, s.mounts...)
}

// reachable says whether everybody may walk to a path.
func reachable(path string) bool {
	for dir := path; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o005 != 0o005 {
			return false
		}
	}
	return true
}

func (s *copied) tmpfs() int64 { return 0 }

func (s *copied) after(f func(*os.Root) error) error { return openView(s.view, f) }

// open gives Crisol the rights on directories that a process may have taken away from itself.
func (s *copied) open() error {
	return filepath.WalkDir(s.view, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && errors.Is(err, fs.ErrPermission) {
			return os.Chmod(path, 0o700)
		}
		if d != nil && d.IsDir() {
			if info, e := d.Info(); e == nil && info.Mode().Perm()&0o700 != 0o700 {
				return os.Chmod(path, info.Mode().Perm()|0o700)
			}
		}
		return err
	})
}

func (s *copied) strike() error {
	_ = s.open() // what can't be opened fails to be removed below
	err := os.RemoveAll(s.dir)
	if s.lock != nil {
		s.lock.Close()
	}
	return err
}

// sweepViews removes the views that a killed Crisol of this user left.
func sweepViews(log *slog.Logger) {
	entries, _ := os.ReadDir(os.TempDir())
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), viewPrefix) || !e.IsDir() {
			continue
		}
		dir := filepath.Join(os.TempDir(), e.Name())
		lock, err := os.Open(dir)
		if err != nil {
			continue // another user's
		}
		if flock(lock, unix.LOCK_EX|unix.LOCK_NB) == nil {
			stale := &copied{dir: dir, lock: lock, view: filepath.Join(dir, "view")}
			if err := stale.strike(); err != nil {
				log.Warn("remove a leftover view", "dir", dir, "error", err)
			}
			continue
		}
		lock.Close()
	}
}
