// Package stream tells whoever listens what happens, as it happens: over server-sent events or a WebSocket.
//
// In go the events that the store keeps, with their gapless numbers; out they come to every client in that order, from
// the number on that the client saw last. One Hub reads the store for all clients: it keeps the newest events in memory
// and reads older ones for those who catch up. A client that falls so far behind that its next event is no longer in
// memory is told so and cut off; it may come back with the number that it saw last, as one whose connection broke may.
//
// The stream is read-only and refuses to know what events mean. Delivery is at least once: after a reconnect an event
// may come again, under the same number.
package stream

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"crisol"
	"crisol/internal/store"
)

// What Subscribe and Next answer beside the faults of the store; errors.Is finds them.
var (
	// ErrFull: as many clients listen as may.
	ErrFull = crisol.Errorf(crisol.KindInfrastructure, "too many clients listen already")
	// ErrSlow: the client can't keep up.
	ErrSlow = crisol.Errorf(crisol.KindInput, "the client reads more slowly than events happen")
	// ErrClosed: the service stops.
	ErrClosed = crisol.Errorf(crisol.KindInfrastructure, "the service stops")
)

// Events is where events come from (store.Events).
type Events interface {
	After(ctx context.Context, id int64, limit int) ([]store.Event, error)
	Span(ctx context.Context) (oldest, newest int64, err error)
}

// Config is what a Hub is made of. Events must be set.
type Config struct {
	Events Events
	// Poll is how often the store is asked for what other processes appended; 0 means 500 ms.
	Poll time.Duration
	// Keep is how many of the newest events are in memory, and so how far a client may fall behind; 0 means 1,024.
	Keep int
	// Patience is how long a client may be further behind than that: a burst of events is no fault of its; 0 means 30 s.
	Patience time.Duration
	// Clients bounds how many listen at once; 0 means 256.
	Clients int
	// Heartbeat is how often a client hears something when nothing happens; 0 means 15 s.
	Heartbeat time.Duration
	// WriteFor bounds one write to a client; 0 means 10 s.
	WriteFor time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears when the store can't be read, and when it can again; nil discards that.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Poll = cmp.Or(c.Poll, 500*time.Millisecond)
	c.Keep = cmp.Or(c.Keep, 1024)
	c.Patience = cmp.Or(c.Patience, 30*time.Second)
	c.Clients = cmp.Or(c.Clients, 256)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.WriteFor = cmp.Or(c.WriteFor, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// page is how many events are read or passed on at once.
const page = 200

// Hub reads the store for its clients. All methods are safe for concurrent use.
type Hub struct {
	Config
	wake chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	clients int
	newest  int64         // the number of the last event that was read
	recent  []store.Event // the last ones, without a gap up to newest; its elements are never changed
	changed chan struct{} // closed, and replaced, when there is more, or no more
}

// New makes a Hub that works until Close.
func New(c Config) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &Hub{Config: c.withDefaults(), wake: make(chan struct{}, 1), stop: stop, changed: make(chan struct{})}
	h.done.Go(func() { h.follow(ctx) })
	return h
}

// Close ends the Hub and all subscriptions. It may be called twice.
func (h *Hub) Close() {
	h.stop()
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.changed)
	}
	h.mu.Unlock()
	h.done.Wait()
}

// Notify says that this process has appended events: clients then hear of them at once, not at the next poll. It never
// waits.
func (h *Hub) Notify() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// follow reads the store until ctx is done.
func (h *Hub) follow(ctx context.Context) {
	tick := time.NewTicker(h.Poll)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
		err := h.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			h.Logger.WarnContext(ctx, "stream: events can't be read; clients wait", "error", err)
		case err == nil && failing:
			h.Logger.InfoContext(ctx, "stream: events can be read again")
		}
		failing = err != nil
	}
}

// poll reads what is new. Without clients nobody wants to know.
func (h *Hub) poll(ctx context.Context) error {
	for {
		h.mu.Lock()
		after, listened := h.newest, h.clients > 0
		h.mu.Unlock()
		if !listened {
			return nil
		}
		events, err := h.Events.After(ctx, after, page)
		if err != nil {
			return err
		}
		h.publish(events)
		if len(events) < page {
			return nil
		}
	}
}

// publish adds events, which are in order, to the recent ones, and wakes who waits.
func (h *Hub) publish(events []store.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, _ := slices.BinarySearchFunc(events, h.newest+1, func(e store.Event, id int64) int { return cmp.Compare(e.ID, id) })
	events = events[known:]
	if len(events) == 0 || h.closed {
		return
	}
	if events[0].ID != h.newest+1 { // retention was faster: what is in memory must have no gap
		h.recent = nil
	}
	h.recent = append(h.recent, events...)
	if len(h.recent) > 2*h.Keep {
		h.recent = slices.Clone(h.recent[len(h.recent)-h.Keep:])
	}
	h.newest = h.recent[len(h.recent)-1].ID
	close(h.changed)
	h.changed = make(chan struct{})
}

// FromNow stands for the newest event there is, as the number after which to listen.
const FromNow = -1

// Filter selects events. A zero field selects all; fields that are set must all hold.
type Filter struct {
	Kinds   []string
	Subject string
}

func (f Filter) takes(e store.Event) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind)) && (f.Subject == "" || f.Subject == e.Subject)
}

// Subscription is one client's place in the stream. It must be closed, and is for one goroutine.
type Subscription struct {
	hub    *Hub
	filter Filter
	cursor int64     // the number of the last event that was passed on or left out
	missed int64     // to be told with the next batch
	near   time.Time // when the next event was last in memory, or still to come; zero: it never was
	close  func()
}

// Subscribe begins a subscription to the events after a number that the client has seen: 0 for all that are kept,
// FromNow for those to come. A number greater than any there is, as after the database was put back to an older state,
// is taken as FromNow.
func (h *Hub) Subscribe(ctx context.Context, after int64, f Filter) (*Subscription, error) {
	_, newest, err := h.Events.Span(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case h.clients >= h.Clients:
		return nil, ErrFull
	case h.clients == 0:
		h.newest, h.recent = newest, nil // nothing was read while nobody listened
	}
	h.clients++
	s := &Subscription{hub: h, filter: f, cursor: after}
	if after < 0 || after > max(newest, h.newest) {
		s.cursor = newest
	}
	s.close = sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.clients--
	})
	h.Notify()
	return s, nil
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() { s.close() }

// Cursor is the number after which a new subscription would go on where this one is.
func (s *Subscription) Cursor() int64 { return s.cursor }

// Batch is some events in a row.
type Batch struct {
	// Missed counts events before these that are no longer kept.
	Missed int64
	Events []store.Event
}

// Next waits for events that the filter takes. It returns ctx's error when that is done first: nothing is lost then, and
// Next may be called again. After any other error the subscription is of no use.
func (s *Subscription) Next(ctx context.Context) (Batch, error) {
	for {
		events, err := s.read(ctx)
		if err != nil {
			return Batch{}, err
		}
		batch := Batch{Missed: s.missed}
		for _, e := range events {
			if s.filter.takes(e) {
				batch.Events = append(batch.Events, e)
			}
		}
		if len(batch.Events) > 0 || batch.Missed > 0 {
			s.missed = 0
			return batch, nil
		}
	}
}

// read moves the cursor over the next events, whatever the filter says, and counts what is missing before them.
func (s *Subscription) read(ctx context.Context) ([]store.Event, error) {
	h := s.hub
	h.mu.Lock()
	newest, recent, changed, closed := h.newest, h.recent, h.changed, h.closed
	h.mu.Unlock()
	first := newest - int64(len(recent)) + 1
	switch {
	case closed:
		return nil, ErrClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.cursor >= newest:
		s.near = h.Now()
		select {
		case <-changed:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case s.cursor+1 >= first:
		s.near = h.Now()
		events := recent[s.cursor+1-first:]
		events = events[:min(page, len(events))]
		s.cursor = events[len(events)-1].ID
		return events, nil
	case !s.near.IsZero() && h.Now().Sub(s.near) > h.Patience:
		return nil, ErrSlow
	}
	return s.catchUp(ctx, newest)
}

// catchUp reads events from the store that are no longer in memory.
func (s *Subscription) catchUp(ctx context.Context, newest int64) ([]store.Event, error) {
	events, err := s.hub.Events.After(ctx, s.cursor, page)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	next := newest + 1
	if len(events) > 0 {
		next = events[0].ID
	}
	s.missed += max(0, next-s.cursor-1)
	if s.cursor = newest; len(events) > 0 {
		s.cursor = events[len(events)-1].ID
	}
	return events, nil
}
