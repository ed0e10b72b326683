package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"crisol"
)

// What a RefusalError is about; errors.Is finds them.
var (
	// ErrOpen: what is guarded failed again and again, and is left alone.
	ErrOpen = errors.New("the breaker is open")
	// ErrBusy: there was no place for another call.
	ErrBusy = errors.New("too much at once")
)

// RefusalError is the error of a call that was not made. It is an infrastructure error (crisol.KindInfrastructure).
type RefusalError struct {
	cause error
	text  string
	after time.Duration
}

func refuse(cause error, after time.Duration, format string, args ...any) error {
	return crisol.Errorf(crisol.KindInfrastructure, "%w", &RefusalError{cause, fmt.Sprintf(format, args...), after})
}

// Error says what was refused and why.
func (r *RefusalError) Error() string { return r.text }

// Unwrap is ErrOpen or ErrBusy.
func (r *RefusalError) Unwrap() error { return r.cause }

// RetryAfter is after how long another try makes sense.
func (r *RefusalError) RetryAfter() time.Duration { return r.after }

// Config is what a Guard is made of. Only Name must be set.
type Config struct {
	// Name is what is guarded, as states and events show it.
	Name string
	// Failures in a row open the breaker; 0 means 5.
	Failures uint
	// Rest is how long an open breaker lets nothing through; then one call may try. 0 means 10 s.
	Rest time.Duration
	// Longest, when greater than Rest, lets the rest double with every try that fails, up to this.
	Longest time.Duration
	// Within bounds a call; 0 leaves it to the caller's context. Late, when set, hears of a call that exceeded it.
	Within time.Duration
	Late   func()
	// AtOnce bounds the calls under way, 0 doesn't; Queue is how long another one waits for a place.
	AtOnce uint
	Queue  time.Duration
	// Retries is how often a call is made anew, at once and within its bounds, where Again says that it had no effect.
	Retries int
	Again   func(error) bool
	// Faulty says of a call's error whether what is guarded is at fault; nil means that it always is. A call that its
	// caller gave up counts neither way, and one that exceeded Within is always a failure.
	Faulty func(error) bool
	// Foreign says that what is guarded belongs to somebody else: that it is down says nothing about the service.
	Foreign bool
}

// Guard stands between callers and what they lean on. It is safe for concurrent use.
type Guard struct {
	Config
	places bulkhead.Bulkhead[any] // nil without a bound
	retry  retrypolicy.RetryPolicy[any]
	core   *core
}

// core is a breaker with its books. Guards made by With share it.
type core struct {
	panel   *Panel
	breaker circuitbreaker.CircuitBreaker[any]

	mu      sync.Mutex // guards what follows, and each step of the breaker
	changes uint64     // counts the changes of state
	state   State
	tries   uint      // that failed since the breaker opened
	until   time.Time // an open breaker lets nothing through before
	used    time.Time
}

func newGuard(p *Panel, c Config) *Guard {
	c.Failures, c.Rest = cmp.Or(c.Failures, 5), cmp.Or(c.Rest, 10*time.Second)
	k := &core{panel: p, state: State{Name: c.Name, State: Closed, Since: time.Now().UTC(), Foreign: c.Foreign}, used: time.Now()}
	// One success closes, and so a half-open breaker lets a single call through; without it, it would be as many as
	// failures open it.
	k.breaker = circuitbreaker.NewBuilder[any]().WithFailureThreshold(c.Failures).WithSuccessThreshold(1).WithDelay(c.Rest).
		OnStateChanged(func(e circuitbreaker.StateChangedEvent) { k.changed(c, e) }).Build()
	return (&Guard{Config: c, core: k}).policies()
}

// With returns a Guard with bounds and retries of its own that shares the breaker.
func (g *Guard) With(change func(*Config)) *Guard {
	c := g.Config
	change(&c)
	return (&Guard{Config: c, core: g.core}).policies()
}

func (g *Guard) policies() *Guard {
	if g.AtOnce > 0 {
		g.places = bulkhead.New[any](g.AtOnce)
	}
	if g.Retries > 0 && g.Again != nil {
		g.retry = retrypolicy.NewBuilder[any]().WithMaxRetries(g.Retries).WithBackoff(10*time.Millisecond, 200*time.Millisecond).WithJitterFactor(0.5).
			HandleIf(func(_ any, err error) bool { return err != nil && g.Again(err) }).ReturnLastFailure().Build()
	}
	return g
}

// Do makes a call, unless the breaker is open or there is no place for it; then the error is a RefusalError. Any other error is
// that of the call.
func (g *Guard) Do(ctx context.Context, call func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err // nobody waits for it
	}
	if g.places != nil {
		if err := g.places.AcquirePermitWithMaxWait(ctx, g.Queue); err != nil {
			if errors.Is(err, bulkhead.ErrFull) {
				return refuse(ErrBusy, time.Second, "%s: %d calls are under way already", g.Name, g.AtOnce)
			}
			return err
		}
		defer g.places.ReleasePermit()
	}
	p, err := g.Begin()
	if err != nil {
		return err
	}
	defer p.record(failed, errPanicked) // where the call panics; else it has ended by then
	within, cancel := ctx, context.CancelFunc(func() {})
	if g.Within > 0 {
		within, cancel = context.WithTimeout(ctx, g.Within)
	}
	defer cancel()
	err = g.repeat(within, call)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		p.record(failed, err)
		if g.Late != nil {
			g.Late()
		}
		return fmt.Errorf("no answer within %s: %w", g.Within, err)
	}
	p.End(ctx, err)
	return err
}

var errPanicked = errors.New("the call panicked")

func (g *Guard) repeat(ctx context.Context, call func(context.Context) error) error {
	if g.retry == nil {
		return call(ctx)
	}
	return failsafe.With(g.retry).WithContext(ctx).Run(func() error { return call(ctx) })
}

// Permit is a call that the breaker knows of.
type Permit struct {
	guard *Guard
	at    uint64 // core.changes when it began: what comes later says nothing about another state
	probe bool
	ended bool
}

// Begin asks for a call that doesn't fit into Do; of all bounds, only the breaker's holds. End must follow.
func (g *Guard) Begin() (*Permit, error) {
	k := g.core
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.used = now
	if k.breaker.IsOpen() && now.Before(k.until) || !k.breaker.TryAcquirePermit() {
		rest := max(k.until.Sub(now), 0)
		return nil, refuse(ErrOpen, rest, "%s failed %d times in a row and is left alone for %s: %s", g.Name, g.Failures, rest.Round(time.Millisecond), k.state.LastError)
	}
	return &Permit{guard: g, at: k.changes, probe: k.breaker.IsHalfOpen()}, nil
}

// Drop gives back a permit of a call that was not made. Dropping one that has ended does nothing.
func (p *Permit) Drop() { p.record(untold, nil) }

type outcome int

const (
	worked outcome = iota
	failed
	untold
)

// End says what became of the call. Ending it twice does nothing.
func (p *Permit) End(ctx context.Context, err error) {
	switch {
	case err == nil:
		p.record(worked, nil)
	case ctx.Err() != nil:
		p.record(untold, err)
	case p.guard.Faulty == nil || p.guard.Faulty(err):
		p.record(failed, err)
	default:
		p.record(worked, nil)
	}
}

func (p *Permit) record(o outcome, err error) {
	if p.ended {
		return
	}
	p.ended = true
	k := p.guard.core
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.at != k.changes {
		return
	}
	switch {
	case o == worked:
		k.state.Failures = 0
		k.breaker.RecordSuccess()
	case o == failed:
		k.state.Failures++
		if p.probe {
			k.tries++
		}
		k.state.LastError, k.state.LastErrorAt = err.Error(), time.Now().UTC()
		k.breaker.RecordFailure()
	case p.probe: // the one call that was to tell could not: another will
		k.breaker.Open()
	}
}

// changed keeps the books; k.mu is held.
func (k *core) changed(c Config, e circuitbreaker.StateChangedEvent) {
	now := time.Now()
	from := k.state.State
	k.changes++
	k.state.State, k.state.Since = nameOf(e.NewState), now.UTC()
	switch e.NewState {
	case circuitbreaker.OpenState:
		rest := c.Rest
		for range min(k.tries, 30) {
			if rest < c.Longest {
				rest = min(2*rest, c.Longest)
			}
		}
		k.until = now.Add(rest)
		if from == Closed {
			k.state.Opened++
		}
	case circuitbreaker.ClosedState:
		k.tries, k.state.Failures = 0, 0
	}
	k.panel.tell(Change{Name: c.Name, From: from, To: k.state.State, At: now.UTC(), Error: k.state.LastError})
}

func nameOf(s circuitbreaker.State) string {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	default:
		return Closed
	}
}

// State is how the breaker is.
func (g *Guard) State() State { return g.core.snapshot() }

func (k *core) snapshot() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}
