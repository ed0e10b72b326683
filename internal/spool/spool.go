// Package spool keeps what was answered until the database has it.
//
// In goes an entry (a finished validation, an A/B test); once Put returns it survives the death of this process, because
// it lies in a file whose bytes the kernel has (write(2), no fsync: a loss of power may take the last moments). A
// background loop records entries in batches, in their order, and deletes a segment of the journal once the database has
// all of it. At the start whatever the last process left is recorded first. Recording is idempotent, so an entry that was
// recorded just before a death is not doubled.
//
// The journal is bounded: while the database is away for long, Put refuses with ErrFull rather than to accept what could
// not be kept. The package knows nothing of what entries mean.
package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/store"
)

// ErrFull is in the error of a Put for which there is no room: the database has not taken entries for too long.
var ErrFull = errors.New("the journal of answers is full")

// Options configure a Spool. Recorder and Logger must be set.
type Options struct {
	Recorder store.Recorder
	Logger   *slog.Logger
	// MaxBytes bounds the journal on the disk; 0 is 256 MiB.
	MaxBytes int64
	// Every is the longest time for which entries wait for others to be recorded with; 0 is 50 ms. Batch is how many are
	// recorded at once at most; 0 is 500.
	Every time.Duration
	Batch int
	// Recorded, when set, hears of each batch that the database has taken.
	Recorded func([]store.Entry)
}

// DefaultMaxBytes bounds a journal unless told otherwise.
const DefaultMaxBytes = 256 << 20

// maxPause is the longest pause between two tries at recording.
const maxPause = 5 * time.Second

// Spool is a journal in a directory that one process at a time owns.
type Spool struct {
	Options
	dir  string
	lock *os.File

	mu      sync.Mutex // guards what follows
	current *segment
	closed  []*segment // the oldest first
	waiting map[string]*store.Entry
	bytes   int64
	shut    bool

	wake chan struct{}
	done chan struct{}
	stop context.CancelFunc
}

// segment is one file of the journal, with the entries in it.
type segment struct {
	path    string
	file    *os.File // nil once nothing more is written to it
	entries []*store.Entry
	bytes   int64
}

// Open takes the directory for this process and reads what the last one left; it is recorded in the background.
func Open(ctx context.Context, dir string, o Options) (*Spool, error) {
	o.MaxBytes, o.Every, o.Batch = cmp.Or(o.MaxBytes, DefaultMaxBytes), cmp.Or(o.Every, 50*time.Millisecond), cmp.Or(o.Batch, 500)
	s := &Spool{Options: o, dir: dir, waiting: map[string]*store.Entry{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.drain(background)
	s.nudge()
	return s, nil
}

func (s *Spool) claim() error {
	fail := func(err error) error {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "open the journal %s: %w", s.dir, err), "choose a writable directory with --data")
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "open the journal %s: another process is using it", s.dir),
			"stop the other crisol, or choose another directory with --data")
	}
	s.lock = lock
	return nil
}

// Put keeps an entry. Once it returns nil, the entry will be recorded whatever becomes of this process. The spool owns the
// entry from then on.
func (s *Spool) Put(e store.Entry) error {
	if err := e.Check(); err != nil {
		return err
	}
	line, err := encode(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut:
		return crisol.Errorf(crisol.KindInfrastructure, "the service is stopping")
	case s.bytes+int64(len(line)) > s.MaxBytes:
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%w: %d bytes wait for the database", ErrFull, s.bytes), "try again later")
	}
	if err := s.write(line); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "write the journal of answers: %w", err)
	}
	s.current.entries = append(s.current.entries, &e)
	s.remember(&e)
	if len(s.current.entries) >= s.Batch {
		s.nudge()
	}
	return nil
}

// write appends a line to the current segment. A line that could only be written in part is taken back.
func (s *Spool) write(line []byte) error {
	if s.current == nil {
		path := filepath.Join(s.dir, fmt.Sprintf("%020d.journal", time.Now().UnixNano()))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		s.current = &segment{path: path, file: file}
		s.nudge() // and with it the wait for company begins
	}
	if _, err := s.current.file.Write(line); err != nil {
		return errors.Join(err, s.current.file.Truncate(s.current.bytes))
	}
	s.current.bytes += int64(len(line))
	s.bytes += int64(len(line))
	return nil
}

func (s *Spool) remember(e *store.Entry) {
	if e.Validation != nil {
		s.waiting[e.Submission.ID] = e
	}
}

// Get returns the validation with this id as it will be recorded, while it is not yet.
func (s *Spool) Get(id string) (store.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.waiting[id]
	if e == nil {
		return store.Record{}, false
	}
	sub, v := e.Submission, *e.Validation
	return store.Record{
		Row: store.Row{
			ID: sub.ID, State: store.Finished, APVID: v.APVID, CVEID: v.CVEID, PatchID: v.PatchID, ScenarioID: sub.ScenarioID,
			ScenarioDigest: sub.ScenarioDigest, PatchDigest: sub.PatchDigest, CreatedAt: sub.CreatedAt, FinishedAt: e.FinishedAt,
			Mode: sub.Mode, Client: sub.Client, Priority: sub.Priority, Webhook: sub.Webhook, Outcome: store.OutcomeOf(v),
		},
		Request: sub.Normalised, Validation: &v,
	}, true
}

// Waiting is how many entries the database doesn't have yet, and their bytes.
func (s *Spool) Waiting() (entries int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.closed {
		entries += len(seg.entries)
	}
	if s.current != nil {
		entries += len(s.current.entries)
	}
	return entries, s.bytes
}

func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close takes no more entries and records those that wait, as long as ctx allows. What is left then is recorded at the
// next start. It may be called twice.
func (s *Spool) Close(ctx context.Context) error {
	s.mu.Lock()
	already := s.shut
	s.shut = true
	s.mu.Unlock()
	if already {
		return nil
	}
	s.nudge()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		n, _ := s.Waiting()
		err = crisol.Errorf(crisol.KindInfrastructure, "%d answers are in the journal and not in the database yet; the next start records them", n)
	}
	s.stop()
	<-s.done
	return errors.Join(err, s.lock.Close())
}
