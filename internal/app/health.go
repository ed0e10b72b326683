package app

import (
	"context"
	"errors"
	"fmt"

	"crisol/internal/health"
	"crisol/internal/sandbox"
	"crisol/internal/spool"
)

// board looks at the parts of the service.
func (s *Service) board() *health.Board {
	a := s.app
	probes := []health.Probe{
		{Name: "database", Vital: true, Check: s.Store.Ping},
		{Name: "model", Check: func(context.Context) error { _, err := s.oracle.champion(); return err }},
		{Name: "journal", Check: func(context.Context) error {
			if n, bytes := s.spool.Waiting(); bytes > spool.DefaultMaxBytes/2 {
				return fmt.Errorf("%d answers wait for the database, in %d bytes", n, bytes)
			}
			return nil
		}},
	}
	if !a.NoTrials {
		probes = append(probes, health.Probe{Name: "sandbox", Vital: true, Check: func(ctx context.Context) error {
			result, err := a.Sandbox.Run(ctx, sandbox.Command{Args: []string{"true"}})
			if err == nil && result.Exit != 0 {
				err = fmt.Errorf("true ended with exit %d", result.Exit)
			}
			return err
		}})
	}
	if a.Redis != "" {
		probes = append(probes, health.Probe{Name: "redis", Check: func(context.Context) error {
			if r := s.cache.Stats().Redis; r != nil && !r.InTouch {
				return errors.New(r.State)
			}
			return nil
		}})
	}
	return health.New(nil, probes...).With(s.breakers, s.pools, s.load)
}

// breakers is how the breakers are, as health tells it.
func (s *Service) breakers() []health.Breaker {
	var list []health.Breaker
	for _, b := range s.app.guards.panel.States() {
		h := health.Breaker{Name: b.Name, State: b.State, Since: b.Since, Failures: b.Failures, Opened: b.Opened, LastError: b.LastError, Foreign: b.Foreign}
		if !b.LastErrorAt.IsZero() {
			h.LastErrorAt = &b.LastErrorAt
		}
		list = append(list, h)
	}
	return list
}

// pools is how the connections are.
func (s *Service) pools() []health.Pool {
	var list []health.Pool
	for _, p := range s.Store.Pools() {
		list = append(list, health.Pool{Name: p.Name, Max: p.Max, Open: p.Open, Used: p.Used, Waits: uint64(p.Waits), Waited: p.Waited.Seconds(), GivenUp: uint64(p.GivenUp)})
	}
	if r := s.cache.Stats().Redis; r != nil { // one connection, over which so many reads go at once; nobody waits for a place
		list = append(list, health.Pool{Name: "redis", Max: r.MostReading, Open: r.MostReading, Used: r.Reading, GivenUp: r.Unasked})
	}
	return list
}

// load is how busy the service is with what it answers at once.
func (s *Service) load() health.Load {
	l := s.app.guards.line.Stats()
	return health.Load{Serving: l.Serving, Waiting: l.Waiting, Served: l.Served, Shed: l.Shed, Waited: l.Waited.Seconds()}
}
