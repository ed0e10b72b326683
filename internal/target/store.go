package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"crisol"
	"crisol/internal/resilience"
)

// Options adjust a Store. The zero value is the default.
type Options struct {
	// Logger takes what an operator may want to know; nil discards it.
	Logger *slog.Logger
	// Progress is told what takes time, in words for a person; nil tells nobody. It may be called from any goroutine.
	Progress func(string)
	// MaxBytes is how large the cache may grow, with what the clients keep, before what was least recently used goes;
	// 0 means 4 GiB, below 0 without limit. What is in use stays, and may be more.
	MaxBytes int64
	// Timeout is how long one run of a client may take; 0 means 5 minutes.
	Timeout time.Duration
	// Registries are the guards before registries, by the name of the client; nil is guards of its own.
	Registries *resilience.Group
	// Env is added to the environment of the clients, NAME=value: another registry, a proxy.
	Env []string
	// Python is the interpreter that the sandbox runs, for which wheels are chosen; "" means /usr/bin/python3, or the
	// first python3 in PATH.
	Python string
	// GoPackages are what the layer under every Go tree holds compiled; nil means std, the whole standard library.
	GoPackages []string
	// Own gives a finished tree to the user that the sandbox runs as; nil leaves the owner.
	Own func(dir string) error
	// Now is the clock that orders entries by last use; nil means time.Now.
	Now func() time.Time
}

// Store is the cache of prepared targets. It is safe for use by several goroutines, and several processes may share its
// directory.
type Store struct {
	dir      string
	log      *slog.Logger
	progress func(string)
	maxBytes int64
	python   string
	goStd    []string
	client   client
	own      func(string) error
	now      func() time.Time

	mu     sync.Mutex
	leased map[string]*entry
	over   bool // the last eviction had to leave more than the bound

	pipMu sync.Mutex
	pip   string // where pip is, once it was found
}

const defaultMaxBytes = 4 << 30

// Open opens the cache in dir, which is made when it is absent. Close it to give up its leases.
func Open(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the target cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, storage("open the target cache", err)
	}
	if o.Registries == nil {
		o.Registries = Registries(resilience.NewPanel(nil))
	}
	s := &Store{
		dir: dir, log: o.Logger, progress: o.Progress, maxBytes: o.MaxBytes, python: o.Python, goStd: o.GoPackages, own: o.Own, now: o.Now,
		client: client{home: filepath.Join(dir, "clients"), lock: filepath.Join(dir, "locks", clientsLock), env: o.Env, timeout: o.Timeout, guard: o.Registries.Guard},
		leased: map[string]*entry{},
	}
	s.defaults()
	return s, nil
}

func (s *Store) defaults() {
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.progress == nil {
		s.progress = func(string) {}
	}
	if s.maxBytes == 0 {
		s.maxBytes = defaultMaxBytes
	}
	if s.own == nil {
		s.own = func(string) error { return nil }
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.client.timeout == 0 {
		s.client.timeout = 5 * time.Minute
	}
	if s.goStd == nil {
		s.goStd = []string{"std"}
	}
	if s.python == "" {
		s.python = systemPython()
	}
}

// systemPython is the interpreter that programs inside the sandbox find first: its PATH is the system's.
func systemPython() string {
	const usual = "/usr/bin/python3"
	if exists(usual) {
		return usual
	}
	found, err := exec.LookPath("python3")
	if err != nil {
		return usual
	}
	return found
}

// Close gives up every lease, and evicts what these kept in a cache that is larger than its bound. Trees stay valid only
// as long as nobody evicts them.
func (s *Store) Close() error {
	over, err := s.giveUp()
	if over {
		_, evicted := s.Evict()
		err = errors.Join(err, evicted)
	}
	return err
}

func (s *Store) giveUp() (over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.leased {
		err = errors.Join(err, e.lease.Close())
		delete(s.leased, key)
	}
	over, s.over = s.over, false
	return over, err
}

// Release gives up the lease that Prepare took on t, so that t may be evicted. A tree that is never released stays until
// Close.
func (s *Store) Release(t Tree) {
	for _, dir := range append(t.Extra[:len(t.Extra):len(t.Extra)], t.Dir) {
		s.release(filepath.Base(filepath.Dir(dir)))
	}
}

func (s *Store) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.leased[key]
	if e == nil {
		return
	}
	if e.users--; e.users == 0 {
		_ = e.lease.Close()
		delete(s.leased, key)
	}
}

// ecosystem is how the packages of one kind are resolved and laid out. It holds no state but what it was made with.
type ecosystem interface {
	// version counts changes of the layout: another version is another cache key.
	version() string
	// locks names the lock files.
	locks() []string
	// resolve pins the packages and all they need, and returns the lock files. scratch is an empty directory.
	resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error)
	// install lays exactly what the lock says in dir.
	install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, scratch string) (record, error)
	// layers lists what is laid under every tree of the ecosystem.
	layers() ([]layer, error)
}

// layer is an entry of the cache that many trees share.
type layer struct {
	key  string
	make build
}

func (s *Store) ecosystem(name string) ecosystem {
	switch name {
	case "npm":
		return npm{s}
	case "pypi":
		return pypi{s}
	case "golang":
		return golang{s}
	case "maven":
		return maven{s}
	case "cargo":
		return cargo{s}
	}
	panic("no ecosystem " + name) // the purl was parsed
}

// request is a Spec that was read: what to make, and the key under which it is kept.
type request struct {
	key  string
	name string // for people
	pkgs []Package
	eco  ecosystem // nil for a directory
	lock map[string][]byte
	spec Spec
}

// read checks spec and computes its key. It touches neither disk nor network but for spec's own file systems.
func (s *Store) read(spec Spec) (request, error) {
	switch {
	case spec.Package != "" && spec.Dir != nil:
		return request{}, crisol.Errorf(crisol.KindInput, "target: both a package (%s) and a directory are given", spec.Package)
	case spec.Dir != nil:
		return readDir(spec)
	case spec.Package == "":
		return request{}, crisol.Errorf(crisol.KindInput, "target: neither a package nor a directory is given")
	}
	pkgs, err := parseAll(spec)
	if err != nil {
		return request{}, err
	}
	r := request{name: pkgs[0].String(), pkgs: pkgs, eco: s.ecosystem(pkgs[0].Ecosystem), spec: spec}
	if spec.Lock != nil {
		if r.lock, err = readLock(spec.Lock, r.eco.locks(), r.name); err != nil {
			return request{}, err
		}
	}
	r.key = r.digestKey()
	return r, nil
}

// digestKey is a digest over everything that decides what the tree will hold.
func (r request) digestKey() string {
	sum := sha256.New()
	field(sum, runtime.GOOS+"/"+runtime.GOARCH, r.eco.version())
	for _, p := range r.pkgs {
		field(sum, p.String())
	}
	if r.lock == nil {
		field(sum, "resolved when first prepared")
	}
	for _, name := range slices.Sorted(maps.Keys(r.lock)) {
		field(sum, name, string(r.lock[name]))
	}
	return r.pkgs[0].Ecosystem + "-" + hex.EncodeToString(sum.Sum(nil))[:40]
}

// field writes values so that no two lists of values write the same bytes.
func field(w io.Writer, values ...string) {
	for _, v := range values {
		fmt.Fprintf(w, "%d:%s,", len(v), v)
	}
}

func readLock(fsys fs.FS, names []string, target string) (map[string][]byte, error) {
	lock := map[string][]byte{}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			err = crisol.Errorf(crisol.KindInput, "lock of %s: read %s: %w", target, name, err)
			return nil, crisol.WithHint(err, "%s", hintLock)
		}
		lock[name] = text
	}
	return lock, nil
}

// Prepare returns the tree of spec, leased (see Release). One that is in the cache costs no network and no process.
func (s *Store) Prepare(ctx context.Context, spec Spec) (Tree, error) {
	r, err := s.read(spec)
	if err != nil {
		return Tree{}, err
	}
	e := s.acquire(r.key)
	fresh := e == nil
	if fresh {
		if e, err = s.make(ctx, r); err != nil {
			return Tree{}, fmt.Errorf("prepare %s: %w", r.name, err)
		}
	}
	t, err := s.tree(ctx, r, e)
	if err != nil {
		s.release(e.key)
		return Tree{}, fmt.Errorf("prepare %s: %w", r.name, err)
	}
	if fresh {
		if _, err := s.Evict(); err != nil {
			s.log.Warn("the cache is larger than it should be", "error", err)
		}
	}
	return t, nil
}

// make makes the entry of r, or waits for another who does.
func (s *Store) make(ctx context.Context, r request) (*entry, error) {
	start := s.now()
	e, err := s.ensure(ctx, r.key, func(ctx context.Context, dir, scratch string) (record, error) {
		return s.build(ctx, r, dir, scratch)
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("target prepared", "target", r.name, "digest", e.Digest, "bytes", e.Bytes, "took", s.now().Sub(start))
	for _, note := range e.Notes {
		s.log.Warn(note, "target", r.name)
	}
	return e, nil
}

// tree turns an entry into a Tree, with the layers under it.
func (s *Store) tree(ctx context.Context, r request, e *entry) (Tree, error) {
	t := Tree{Dir: e.dir, Root: e.Root, Env: slices.Clone(e.Env), Ecosystem: e.Ecosystem, Digest: e.Digest, Notes: e.Notes}
	if r.eco == nil {
		return t, nil
	}
	under, err := r.eco.layers()
	if err != nil {
		return Tree{}, err
	}
	for _, l := range under {
		e, err := s.ensure(ctx, l.key, l.make)
		if err != nil {
			s.Release(Tree{Extra: t.Extra})
			return Tree{}, err
		}
		t.Extra = append(t.Extra, e.dir)
	}
	return t, nil
}

// build resolves, unless there is a lock, and installs.
func (s *Store) build(ctx context.Context, r request, dir, scratch string) (record, error) {
	if r.eco == nil {
		s.progress("copying " + r.name)
		return copyDir(r.spec, dir)
	}
	lock := r.lock
	if lock == nil {
		var err error
		if lock, err = s.resolve(ctx, r, scratch); err != nil {
			return record{}, err
		}
	}
	s.progress("fetching " + r.name)
	place := filepath.Join(scratch, "install")
	if err := os.Mkdir(place, 0o755); err != nil {
		return record{}, err
	}
	rec, err := r.eco.install(ctx, r.pkgs, lock, dir, place)
	rec.Package, rec.Ecosystem = r.name, r.pkgs[0].Ecosystem
	return rec, err
}

func (s *Store) resolve(ctx context.Context, r request, scratch string) (map[string][]byte, error) {
	s.progress("resolving " + r.name)
	place := filepath.Join(scratch, "resolve")
	if err := os.Mkdir(place, 0o755); err != nil {
		return nil, err
	}
	return r.eco.resolve(ctx, r.pkgs, place)
}

// Lock resolves spec anew and returns its lock files by name. Written to a directory that a Spec's Lock opens, they make
// Prepare come to the same tree for as long as the registry keeps the files.
func (s *Store) Lock(ctx context.Context, spec Spec) (map[string][]byte, error) {
	spec.Lock = nil
	r, err := s.read(spec)
	if err != nil {
		return nil, err
	}
	if r.eco == nil {
		return nil, crisol.Errorf(crisol.KindInput, "lock %s: a directory has nothing to lock", r.name)
	}
	if err := s.layOut(); err != nil {
		return nil, err
	}
	tmp, lease, err := s.begin(ctx, "lock")
	if err != nil {
		return nil, err
	}
	lock, err := s.resolve(ctx, r, tmp)
	err = errors.Join(err, os.RemoveAll(tmp), lease.Close())
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", r.name, storage("resolve", err))
	}
	return lock, nil
}

// Cached says whether Prepare would find spec in the cache.
func (s *Store) Cached(spec Spec) bool {
	r, err := s.read(spec)
	if err != nil {
		return false
	}
	keys := []string{r.key}
	if r.eco != nil {
		under, err := r.eco.layers()
		if err != nil {
			return false
		}
		for _, l := range under {
			keys = append(keys, l.key)
		}
	}
	for _, key := range keys {
		if s.acquire(key) == nil {
			return false
		}
		s.release(key)
	}
	return true
}

// exactly compares what a lock pins with what was asked for: a lock of another version would be a target of another
// version.
func exactly(pkgs []Package, pinned map[string]string, file string) error {
	for _, p := range pkgs {
		got, ok := pinned[p.Name]
		if ok && got == p.Version {
			continue
		}
		if !ok {
			got = "nothing"
		}
		err := crisol.Errorf(crisol.KindInput, "lock: %s pins %s of %s, not %s", file, got, p.Name, p.Version)
		return crisol.WithHint(err, "%s", hintLock)
	}
	return nil
}

func joinLines(lines []string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }
