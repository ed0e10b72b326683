package target

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The cache is bounded as a whole: the trees, and what the ecosystems' clients keep of what they fetched. Trees go one by
// one, the least recently used first. The clients know what belongs together in their caches and this package doesn't,
// so these go whole, once they take more than a share of the bound.
const clientsShare = 4

// blockBytes is what a file system gives out at once: a tree of many small files takes more than they hold.
const blockBytes = 4096

// Usage says what the cache holds.
type Usage struct {
	Trees     int   // prepared trees and the layers under them
	TreeBytes int64 // what they take on disk
	InUse     int   // of the trees, how many a process uses right now
	// ClientBytes is what the ecosystems' clients keep.
	ClientBytes int64
}

// UsageOf looks at what the cache in dir holds; one that isn't there holds nothing.
func UsageOf(dir string) Usage {
	s := &Store{dir: dir}
	all, total := s.list()
	u := Usage{Trees: len(all), TreeBytes: total, ClientBytes: bytesBelow(s.path("clients"))}
	for _, a := range all {
		if s.inUse(a.key) {
			u.InUse++
		}
	}
	return u
}

func (s *Store) inUse(key string) bool {
	f, err := os.Open(s.path("trees", key))
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// aged is an entry that nobody in this process uses, for eviction.
type aged struct {
	key   string
	bytes int64
	used  time.Time
}

// Evict removes least recently used entries until the cache is no larger than Options.MaxBytes, and returns how many
// bytes went. An entry in use, here or in another process, stays, and so do the clients' caches while a client runs.
func (s *Store) Evict() (int64, error) {
	if s.maxBytes <= 0 {
		return 0, nil
	}
	kept, gone, err := s.clearClients()
	if err != nil {
		return gone, storage("clear the clients' caches", err)
	}
	all, total := s.list()
	total += kept
	for _, a := range all {
		if total <= s.maxBytes {
			break
		}
		removed, err := s.remove(a.key)
		if err != nil {
			return gone, storage("evict", err)
		}
		if removed {
			gone += a.bytes
			total -= a.bytes
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = total > s.maxBytes
	return gone, nil
}

// clearClients empties the clients' caches when they take more than their share and no client runs. It returns what they
// take now and what went.
func (s *Store) clearClients() (kept, gone int64, err error) {
	dir := s.path("clients")
	kept = bytesBelow(dir)
	if kept <= s.maxBytes/clientsShare {
		return kept, 0, nil
	}
	lock, err := tryLock(s.path("locks", clientsLock))
	if lock == nil {
		return kept, 0, err
	}
	defer lock.Close()
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		// One by one, so that the directory itself stays, which others may be about to use.
		err = errors.Join(err, s.discard(filepath.Join(dir, entry.Name())))
	}
	left := bytesBelow(dir)
	return left, kept - left, err
}

// list returns the entries, least recently used first, and their size together.
func (s *Store) list() (all []aged, total int64) {
	names, err := os.ReadDir(s.path("trees"))
	if err != nil {
		return nil, 0 // nothing has been prepared yet
	}
	for _, d := range names {
		file := s.path("trees", d.Name(), recordFile)
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		var rec record
		if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &rec) != nil {
			continue
		}
		all = append(all, aged{d.Name(), rec.Bytes, info.ModTime()})
		total += rec.Bytes
	}
	slices.SortFunc(all, func(a, b aged) int { return a.used.Compare(b.used) })
	return all, total
}

// remove removes an entry unless someone uses or prepares it. Who holds locks/KEY is the only one who may put another
// entry in its place, so the one that is locked here is the one that goes.
func (s *Store) remove(key string) (bool, error) {
	making, err := tryLock(s.path("locks", key))
	if making == nil {
		return false, err
	}
	defer making.Close()
	return s.removeUnused(s.path("trees", key))
}

// removeUnused removes the directory of an entry unless someone uses it. The caller holds locks/KEY.
func (s *Store) removeUnused(dir string) (bool, error) {
	lease, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lease.Close()
	if unix.Flock(int(lease.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !sameFile(lease, dir) {
		return false, nil
	}
	return true, s.discard(dir)
}

// tryLock locks a file without waiting; nil without an error says that somebody else has it.
func tryLock(name string) (*os.File, error) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := flock(gone, name, unix.LOCK_EX)
	if errors.Is(err, context.Canceled) {
		return nil, nil
	}
	return f, err
}

// bytesBelow is what the files and directories below dir take on disk. What goes in the meantime counts nothing.
func bytesBelow(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && name != dir {
			total += onDisk(info.Mode(), info.Size())
		}
		return nil
	})
	return total
}

// onDisk is what an entry takes, in whole blocks; a link lies in its directory.
func onDisk(mode fs.FileMode, size int64) int64 {
	switch {
	case mode.IsDir():
		return blockBytes
	case mode.IsRegular():
		return (size + blockBytes - 1) / blockBytes * blockBytes
	}
	return 0
}
