package cache

import (
	"context"
	"fmt"
	"runtime/debug"

	"crisol"
)

// flight is one computation that any number of callers wait for.
type flight struct {
	id      identity
	stamp   stamp  // read before it began
	table   *table // under which Redis may be believed; nil: it may not
	cancel  context.CancelFunc
	waiting int // guarded by Cache.mu

	done   chan struct{} // closed once what follows is set
	value  []byte
	source Source
	err    error
}

// join adds a caller to the flight of an identity, which it begins if there is none.
func (c *Cache) join(ctx context.Context, id identity, compute func(context.Context) ([]byte, error)) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "cache: it is closed")
	}
	now := c.gens.stamp(id.slot) // before trusted
	// An answer that was begun before an invalidation is none for those who ask after it.
	if f := c.flights[id]; f != nil && f.stamp == now {
		f.waiting++
		c.counted.kinds[id.kind].joined.Add(1)
		return f, nil
	}
	flying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{id: id, stamp: now, cancel: cancel, waiting: 1, done: make(chan struct{})}
	if c.remote != nil {
		f.table = c.remote.trusted(id.slot)
	}
	c.flights[id] = f
	c.flying.Go(func() {
		defer cancel()
		f.value, f.source, f.err = c.fly(flying, f, compute)
		c.land(f)
	})
	return f, nil
}

// leave takes a caller off a flight, and ends the flight if it was the last.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		c.forget(f)
	}
}

func (c *Cache) land(f *flight) {
	c.mu.Lock()
	c.forget(f)
	c.mu.Unlock()
	close(f.done)
}

// forget lets no more callers join. A younger flight of the same identity stays.
func (c *Cache) forget(f *flight) {
	if c.flights[f.id] == f {
		delete(c.flights, f.id)
	}
}

// fly finds or computes the value of a flight. Between the caller's look at the memory and the start of the flight
// another may have landed, so memory is asked again.
func (c *Cache) fly(ctx context.Context, f *flight, compute func(context.Context) ([]byte, error)) ([]byte, Source, error) {
	counted := &c.counted.kinds[f.id.kind]
	if e := c.lookup(f.id); e != nil {
		counted.memory.Add(1)
		return e.value, Memory, nil
	}
	if c.remote != nil && c.lives[f.id.kind] > 0 {
		if value, life, found := c.remote.get(ctx, f.id, f.table); found {
			counted.redis.Add(1)
			c.keep(f.id, f.stamp, value, min(life, c.lives[f.id.kind]))
			return value, Redis, nil
		}
	}
	counted.misses.Add(1)
	value, err := guarded(ctx, f.id.kind, compute)
	if err != nil {
		counted.failures.Add(1)
		return nil, Computed, err
	}
	value, life, keep := c.accept(f.id, value)
	if keep {
		c.keep(f.id, f.stamp, value, life)
		if c.remote != nil {
			c.remote.put(f.id, f.table, value, c.Now().Add(life))
		}
	}
	return value, Computed, nil
}

// guarded turns a panic of compute into an error: it runs on a goroutine where nobody else would catch it.
func guarded(ctx context.Context, kind Kind, compute func(context.Context) ([]byte, error)) (value []byte, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = crisol.Errorf(crisol.KindInternal, "compute %s: panic: %s\n%s", kind, fmt.Sprint(fault), debug.Stack())
		}
	}()
	return compute(ctx)
}
