package store

import (
	"context"
	"encoding/json"
	"time"
)

// Event is something that happened and that others may want to hear of.
type Event struct {
	// ID is given by the store: 1, 2, 3, ... without gaps.
	ID   int64
	At   time.Time
	Kind string // what happened, for example "validation_finished"
	// Subject is what it happened to: the id of a validation, the version of a model.
	Subject string
	// Key makes an event unique: a second one with the same key is ignored. "" is never unique.
	Key  string
	Body json.RawMessage // JSON, opaque to the store
}

// Events keeps a stream that can be resumed. The order of IDs is the order of commits: who has seen an event has seen,
// or can see, all that came before.
type Events interface {
	// Append keeps events in their order, in one transaction, and returns those whose key was new, with their IDs.
	Append(ctx context.Context, events []Event) ([]Event, error)
	// After returns up to limit events with an ID greater than id, in order.
	After(ctx context.Context, id int64, limit int) ([]Event, error)
	// Span returns the IDs of the oldest event that is kept and of the newest there ever was; 0 for none. When oldest
	// is 0, or greater than id+1, a reader that stopped at id < newest has missed what retention deleted.
	Span(ctx context.Context) (oldest, newest int64, err error)
}
