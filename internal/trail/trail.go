// Package trail is the audit log: who changed what, when, and whether it was done.
//
// In goes a deed, before it is done and again when it has ended; out come all deeds, in order. Entries are only ever
// appended, and each carries the digest of the one before, so that a changed, missing or inserted entry is found (Verify).
// Who can write to the file or the table and can compute digests may still replace the whole end of the log: keep the
// newest digest elsewhere, which the service's own log does. The package knows nothing of HTTP and of what is changed.
package trail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"crisol"
)

// Outcome says how far a deed is.
type Outcome string

// The outcomes. A deed that begun and of which nothing more is told may have been done.
const (
	Begun  Outcome = "begun"
	Done   Outcome = "done"
	Failed Outcome = "failed"
)

// Entry is one line of the log.
type Entry struct {
	Seq     int64           `json:"seq"` // from 1, without gaps
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor" doc:"Who did it: a token's id and name, local where nobody has to show one, service or command line"`
	Address string          `json:"address,omitempty" doc:"Where from"`
	Request string          `json:"request_id,omitempty" doc:"By which request"`
	Act     string          `json:"act" doc:"What was done"`
	Subject string          `json:"subject,omitempty" doc:"To what"`
	Detail  json.RawMessage `json:"detail,omitempty" doc:"How"`
	Outcome Outcome         `json:"outcome" enum:"begun,done,failed"`
	Error   string          `json:"error,omitempty" doc:"Why it failed"`
	// Previous is the digest of the entry before, "" for the first. Digest is SHA-256, in hex, of this entry without it.
	Previous string `json:"previous"`
	Digest   string `json:"digest"`
}

// Follow makes an entry the one that follows another; the zero Entry is before the first.
func (e Entry) Follow(before Entry) (Entry, error) {
	e.Seq, e.Previous, e.Digest = before.Seq+1, before.Digest, ""
	e.At = e.At.UTC().Truncate(time.Microsecond) // what a database keeps
	for _, text := range []*string{&e.Actor, &e.Address, &e.Request, &e.Act, &e.Subject, &e.Error} {
		*text = strings.ToValidUTF8(strings.ReplaceAll(*text, "\x00", "\uFFFD"), "\uFFFD") // what can be kept as it is
	}
	text, err := e.text()
	if err != nil {
		return e, err
	}
	sum := sha256.Sum256(text)
	e.Digest = hex.EncodeToString(sum[:])
	return e, nil
}

// text is what the digest is of.
func (e Entry) text() ([]byte, error) {
	e.Digest = ""
	text, err := json.Marshal(e)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "write an audit entry: %w", err)
	}
	return text, nil
}

// Log keeps entries.
type Log interface {
	// Append adds an entry at the end, durably, and returns it with its number and digests.
	Append(ctx context.Context, e Entry) (Entry, error)
	// Read returns up to limit entries with a number greater than after, in order.
	Read(ctx context.Context, after int64, limit int) ([]Entry, error)
}

// page is how many entries are read at once.
const page = 500

// Each calls do with every entry whose number is greater than after, in order, until it returns an error.
func Each(ctx context.Context, l Log, after int64, do func(Entry) error) error {
	for {
		list, err := l.Read(ctx, after, page)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := do(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(list) < page {
			return nil
		}
	}
}

// Verify reads the whole log and returns how many entries it has, or an error that names the first that isn't what was
// written.
func Verify(ctx context.Context, l Log) (n int64, head string, err error) {
	var last Entry
	err = Each(ctx, l, 0, func(e Entry) error {
		want, err := e.Follow(last)
		if err != nil {
			return err
		}
		if e.Seq != want.Seq || e.Previous != want.Previous || e.Digest != want.Digest {
			return crisol.Errorf(crisol.KindInternal, "the audit log is not what was written: entry %d doesn't follow entry %d", e.Seq, last.Seq)
		}
		last = e
		return nil
	})
	return last.Seq, last.Digest, err
}

// Do does a deed that the log knows of before it is done, and afterwards whether it was. A deed that can't be logged isn't
// done.
func Do(ctx context.Context, l Log, e Entry, now func() time.Time, do func() error) error {
	if l == nil {
		return do()
	}
	e.At, e.Outcome = now(), Begun
	if _, err := l.Append(ctx, e); err != nil {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s: it can't be logged and is not done: %w", e.Act, err), "what changes a service must be found in its audit log")
	}
	done := do()
	e.At, e.Outcome = now(), Done
	if done != nil {
		e.Outcome, e.Error = Failed, done.Error()
	}
	// The deed has been done, or not, whoever still waits for it.
	if _, err := l.Append(context.WithoutCancel(ctx), e); err != nil && done == nil {
		return fmt.Errorf("%s is done, and the audit log knows only that it was begun: %w", e.Act, err)
	}
	return done
}
