package relational

import (
	"context"
	"database/sql"
	"encoding/json"

	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Events returns the part of the store that keeps the stream of events.
func (s *Store) Events() store.Events { return events{s} }

type events struct{ *Store }

func (s events) Append(ctx context.Context, list []store.Event) (kept []store.Event, err error) {
	for _, e := range list {
		if err := e.Check(); err != nil {
			return nil, err
		}
	}
	err = s.change(ctx, "append events to", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) (err error) {
		kept, err = appendEvents(ctx, q, list)
		return err
	})
	return kept, err
}

// appendEvents gives events the next numbers. The row of the sequence is held until the commit, so that events become
// visible in the order of their numbers.
func appendEvents(ctx context.Context, q *queries.Queries, list []store.Event) (kept []store.Event, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	last, err := q.LockSequence(ctx, eventsSequence)
	if err != nil {
		return nil, missing("sequence", eventsSequence, err)
	}
	for _, e := range list {
		e.ID, e.At = last+1, instant(micros(e.At))
		e.Kind, e.Subject, e.Key = text(e.Kind), text(e.Subject), text(e.Key)
		n, err := q.InsertEvent(ctx, queries.InsertEventParams{
			ID: e.ID, At: micros(e.At), Kind: e.Kind, Subject: e.Subject, Key: e.Key, Body: text(string(e.Body)),
		})
		if err != nil {
			return nil, err
		}
		if n == 1 {
			last = e.ID
			kept = append(kept, e)
		}
	}
	return kept, q.SetSequence(ctx, queries.SetSequenceParams{Name: eventsSequence, Value: last})
}

func (s events) After(ctx context.Context, id int64, limit int) ([]store.Event, error) {
	rows, err := ask(ctx, s.Store, (*queries.Queries).EventsAfter, queries.EventsAfterParams{After: id, Max: int64(limit)})
	list := make([]store.Event, 0, len(rows))
	for _, r := range rows {
		e := store.Event{ID: r.ID, At: instant(r.At), Kind: r.Kind, Subject: r.Subject, Key: r.Key}
		if r.Body != "" {
			e.Body = json.RawMessage(r.Body)
		}
		list = append(list, e)
	}
	return list, s.fault("read", err)
}

func (s events) Span(ctx context.Context) (oldest, newest int64, err error) {
	err = s.look(ctx, func(ctx context.Context, q *queries.Queries) (err error) {
		// The newest first: what is appended between the two reads must not look as if it had been deleted.
		if newest, err = q.ReadSequence(ctx, eventsSequence); err == nil {
			oldest, err = q.OldestEvent(ctx)
		}
		return err
	})
	return oldest, newest, s.fault("read", err)
}
