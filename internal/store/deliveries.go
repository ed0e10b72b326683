package store

import (
	"context"
	"time"

	"crisol"
)

// ErrLost says that the caller no longer holds what it works on; its lease ran out and somebody else may have taken it.
var ErrLost = crisol.Errorf(crisol.KindInternal, "the lease was lost")

// Delivery is a message that is to reach a webhook, at least once.
type Delivery struct {
	ID           string // unique; a second delivery with it is ignored
	ValidationID string
	Kind         string // what the message is about
	URL          string
	Body         []byte
	CreatedAt    time.Time
	NextAt       time.Time // not before; the zero time is at once

	// What follows is the store's.
	Attempts  int // including the one that Due just began
	LastError string
	Ended     time.Time // when it was delivered or given up; zero while it is due
	GivenUp   bool
}

// Deliveries is the outbox of webhooks. Deliveries can also be enqueued in the transaction of what they tell.
type Deliveries interface {
	// Enqueue keeps a delivery.
	Enqueue(ctx context.Context, d Delivery) error
	// Due begins an attempt at up to limit deliveries that are due at now, the longest due first. Nobody else gets them
	// before until.
	Due(ctx context.Context, now, until time.Time, limit int) ([]Delivery, error)
	// Done ends a delivery as delivered by the attempt with this number. ErrLost, ErrNotFound.
	Done(ctx context.Context, id string, attempt int, at time.Time) error
	// Fail ends the attempt with this number. The delivery is due again at next, or given up where next is zero.
	// ErrLost, ErrNotFound.
	Fail(ctx context.Context, id string, attempt int, f Failure) error
	// Get returns one delivery. ErrNotFound.
	Get(ctx context.Context, id string) (Delivery, error)
}

// Failure says why an attempt at a delivery failed, and when to try again.
type Failure struct {
	Reason string
	At     time.Time
	Next   time.Time // zero: never
	// Untried says that the attempt was not made after all, and doesn't count.
	Untried bool
}
