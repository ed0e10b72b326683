package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
)

// The cache on disk, under Store.dir:
//
//	trees/KEY/tree         what is prepared, sealed
//	trees/KEY/record.json  what it is; written before the rename that makes KEY appear, so that an entry is whole or absent
//	locks/KEY              flock: who prepares or removes KEY
//	locks/tmp              flock: shared to begin a temporary entry, exclusive to sweep dead ones
//	locks/clients          flock: shared while a client runs, exclusive to clear what they keep
//	tmp/*                  entries in the making or being removed; the maker holds a flock on the directory
//	clients/               HOME and caches of the ecosystems' clients
//
// A flock on the directory trees/KEY is a lease: shared by those who use the entry, exclusive to remove it. The kernel
// drops locks of a process that dies, so that nothing has to be cleaned up by hand.

// record says what an entry holds.
type record struct {
	Package   string
	Ecosystem string
	Root      string
	Env       []string
	Layers    []string // keys of the entries to lay under it
	Notes     []string
	Digest    string
	Bytes     int64
}

// entry is a leased entry of the cache.
type entry struct {
	record
	key   string
	dir   string // trees/KEY/tree
	lease *os.File
	users int // guarded by Store.mu
}

const recordFile = "record.json"

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// acquire returns the entry of key, leased, or nil when the cache doesn't have it.
func (s *Store) acquire(key string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.leased[key]; e != nil && exists(e.dir) {
		e.users++
		return e
	}
	e, err := s.open(key)
	if err != nil {
		return nil
	}
	s.leased[key] = e
	// The time of last use is the record's own; a cache that can't be written to still serves.
	now := s.now()
	_ = os.Chtimes(s.path("trees", key, recordFile), now, now)
	return e
}

// open leases trees/KEY and reads its record.
func (s *Store) open(key string) (*entry, error) {
	dir := s.path("trees", key)
	lease, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	e := &entry{key: key, dir: filepath.Join(dir, "tree"), lease: lease, users: 1}
	if err := s.openLeased(e, dir); err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	return e, nil
}

func (s *Store) openLeased(e *entry, dir string) error {
	if err := unix.Flock(int(e.lease.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return err
	}
	// Between the open and the lock the entry may have been removed.
	if !sameFile(e.lease, dir) {
		return fs.ErrNotExist
	}
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &e.record); err != nil {
		return err
	}
	_, err = os.Stat(e.dir)
	return err
}

func sameFile(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// build fills dir, with scratch for what shall not be kept, and says what it made.
type build func(ctx context.Context, dir, scratch string) (record, error)

// ensure returns the entry of key, leased, and makes it first if need be. Of several who ask at once, in this process
// or another, one makes it and the others wait for that.
func (s *Store) ensure(ctx context.Context, key string, make build) (*entry, error) {
	if e := s.acquire(key); e != nil {
		return e, nil
	}
	if err := s.layOut(); err != nil {
		return nil, err
	}
	lock, err := flock(ctx, s.path("locks", key), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if e := s.acquire(key); e != nil {
		return e, nil
	}
	if err := s.sweep(ctx); err != nil {
		return nil, err
	}
	e, err := s.create(ctx, key, make)
	if errors.Is(err, errInPlace) {
		if other := s.acquire(key); other != nil {
			return other, nil
		}
	}
	return e, err
}

// layOut makes the directories of the cache.
func (s *Store) layOut() error {
	for _, name := range []string{"trees", "locks", "tmp", "clients"} {
		if err := os.MkdirAll(s.path(name), 0o755); err != nil {
			return storage("make the cache directory", err)
		}
	}
	return nil
}

// create makes an entry under tmp and renames it into place. The caller holds locks/KEY.
func (s *Store) create(ctx context.Context, key string, make build) (_ *entry, err error) {
	tmp, lease, err := s.begin(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp), lease.Close())
		}
	}()
	rec, err := s.fill(ctx, tmp, make)
	if err != nil {
		return nil, storage("prepare in "+tmp, err)
	}
	e := &entry{record: rec, key: key, dir: s.path("trees", key, "tree"), lease: lease, users: 1}
	if err := s.publish(tmp, e); err != nil {
		return nil, storage("keep what was prepared", err)
	}
	return e, nil
}

// fill builds, seals and records in tmp, and sees to it that all of it is on the disk.
func (s *Store) fill(ctx context.Context, tmp string, make build) (record, error) {
	tree, scratch := filepath.Join(tmp, "tree"), filepath.Join(tmp, "scratch")
	for _, dir := range []string{tree, scratch} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return record{}, err
		}
	}
	rec, err := make(ctx, tree, scratch)
	if err != nil {
		return record{}, err
	}
	if err := ctx.Err(); err != nil {
		return record{}, crisol.Errorf(crisol.KindInfrastructure, "prepare: %w", err)
	}
	if err := os.RemoveAll(scratch); err != nil {
		return record{}, err
	}
	found, err := seal(tree)
	if err != nil {
		return record{}, fmt.Errorf("seal the tree: %w", err)
	}
	rec.Digest, rec.Bytes = found.Digest, found.Bytes
	if err := s.own(tree); err != nil {
		return record{}, fmt.Errorf("give the tree to the sandbox's user: %w", err)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return record{}, err
	}
	if err := os.WriteFile(filepath.Join(tmp, recordFile), text, 0o644); err != nil {
		return record{}, err
	}
	return rec, syncDisk(tmp)
}

// errInPlace says that another process uses what lies in the place of a new entry.
var errInPlace = crisol.Errorf(crisol.KindInfrastructure, "another process uses an entry that can't be read")

// publish makes the entry appear under its key. A damaged entry that is in its place, one that acquire didn't take, goes,
// unless someone uses it: then it was only locked for a moment.
func (s *Store) publish(tmp string, e *entry) error {
	if err := unix.Flock(int(e.lease.Fd()), unix.LOCK_SH); err != nil {
		return err
	}
	final := s.path("trees", e.key)
	if exists(final) {
		removed, err := s.removeUnused(final)
		if err != nil {
			return err
		}
		if !removed && exists(final) {
			return errInPlace
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	s.leased[e.key] = e
	return nil
}

// discard takes a directory out of the cache with one rename and then removes it.
func (s *Store) discard(dir string) error {
	grave, lease, err := s.begin(context.Background(), "gone")
	if err != nil {
		return err
	}
	err = os.Rename(dir, filepath.Join(grave, "entry"))
	return errors.Join(err, os.RemoveAll(grave), lease.Close())
}

// begin makes a temporary directory that no sweep takes for a dead one.
func (s *Store) begin(ctx context.Context, key string) (string, *os.File, error) {
	guard, err := flock(ctx, s.path("locks", "tmp"), unix.LOCK_SH)
	if err != nil {
		return "", nil, err
	}
	defer guard.Close()
	tmp, err := os.MkdirTemp(s.path("tmp"), key[:min(12, len(key))]+"-")
	if err != nil {
		return "", nil, storage("begin an entry", err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", nil, storage("begin an entry", err)
	}
	lease, err := flock(ctx, tmp, unix.LOCK_EX)
	return tmp, lease, err
}

// sweep removes what processes that died left under tmp.
func (s *Store) sweep(ctx context.Context) error {
	guard, err := flock(ctx, s.path("locks", "tmp"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer guard.Close()
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return storage("sweep the cache", err)
	}
	for _, d := range left {
		name := s.path("tmp", d.Name())
		f, err := os.Open(name)
		if err != nil {
			continue // gone meanwhile
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.RemoveAll(name)
		}
		f.Close()
		if err != nil {
			return storage("sweep the cache", err)
		}
	}
	return nil
}

// flock opens name and locks it, waiting until ctx ends. Directories are opened as they are, files are made.
func flock(ctx context.Context, name string, how int) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(name, os.O_RDONLY|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	}
	if err != nil {
		return nil, storage("lock", err)
	}
	// flock(2) can't be given up once it waits, so it is asked again and again.
	const pause = 20 * time.Millisecond
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(storage("lock "+name, err), f.Close())
		}
		select {
		case <-ctx.Done():
			err := crisol.Errorf(crisol.KindInfrastructure, "wait for another preparation: %w", context.Cause(ctx))
			return nil, errors.Join(err, f.Close())
		case <-time.After(pause):
		}
	}
}

// syncDisk writes the file system of dir back, so that a power cut can't leave an entry that appears and isn't whole.
func syncDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
