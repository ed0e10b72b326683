package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Plan says what is done.
type Plan struct {
	Crisol            string // the binary
	Time, Every, Warm time.Duration
	Seed              uint64
	Log               func(format string, args ...any)
}

// watched is the least time over which memory says something: Go's heap takes minutes to find its size.
const watched = 4 * time.Minute

// spared is the last part of the time, in which faults leave the processes of crisol alone, so that their memory can be
// watched; 0 where it would be too short to say something.
func (p Plan) spared() time.Duration {
	if third := p.Time / 3; third >= watched {
		return third
	}
	return 0
}

// idle is how long processes are left alone before their goroutines are counted.
const idle = 5 * time.Second

// Soak does as planned.
func Soak(ctx context.Context, p Plan) (r Report, err error) {
	dir, err := os.MkdirTemp("", "crisol-soak-")
	if err != nil {
		return Report{}, err
	}
	defer func() {
		if err == nil && len(r.Broken()) == 0 {
			_ = os.RemoveAll(dir)
			return
		}
		p.Log("the logs of the processes are in %s", dir)
	}()
	c, err := open(ctx, p.Crisol, dir)
	if err != nil {
		return Report{}, err
	}
	defer c.close()
	r = Report{Faults: map[string]int{}, Slowest: map[string]time.Duration{}, Goroutines: map[string]Growth{}, Memory: map[string]Growth{}}
	l := newLoad(c)
	begun := time.Now()
	p.Log("warming up for %s", p.Warm)
	warm, cancel := context.WithTimeout(ctx, p.Warm)
	l.run(warm, p.Seed)
	cancel()
	if err := c.count(ctx, r.Goroutines, true); err != nil {
		return r, err
	}
	if err := p.strain(ctx, c, l, &r); err != nil {
		return r, err
	}
	p.Log("waiting for what was accepted")
	l.settle(ctx, 5*time.Minute)
	if err := c.count(ctx, r.Goroutines, false); err != nil {
		return r, err
	}
	r.Seen, r.Took = l.seen, time.Since(begun)
	for _, h := range []*host{c.service, c.worker} {
		r.Panics += strings.Count(text(h.log), "panicked") + strings.Count(text(h.log), "\npanic:") + strings.Count(text(h.log), "DATA RACE")
	}
	return r, ctx.Err()
}

// count counts the goroutines of both processes, which ends them; at first they are started again.
func (c *cluster) count(ctx context.Context, into map[string]Growth, first bool) error {
	sleep(ctx, idle)
	for _, h := range []*host{c.service, c.worker} {
		n, err := h.goroutines()
		if err != nil {
			return err
		}
		g := into[h.name]
		if g.Late = float64(n); first {
			g.Early = float64(n)
		}
		into[h.name] = g
	}
	if !first {
		return nil
	}
	return errors.Join(c.service.start(), c.awake(ctx), c.worker.start())
}

// strain asks while faults come.
func (p Plan) strain(ctx context.Context, c *cluster, l *load, r *Report) error {
	end := time.Now().Add(p.Time)
	within, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { l.run(within, p.Seed+1) })
	spared := end.Add(-p.spared())
	samples := map[string][]float64{}
	work.Go(func() {
		sleep(within, time.Until(spared))
		for within.Err() == nil {
			for _, h := range []*host{c.service, c.worker} {
				samples[h.name] = append(samples[h.name], float64(h.rss())/(1<<20))
			}
			sleep(within, 2*time.Second)
		}
	})
	err := p.harm(within, c, r, spared)
	if err != nil {
		cancel()
	}
	work.Wait()
	for name, all := range samples {
		if p.spared() > 0 && len(all) >= 8 {
			quarter := len(all) / 4
			r.Memory[name] = Growth{median(all[quarter : 2*quarter]), median(all[3*quarter:])}
		}
	}
	return err
}

// harm lets one fault come after the other.
func (p Plan) harm(ctx context.Context, c *cluster, r *Report, spared time.Time) error {
	for i := 0; ctx.Err() == nil; {
		at := time.Now().Add(p.Every)
		f := faults[i%len(faults)]
		if i++; !f.spares && p.spared() > 0 && time.Now().After(spared.Add(-p.Every)) {
			continue
		}
		// A fault that has begun is brought to its end, so that nothing is left dead.
		if err := f.do(context.WithoutCancel(ctx), c); err != nil {
			return err
		}
		took := p.Every - time.Until(at)
		r.Faults[f.name]++
		r.Slowest[f.name] = max(took, r.Slowest[f.name])
		p.Log("%s: over after %s", f.name, took.Round(time.Millisecond))
		sleep(ctx, time.Until(at))
	}
	return nil
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
