package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"crisol"
	"crisol/internal/store"
)

// drain records segments as they come, until the spool is shut and empty, or ctx is done.
func (s *Spool) drain(ctx context.Context) {
	defer close(s.done)
	defer s.rest()
	for {
		seg := s.next()
		if seg == nil {
			if s.isShut() {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			}
			s.gather(ctx)
			continue
		}
		if !s.record(ctx, seg) {
			return
		}
		s.drop(seg)
	}
}

// gather waits for entries to be recorded together.
func (s *Spool) gather(ctx context.Context) {
	timer := time.NewTimer(s.Every)
	defer timer.Stop()
	for !s.isShut() {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-s.wake:
			if s.enough() {
				return
			}
		}
	}
}

func (s *Spool) enough() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil && len(s.current.entries) >= s.Batch
}

func (s *Spool) isShut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}

// next is the oldest segment; nothing more is written to it.
func (s *Spool) next() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.closed) == 0 && s.current != nil {
		s.finish()
	}
	if len(s.closed) == 0 {
		return nil
	}
	return s.closed[0]
}

// finish closes the current segment.
func (s *Spool) finish() {
	if err := s.current.file.Close(); err != nil {
		s.Logger.Warn("close a segment of the journal", "path", s.current.path, "error", err)
	}
	s.current.file = nil
	s.closed = append(s.closed, s.current)
	s.current = nil
}

// record gives a segment to the database, and tries until it has it or ctx is done.
func (s *Spool) record(ctx context.Context, seg *segment) bool {
	for first := 0; first < len(seg.entries); first += s.Batch {
		batch := seg.entries[first:min(first+s.Batch, len(seg.entries))]
		if !s.batch(ctx, batch) {
			return false
		}
	}
	return true
}

func (s *Spool) batch(ctx context.Context, entries []*store.Entry) bool {
	plain := make([]store.Entry, len(entries))
	for i, e := range entries {
		plain[i] = *e
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		err := s.Recorder.Record(ctx, plain)
		switch {
		case err == nil:
			if s.Recorded != nil {
				s.Recorded(plain)
			}
			return true
		case ctx.Err() != nil:
			return false
		case crisol.KindOf(err) != crisol.KindInfrastructure && len(entries) > 1:
			return s.oneByOne(ctx, entries)
		case crisol.KindOf(err) != crisol.KindInfrastructure && s.setAside(entries[0], err):
			return true
		}
		s.Logger.Warn("answers could not be recorded yet", "count", len(plain), "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Spool) oneByOne(ctx context.Context, entries []*store.Entry) bool {
	for _, e := range entries {
		if !s.batch(ctx, []*store.Entry{e}) {
			return false
		}
	}
	return true
}

// setAside keeps an entry that no database takes in a file for people to look at, so that it doesn't hold up the others.
func (s *Spool) setAside(e *store.Entry, why error) bool {
	s.Logger.Error("an answer can't be recorded, and is set aside", "validation_id", e.Submission.ID, "error", why, "path", s.refused())
	line, err := encode(*e)
	if err == nil {
		err = appendTo(s.refused(), line)
	}
	if err != nil {
		s.Logger.Error("nor can it be set aside; it stays in the journal", "validation_id", e.Submission.ID, "error", err)
	}
	return err == nil
}

func (s *Spool) refused() string { return filepath.Join(s.dir, "refused") }

func appendTo(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}

// drop forgets a segment that the database has.
func (s *Spool) drop(seg *segment) {
	if err := os.Remove(seg.path); err != nil { // it will be recorded once more, to no effect
		s.Logger.Warn("remove a segment of the journal", "path", seg.path, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed[1:]
	s.bytes -= seg.bytes
	for _, e := range seg.entries {
		delete(s.waiting, e.Submission.ID)
	}
}

// rest closes what is open when the loop ends.
func (s *Spool) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	if s.current != nil {
		s.finish()
	}
}
