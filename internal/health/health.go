// Package health says how the parts are that a service stands on.
//
// In go probes by name; out comes a report: of each part whether it works, how long it took to say so, since when that is
// so and what went wrong last, beside it breakers, pools and load, and of the whole whether it is healthy, degraded (answers, with less) or unhealthy (can't do
// what it is for). Probes run at once and are bounded; what they say is believed for a second, so that asking can't
// overload what is asked about.
package health

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Status is how a part, or the whole, is.
type Status string

// The statuses.
const (
	Healthy   Status = "healthy"
	Degraded  Status = "degraded"
	Unhealthy Status = "unhealthy"
)

// Probe looks at one part.
type Probe struct {
	Name string
	// Vital parts are those without which the service can't do what it is for.
	Vital bool
	Check func(ctx context.Context) error
}

// Part is what is known of one part.
type Part struct {
	Name    string  `json:"name"`
	Status  Status  `json:"status" enum:"healthy,degraded,unhealthy"`
	Vital   bool    `json:"vital" doc:"Without it the service can't do what it is for"`
	Latency float64 `json:"latency_ms" doc:"How long the part took to answer"`
	// Since is when the status began, as far as it was looked at.
	Since time.Time `json:"since"`
	// LastError is the last thing that went wrong, also when all is well again.
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
}

// Breaker is what stands between the service and something that it leans on.
type Breaker struct {
	Name        string     `json:"name" doc:"What it leaves alone when it is open"`
	State       string     `json:"state" enum:"closed,open,half-open"`
	Since       time.Time  `json:"since"`
	Failures    uint       `json:"failures" doc:"In a row, until now"`
	Opened      uint64     `json:"opened" doc:"How often it opened since the service started"`
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt *time.Time `json:"last_error_at,omitempty"`
	// Foreign ones are before what isn't the service's: they don't make it degraded.
	Foreign bool `json:"foreign"`
}

// Pool is a pool of connections.
type Pool struct {
	Name    string  `json:"name"`
	Max     int     `json:"max"`
	Open    int     `json:"open"`
	Used    int     `json:"used"`
	Waits   uint64  `json:"waits" doc:"How often there was no free connection"`
	Waited  float64 `json:"waited_seconds" doc:"The sum of all waits"`
	GivenUp uint64  `json:"given_up" doc:"How many left without a connection"`
}

// Load is how busy the service is with what it answers at once.
type Load struct {
	Serving int     `json:"serving"`
	Waiting int     `json:"waiting"`
	Served  uint64  `json:"served"`
	Shed    uint64  `json:"shed" doc:"How many were told to come again, since their turn would have come too late"`
	Waited  float64 `json:"waited_seconds" doc:"The sum of the waits of those who were served"`
}

// Report is what is known of all.
type Report struct {
	Status Status    `json:"status" enum:"healthy,degraded,unhealthy"`
	At     time.Time `json:"at" doc:"When the parts were looked at; they are looked at once a second at most"`
	Parts  []Part    `json:"parts" nullable:"false"`

	Breakers []Breaker `json:"breakers" nullable:"false"`
	Pools    []Pool    `json:"pools" nullable:"false"`
	Load     Load      `json:"load"`
}

// Bounds of looking.
const (
	believed = time.Second
	patience = 2 * time.Second
)

// Board remembers what probes said. Use New.
type Board struct {
	probes []Probe
	now    func() time.Time

	breakers func() []Breaker
	pools    func() []Pool
	load     func() Load

	mu     sync.Mutex // guards what follows; held while probes run, so that they run once
	report Report
}

// New makes a board; a nil clock is time.Now.
func New(now func() time.Time, probes ...Probe) *Board {
	if now == nil {
		now = time.Now
	}
	return &Board{probes: probes, now: now}
}

// With shows breakers, pools and load too, and returns the board. It must be called before the first Report.
func (b *Board) With(breakers func() []Breaker, pools func() []Pool, load func() Load) *Board {
	b.breakers, b.pools, b.load = breakers, pools, load
	return b
}

// rest adds what isn't probed.
func (b *Board) rest(r *Report) {
	r.Breakers, r.Pools = []Breaker{}, []Pool{}
	if b.breakers == nil {
		return
	}
	r.Breakers = append(r.Breakers, b.breakers()...)
	r.Pools, r.Load = append(r.Pools, b.pools()...), b.load()
	for _, breaker := range r.Breakers {
		if breaker.State != "closed" && !breaker.Foreign && r.Status == Healthy {
			r.Status = Degraded
		}
	}
}

// Report looks at the parts, unless that was done just now.
func (b *Board) Report(ctx context.Context) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !b.report.At.IsZero() && now.Sub(b.report.At) < believed {
		return b.report
	}
	before := b.report.Parts
	next := Report{Status: Healthy, At: now.UTC(), Parts: make([]Part, len(b.probes))}
	// Whoever asks may go; what is looked at then serves the next one.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var group sync.WaitGroup
	for i, p := range b.probes {
		group.Go(func() {
			var was Part
			if before != nil {
				was = before[i]
			}
			next.Parts[i] = look(within, p, was, now)
		})
	}
	group.Wait()
	for _, part := range next.Parts {
		switch {
		case part.Status == Unhealthy:
			next.Status = Unhealthy
		case part.Status == Degraded && next.Status == Healthy:
			next.Status = Degraded
		}
	}
	b.rest(&next)
	b.report = next
	return next
}

// look asks one probe, and doesn't wait for one that doesn't heed its deadline.
func look(ctx context.Context, p Probe, was Part, now time.Time) Part {
	begun := time.Now()
	said := make(chan error, 1)
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				said <- fmt.Errorf("the probe panicked: %v", fault)
			}
		}()
		said <- p.Check(ctx)
	}()
	var err error
	select {
	case err = <-said:
	case <-ctx.Done():
		err = fmt.Errorf("it doesn't answer within %s", patience)
	}
	part := Part{
		Name: p.Name, Vital: p.Vital, Status: Healthy, Latency: float64(time.Since(begun).Microseconds()) / 1000,
		Since: was.Since, LastError: was.LastError, LastErrorAt: was.LastErrorAt,
	}
	if err != nil {
		at := now.UTC()
		part.Status, part.LastError, part.LastErrorAt = Degraded, err.Error(), &at
		if p.Vital {
			part.Status = Unhealthy
		}
	}
	if part.Status != was.Status {
		part.Since = now.UTC()
	}
	return part
}
