package wargame

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
)

// What an arena keeps between trials lies in folders of Options.Dir, each bounded to its share of Options.MaxBytes:
// what was least recently used goes. A directory that a trial uses is held by a shared flock, so that no process
// removes it; the kernel drops the lock of a process that dies. Records are single files, read whole, and need none.
var shares = map[string]int64{"builds": 2, "scenarios": 4, "baselines": 8, "selftests": 8} // 1/n of the whole

const defaultMaxBytes = 1 << 30

// hold keeps a directory from being removed until the file is closed; nil says that there is none.
func (a *Arena) hold(dir string) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	// Who has it exclusively is about to rename it away: that is soon over.
	if err := flock(f, unix.LOCK_SH); err != nil || !same(f, dir) {
		_ = f.Close()
		return nil
	}
	now := a.Now()
	_ = os.Chtimes(dir, now, now) // a folder that can't be written to still serves
	return f
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func same(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(opened, there)
}

// settled returns final, held, and makes it first if need be: build fills an empty workspace and says which directory
// of it is to be kept.
func (a *Arena) settled(final string, build func(temp string) (string, error)) (*os.File, error) {
	const tries = 3 // it could be evicted before it is held
	for range tries {
		if held := a.hold(final); held != nil {
			return held, nil
		}
		if held, err := a.place(final, build); held != nil || err != nil {
			return held, err
		}
	}
	return nil, crisol.Errorf(crisol.KindInfrastructure, "keep %s: it is gone as soon as it is there", filepath.Base(final))
}

func (a *Arena) place(final string, build func(temp string) (string, error)) (*os.File, error) {
	temp, err := a.workspace()
	if err != nil {
		return nil, err
	}
	defer a.discard(temp)
	dir, err := build(temp)
	if err != nil {
		return nil, err
	}
	// Held before it can be seen, for it must not be evicted at once. When another process was faster, its twin is there.
	held := a.hold(dir)
	if held == nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "keep %s: it can't be locked", filepath.Base(final))
	}
	if err := settle(dir, final); err != nil || !same(held, final) {
		_ = held.Close()
		return nil, err
	}
	a.Evict(filepath.Base(filepath.Dir(final)))
	return held, nil
}

// kept is an entry of a folder.
type kept struct {
	path  string
	bytes int64
	used  time.Time
}

// entries lists what a folder holds, least recently used first, and its size together.
func entries(folder string) (all []kept, total int64) {
	names, err := os.ReadDir(folder)
	if err != nil {
		return nil, 0 // nothing was kept yet
	}
	for _, entry := range names {
		info, err := entry.Info()
		if err != nil {
			continue // gone meanwhile
		}
		k := kept{path: filepath.Join(folder, entry.Name()), bytes: onDisk(info), used: info.ModTime()}
		if entry.IsDir() {
			k.bytes = bytesBelow(k.path)
		}
		all, total = append(all, k), total+k.bytes
	}
	slices.SortFunc(all, func(a, b kept) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	return all, total
}

func bytesBelow(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // gone meanwhile
		}
		if info, err := d.Info(); err == nil {
			total += onDisk(info)
		}
		return nil
	})
	return total
}

// onDisk is what an entry takes, in whole blocks.
func onDisk(info fs.FileInfo) int64 {
	const block = 4096
	return max(1, (info.Size()+block-1)/block) * block
}

// Kept is what an arena's folders below dir hold, in bytes on disk.
func Kept(dir string) (total int64) {
	for name := range shares {
		_, bytes := entries(filepath.Join(dir, name))
		total += bytes
	}
	return total
}

// Evict removes the least recently used entries of a kind until they take no more than their share. What can't be
// removed costs room, not truth: it is logged.
func (a *Arena) Evict(kind string) {
	if a.MaxBytes < 0 {
		return
	}
	all, total := entries(filepath.Join(a.Dir, kind))
	defer func() {
		if total > a.MaxBytes/shares[kind] {
			a.over.Store(true)
		}
	}()
	for _, k := range all {
		if total <= a.MaxBytes/shares[kind] {
			return
		}
		removed, err := a.remove(k.path)
		if err != nil {
			a.Log.Warn("evict", "path", k.path, "error", err)
		}
		if removed {
			total -= k.bytes
		}
	}
}

// Close evicts what had to stay while trials used it.
func (a *Arena) Close() {
	if a.over.Swap(false) {
		for kind := range shares {
			a.Evict(kind)
		}
	}
}

// remove removes a record, or a directory that nobody holds.
func (a *Arena) remove(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist), nil
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return err == nil, errors.Join(err, os.Remove(path))
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !same(f, path) {
		return false, nil
	}
	grave, err := a.workspace()
	if err != nil {
		return false, err
	}
	defer a.discard(grave)
	err = os.Rename(path, filepath.Join(grave, "gone"))
	return err == nil, err
}
