// Package webhook posts what happened to the addresses that asked to hear of it, signed, until they have taken it.
//
// In go deliveries, which the store keeps from the moment of what they tell; out go POST requests in the form of the
// Standard Webhooks specification (see sign.go). A delivery is made at least once: it is repeated, with growing pauses
// and under the same id, until the receiver answers 2xx, answers 410, or has had its number of attempts. Any number of
// processes may send from one store.
//
// Whoever may ask for a validation names the address, so what it can make this machine reach is bounded (see guard.go).
// Redirects are not followed, answers are not shown to anybody, and no proxy of the environment is used: it would reach
// what the guard refuses.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"crisol"
	"crisol/internal/resilience"
	"crisol/internal/store"
)

// Deliveries is the outbox (store.Deliveries).
type Deliveries interface {
	Due(ctx context.Context, now, until time.Time, limit int) ([]store.Delivery, error)
	Done(ctx context.Context, id string, attempt int, at time.Time) error
	Fail(ctx context.Context, id string, attempt int, f store.Failure) error
}

// Config is what a Sender is made of. Deliveries and Secret must be set.
type Config struct {
	Deliveries Deliveries
	Secret     Secret
	// Allow lists networks that may be reached although they are not public, for receivers inside.
	Allow []netip.Prefix
	// Hosts are the guards before receivers, by host and port; nil is guards of its own. One that is open, or has no place for
	// another attempt, puts deliveries off: that is no attempt.
	Hosts *resilience.Group
	// Concurrency bounds the attempts under way; 0 means 8.
	Concurrency int
	// Timeout bounds one attempt, from the resolution of the name to the end of the answer; 0 means 10 s.
	Timeout time.Duration
	// Attempts is how often a delivery is tried before it is given up; 0 means 9, which with the default pauses is most
	// of a day.
	Attempts int
	// Backoff is the pause after the n-th attempt (from 1); nil means 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, then 10 h,
	// each up to a fifth longer or shorter.
	Backoff func(n int) time.Duration
	// MaxBody bounds what is sent, in bytes: a longer message goes without its data, marked as truncated; 0 means 1 MiB.
	MaxBody int
	// Poll is how often the outbox is looked into; 0 means 1 s.
	Poll time.Duration
	// Now is the clock; nil means time.Now.
	Now    func() time.Time
	Logger *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 9)
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.Poll = cmp.Or(c.Poll, time.Second)
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.Hosts == nil {
		c.Hosts = Hosts(resilience.NewPanel(nil))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Hosts makes guards for receivers: half of the usual places at once for each, so that a slow one leaves some for others,
// and a rest after five failures in a row.
func Hosts(panel *resilience.Panel) *resilience.Group {
	return panel.Group(resilience.Config{
		Name: "webhook", Failures: 5, Rest: 30 * time.Second, Longest: 10 * time.Minute, AtOnce: 4, Queue: 200 * time.Millisecond, Foreign: true, Faulty: down,
	}, mostHosts)
}

// mostHosts bounds the receivers of which is remembered how they are: callers name them.
const mostHosts = 1000

// down says of a failed attempt whether the receiver is at fault as a whole: it can't be reached, or says so itself.
func down(err error) bool {
	var told *statusError
	return !errors.As(err, &told) || told.code >= http.StatusInternalServerError || told.code == http.StatusTooManyRequests
}

// statusError is an answer that isn't what was hoped for.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

var pauses = [...]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}

func backoff(n int) time.Duration {
	pause := pauses[min(n, len(pauses))-1]
	return pause*4/5 + rand.N(pause*2/5) // so that what failed together does not come back together
}

// grace is how long after its timeout an attempt may take to be recorded, before the delivery counts as abandoned.
const grace = 30 * time.Second

// maxAnswer bounds what is read of an answer, so that its connection can be used again.
const maxAnswer = 64 << 10

// longestWish bounds the pause that a receiver may ask for by Retry-After.
const longestWish = time.Hour

// Sender works on the outbox between New and Stop.
type Sender struct {
	Config
	http  *http.Client
	wake  chan struct{}
	stop  context.CancelFunc // takes no more
	abort context.CancelFunc // ends attempts
	done  sync.WaitGroup

	delivered, failed, givenUp atomic.Uint64
}

// New makes a Sender that works until Stop.
func New(c Config) (*Sender, error) {
	if len(c.Secret.key) == 0 {
		return nil, crisol.Errorf(crisol.KindInput, "webhooks need a secret to be signed with")
	}
	c = c.withDefaults()
	dialer := &net.Dialer{Timeout: c.Timeout, Control: guard(c.Allow)}
	s := &Sender{Config: c, wake: make(chan struct{}, 1), http: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: c.Timeout, ResponseHeaderTimeout: c.Timeout, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var taking, sending context.Context
	taking, s.stop = context.WithCancel(context.Background())
	sending, s.abort = context.WithCancel(context.Background())
	s.done.Go(func() { s.run(taking, sending) })
	return s, nil
}

// Stop takes no more deliveries and waits for the attempts under way until ctx is done, then ends them: they are made
// again later. It may be called twice.
func (s *Sender) Stop(ctx context.Context) error {
	s.stop()
	defer context.AfterFunc(ctx, s.abort)()
	s.done.Wait()
	s.abort()
	s.http.CloseIdleConnections()
	return nil
}

// Notify says that there is something in the outbox; without it, that is found at the next poll. It never waits.
func (s *Sender) Notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats counts attempts since the Sender was made.
type Stats struct {
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`   // attempts that will be, or would have been, repeated
	GivenUp   uint64 `json:"given_up"` // deliveries that won't
}

// Stats returns the counts so far.
func (s *Sender) Stats() Stats {
	return Stats{Delivered: s.delivered.Load(), Failed: s.failed.Load(), GivenUp: s.givenUp.Load()}
}

// run takes what is due, as much as there are places for, until taking is done.
func (s *Sender) run(taking, sending context.Context) {
	places := make(chan struct{}, s.Concurrency)
	tick := time.NewTicker(s.Poll)
	defer tick.Stop()
	failing := false
	for {
		more, err := s.take(taking, sending, places)
		switch {
		case taking.Err() != nil:
			return
		case err != nil && !failing:
			s.Logger.WarnContext(taking, "webhooks: the outbox can't be read", "error", err)
		case err == nil && failing:
			s.Logger.InfoContext(taking, "webhooks: the outbox can be read again")
		}
		failing = err != nil
		if more {
			continue
		}
		select {
		case <-taking.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// take begins as many attempts as there are places, and says whether there may be more to do at once. It waits for the
// first place.
func (s *Sender) take(taking, sending context.Context, places chan struct{}) (more bool, err error) {
	select {
	case places <- struct{}{}:
	case <-taking.Done():
		return false, nil
	}
	free := 1
	for full := false; !full; {
		select {
		case places <- struct{}{}:
			free++
		default:
			full = true
		}
	}
	now := s.Now()
	due, err := s.Deliveries.Due(taking, now, now.Add(s.Timeout+grace), free)
	for range free - len(due) {
		<-places
	}
	for _, d := range due {
		s.done.Go(func() {
			defer func() { <-places }()
			s.attempt(sending, d)
		})
	}
	return len(due) == free, err
}

// attempt posts one delivery and records what became of it.
func (s *Sender) attempt(ctx context.Context, d store.Delivery) {
	pause, failure := s.guarded(ctx, d)
	if ctx.Err() != nil {
		return // cut off by Stop: the lease runs out, and it is made again
	}
	record, cancel := context.WithTimeout(ctx, grace/2)
	defer cancel()
	log := s.Logger.With("delivery", d.ID, "attempt", d.Attempts)
	var err error
	var refusal *resilience.RefusalError
	switch {
	case errors.As(failure, &refusal):
		next := s.Now().Add(max(refusal.RetryAfter(), s.Poll))
		err = s.Deliveries.Fail(record, d.ID, d.Attempts, store.Failure{Reason: failure.Error(), At: s.Now(), Next: next, Untried: true})
	case failure == nil:
		s.delivered.Add(1)
		err = s.Deliveries.Done(record, d.ID, d.Attempts, s.Now())
	case pause < 0 || d.Attempts >= s.Attempts:
		s.givenUp.Add(1)
		log.WarnContext(ctx, "webhook given up", "error", failure)
		err = s.Deliveries.Fail(record, d.ID, d.Attempts, store.Failure{Reason: failure.Error(), At: s.Now()})
	default:
		s.failed.Add(1)
		now := s.Now()
		next := now.Add(max(pause, s.Backoff(d.Attempts)))
		log.InfoContext(ctx, "webhook failed and will be repeated", "next", next, "error", failure)
		err = s.Deliveries.Fail(record, d.ID, d.Attempts, store.Failure{Reason: failure.Error(), At: now, Next: next})
	}
	if err != nil && !errors.Is(err, store.ErrLost) {
		log.WarnContext(ctx, "a webhook's outcome could not be kept; it is made again", "error", err)
	}
}

// guarded posts one delivery, unless the receiver's guard refuses.
func (s *Sender) guarded(ctx context.Context, d store.Delivery) (pause time.Duration, failure error) {
	if err := Check(d.URL, s.Allow); err != nil {
		return -1, err
	}
	to, err := url.Parse(d.URL)
	if err != nil {
		return -1, err
	}
	var final error // it is no fault of the receiver's
	err = s.Hosts.Guard(to.Host).Do(ctx, func(ctx context.Context) error {
		within, cancel := context.WithTimeout(ctx, s.Timeout)
		defer cancel()
		var failure error
		if pause, failure = s.post(within, d); pause < 0 {
			final, failure = failure, nil
		}
		return failure
	})
	return pause, cmp.Or(final, err)
}

// Envelope is the body of a webhook.
type Envelope struct {
	// Type says what happened, Timestamp when.
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	// ValidationID names the validation that it is about.
	ValidationID string `json:"validation_id,omitempty"`
	// Truncated: the data was too long to be sent; the service has it under /wargaming/validations/{validation_id}.
	Truncated bool `json:"truncated,omitempty"`
	// Data is what there is to tell; of "validation_finished" the validation.
	Data json.RawMessage `json:"data,omitempty"`
}

func (s *Sender) body(d store.Delivery) ([]byte, error) {
	e := Envelope{Type: d.Kind, Timestamp: d.CreatedAt.UTC(), ValidationID: d.ValidationID, Data: d.Body}
	if len(d.Body) > s.MaxBody {
		e.Data, e.Truncated = nil, true
	}
	return json.Marshal(e)
}

// post makes one request. With a failure comes for how long the receiver wants to be left alone at least, or a negative
// number where another try is of no use.
func (s *Sender) post(ctx context.Context, d store.Delivery) (pause time.Duration, failure error) {
	body, err := s.body(d)
	if err != nil {
		return -1, fmt.Errorf("write the message: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "crisol-webhook")
	s.Secret.sign(request.Header, d.ID, s.Now(), body)
	response, err := s.http.Do(request)
	if err != nil {
		var refused *refusedError
		if errors.As(err, &refused) {
			return -1, refused
		}
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the address, which may hold a token
		}
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // whatever it is: the status counts
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return 0, nil
	case code == http.StatusGone:
		return -1, errors.New("the receiver answers 410: it wants no more")
	case code >= 300 && code < 400:
		return 0, &statusError{code, fmt.Sprintf("the receiver answers %s, and redirects are not followed", response.Status)}
	default:
		return retryAfter(response.Header), &statusError{code, "the receiver answers " + response.Status}
	}
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 1<<20))*time.Second, longestWish)
}
