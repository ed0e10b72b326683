package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crisol"
	"crisol/internal/resilience"
)

var (
	errDown  = errors.New("it is down")
	errInput = crisol.Errorf(crisol.KindInput, "the caller's fault")
)

// calls makes calls that end as told, and says how many were made.
type calls struct {
	*testing.T
	guard *resilience.Guard
	made  int
}

func (c *calls) make(err error) error {
	return c.guard.Do(c.Context(), func(context.Context) error { c.made++; return err })
}

func (c *calls) want(state string, made int) {
	c.Helper()
	if s := c.guard.State(); s.State != state || c.made != made {
		c.Fatalf("%d calls, %+v; want %d and %s", c.made, s, made, state)
	}
}

func newCalls(t *testing.T, c resilience.Config) (*calls, *[]string) {
	var changes []string
	c.Name = "thing"
	panel := resilience.NewPanel(func(c resilience.Change) { changes = append(changes, c.From+" "+c.To) })
	return &calls{T: t, guard: panel.Guard(c)}, &changes
}

// TestBreaker: failures in a row open it, and after its rest one call may try.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, changes := newCalls(t, resilience.Config{Failures: 3, Rest: 5 * time.Second, Faulty: func(err error) bool { return errors.Is(err, errDown) }})
		for _, err := range []error{errDown, errDown, nil, errDown, errDown, errInput, errDown, errDown} {
			_ = c.make(err)
		}
		c.want(resilience.Closed, 8) // never three in a row: a caller's fault shows that it works
		_ = c.make(errDown)
		c.want(resilience.Open, 9)
		time.Sleep(3 * time.Second)
		err := c.make(nil)
		var refusal *resilience.RefusalError
		if !errors.Is(err, resilience.ErrOpen) || crisol.KindOf(err) != crisol.KindInfrastructure || !errors.As(err, &refusal) || refusal.RetryAfter() != 2*time.Second {
			t.Errorf("%v", err)
		}
		if !strings.Contains(err.Error(), "thing failed 3 times in a row and is left alone for 2s: it is down") {
			t.Error(err)
		}
		c.want(resilience.Open, 9)
		time.Sleep(2 * time.Second)
		_ = c.make(errDown)
		c.want(resilience.Open, 10)
		time.Sleep(4 * time.Second)
		_ = c.make(nil)
		c.want(resilience.Open, 10)
		time.Sleep(time.Second)
		_ = c.make(errInput)
		c.want(resilience.Closed, 11)
		if s := c.guard.State(); s.Opened != 1 || s.LastError != "it is down" || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
		want := []string{"closed open", "open half-open", "half-open open", "open half-open", "half-open closed"}
		if !slices.Equal(*changes, want) {
			t.Errorf("%q", *changes)
		}
	})
}

// TestOneProbe: while the call that is to see is under way no other goes through, and what began before says nothing.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCalls(t, resilience.Config{Failures: 1, Rest: time.Second})
		early, err := c.guard.Begin()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.make(errDown)
		time.Sleep(time.Second)
		probe, err := c.guard.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.guard.Begin(); !errors.Is(err, resilience.ErrOpen) {
			t.Errorf("a second probe: %v", err)
		}
		early.End(t.Context(), nil)
		c.want(resilience.HalfOpen, 1)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		probe.End(gone, context.Canceled) // nobody waited for it: another is to see, later
		c.want(resilience.Open, 1)
		time.Sleep(time.Second)
		if probe, err = c.guard.Begin(); err != nil {
			t.Fatal(err)
		}
		probe.End(t.Context(), nil)
		probe.End(t.Context(), errDown) // twice
		c.want(resilience.Closed, 1)
	})
}

// TestWhatCounts: a call that takes too long is a failure, one that its caller gives up is nothing, and a panic is one.
func TestWhatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 0
		c, _ := newCalls(t, resilience.Config{Failures: 1, Within: time.Second, Late: func() { late++ }, Faulty: func(error) bool { return false }})
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.guard.Do(gone, hang); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		c.want(resilience.Closed, 0)
		if err := c.guard.Do(t.Context(), hang); err == nil || !strings.HasPrefix(err.Error(), "no answer within 1s: ") {
			t.Error(err)
		}
		c.want(resilience.Open, 0)
		if late != 1 {
			t.Errorf("%d were late", late)
		}
		time.Sleep(10 * time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = c.guard.Do(t.Context(), func(context.Context) error { panic("x") })
		}()
		c.want(resilience.Open, 0)
	})
}

func TestRestGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCalls(t, resilience.Config{Failures: 1, Rest: time.Second, Longest: 5 * time.Second})
		for made, rest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			_ = c.make(errDown)
			c.want(resilience.Open, made+1)
			time.Sleep(rest - time.Millisecond)
			_ = c.make(errDown)
			c.want(resilience.Open, made+1)
			time.Sleep(time.Millisecond)
		}
		_ = c.make(nil)
		_ = c.make(errDown)
		time.Sleep(time.Second) // it begins anew
		_ = c.make(nil)
		c.want(resilience.Closed, 8)
	})
}

// TestPlaces: calls at once are bounded, and a guard made by With has bounds of its own and the same breaker.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCalls(t, resilience.Config{Failures: 1, AtOnce: 1, Queue: time.Second})
		release := make(chan struct{})
		go func() { _ = c.guard.Do(t.Context(), func(context.Context) error { <-release; return nil }) }()
		synctest.Wait()
		if err := c.make(nil); !errors.Is(err, resilience.ErrBusy) || crisol.KindOf(err) != crisol.KindInfrastructure {
			t.Error(err)
		}
		other := c.guard.With(func(c *resilience.Config) { c.AtOnce = 2 })
		if err := other.Do(t.Context(), func(context.Context) error { return errDown }); !errors.Is(err, errDown) {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		c.want(resilience.Open, 0)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.guard.Do(gone, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCalls(t, resilience.Config{Failures: 1, Retries: 2, Again: func(err error) bool { return errors.Is(err, errDown) }})
		left := 2
		try := func(context.Context) error {
			if c.made++; left > 0 {
				left--
				return errDown
			}
			return nil
		}
		if err := c.guard.Do(t.Context(), try); err != nil {
			t.Error(err)
		}
		c.want(resilience.Closed, 3)
		left = 9
		if err := c.guard.Do(t.Context(), try); !errors.Is(err, errDown) {
			t.Error(err)
		}
		c.want(resilience.Open, 6)
	})
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panel := resilience.NewPanel(nil)
		panel.Guard(resilience.Config{Name: "database"})
		hosts := panel.Group(resilience.Config{Name: "webhook", Failures: 1, Foreign: true}, 60)
		for i := range 61 {
			time.Sleep(time.Millisecond)
			_ = hosts.Guard(fmt.Sprintf("h%02d", i)).Do(t.Context(), func(context.Context) error { return errDown })
		}
		_ = hosts.Guard("h61").Do(t.Context(), func(context.Context) error { return nil })
		if first := hosts.Guard("h60"); hosts.Guard("h60") != first {
			t.Error("a second guard of one name")
		}
		states := panel.States()
		if len(states) != 51 || states[0].Name != "database" || states[1].Name != "webhook/h11" || states[50].Name != "webhook/h60" {
			t.Errorf("%+v", states)
		}
		if hosts.Guard("h00").State().State != resilience.Closed {
			t.Error("the oldest was kept")
		}
	})
}

// crowd enters a line and stays for as long as each takes.
type crowd struct {
	line   *resilience.Line
	all    sync.WaitGroup
	mu     sync.Mutex // guards what follows
	waited []time.Duration
	shed   int
}

func (c *crowd) come(ctx context.Context, takes time.Duration) {
	begun := time.Now()
	leave, err := c.line.Enter(ctx)
	c.mu.Lock()
	if err != nil {
		c.shed++
	} else {
		c.waited = append(c.waited, time.Since(begun))
	}
	c.mu.Unlock()
	if err == nil {
		time.Sleep(takes)
		leave()
	}
}

// TestBurst: what comes at once and is served within Patience is served.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{line: resilience.NewLine(resilience.LineConfig{Places: 2})}
		for range 80 {
			c.all.Go(func() { c.come(t.Context(), 10*time.Millisecond) })
		}
		c.all.Wait()
		if c.shed != 0 || slices.Max(c.waited) > 400*time.Millisecond {
			t.Errorf("%d shed, waited up to %s", c.shed, slices.Max(c.waited))
		}
	})
}

// TestOverload: where more comes than can be served, what is served is all that could be and hasn't waited for long.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{line: resilience.NewLine(resilience.LineConfig{Places: 2, Patience: 500 * time.Millisecond, Target: 50 * time.Millisecond})}
		const seconds = 20
		for range seconds * 400 { // twice of what two places serve of 10 ms each
			c.all.Go(func() { c.come(t.Context(), 10*time.Millisecond) })
			time.Sleep(2500 * time.Microsecond)
		}
		c.all.Wait()
		slices.Sort(c.waited)
		n, served := len(c.waited), c.line.Stats()
		if n < seconds*200*95/100 || c.waited[n-1] > 500*time.Millisecond || c.waited[n*9/10] > 60*time.Millisecond {
			t.Errorf("%d served, %d shed, waited %s at the median, %s at 90 %%, %s at most", n, c.shed, c.waited[n/2], c.waited[n*9/10], c.waited[n-1])
		}
		if served.Served != uint64(n) || served.Shed != uint64(c.shed) || served.Serving != 0 || served.Waiting != 0 {
			t.Errorf("%+v of %d and %d", served, n, c.shed)
		}
	})
}

func TestLineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := resilience.NewLine(resilience.LineConfig{Places: 1, Most: 1})
		leave, err := line.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { _, err := line.Enter(gone); left <- err }()
		synctest.Wait()
		if _, err := line.Enter(t.Context()); !errors.Is(err, resilience.ErrBusy) {
			t.Errorf("the line is longer than it may be: %v", err)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		leave()
		if leave, err = line.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		leave()
		if s := line.Stats(); s.Shed != 1 || s.Served != 2 || s.Serving != 0 {
			t.Errorf("%+v", s)
		}
	})
}
