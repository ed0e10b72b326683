package cache

import "sync/atomic"

// counters is what a Cache counts; all since it was made.
type counters struct {
	kinds         [kinds]kindCounters
	oversized     atomic.Uint64
	invalidations atomic.Uint64

	unasked, timeouts, errors, stale, damaged atomic.Uint64
	written, unwritten, dropped               atomic.Uint64
}

// KindStats is what was asked of one kind. Every lookup is counted in exactly one of the first four.
type KindStats struct {
	Memory uint64 `json:"memory_hits"`
	Redis  uint64 `json:"redis_hits"`
	Misses uint64 `json:"misses"`
	// Joined lookups waited for an answer that another one had caused to be looked up or computed.
	Joined uint64 `json:"joined"`
	// Failures are misses whose computation ended with an error.
	Failures uint64 `json:"failures"`
	// HitRatio is the share of lookups that a tier answered, 0 without any.
	HitRatio float64 `json:"hit_ratio"`
}

// RedisStats is how the shared tier is and was.
type RedisStats struct {
	// InTouch is whether the last round of questions was answered.
	InTouch bool `json:"in_touch"`
	// State is "ok", or why Redis is of no use.
	State string `json:"state"`
	// Untold counts slots of which Redis does not know yet that they were invalidated.
	Untold int `json:"untold"`
	// Reading is how many reads are under way, of MostReading at once.
	Reading     int `json:"reading"`
	MostReading int `json:"most_reading"`
	// Unasked lookups did without Redis: it was out of reach, paused, not to be trusted, or asked too much already.
	Unasked  uint64 `json:"unasked"`
	Timeouts uint64 `json:"timeouts"`
	Errors   uint64 `json:"errors"`
	// Stale and Damaged values were found and not taken.
	Stale   uint64 `json:"stale"`
	Damaged uint64 `json:"damaged"`
	Written uint64 `json:"written"`
	// Unwritten values were sent and refused; Dropped ones were not sent.
	Unwritten uint64 `json:"unwritten"`
	Dropped   uint64 `json:"dropped"`
}

// Stats is what a Cache has counted since it was made.
type Stats struct {
	Kinds         map[string]KindStats `json:"kinds"`
	HitRatio      float64              `json:"hit_ratio"`
	Entries       int                  `json:"entries"`
	Bytes         uint64               `json:"bytes"`
	MaxBytes      uint64               `json:"max_bytes"`
	Oversized     uint64               `json:"oversized"`
	Invalidations uint64               `json:"invalidations"`
	// Redis is nil where there is none.
	Redis *RedisStats `json:"redis,omitempty"`
}

// Stats returns the counts so far. They are read one after the other: while the cache is used, sums may be off by what
// happened meanwhile.
func (c *Cache) Stats() Stats {
	s := Stats{
		Kinds: map[string]KindStats{}, Entries: c.memory.EstimatedSize(), Bytes: c.memory.WeightedSize(), MaxBytes: c.memory.GetMaximum(),
		Oversized: c.counted.oversized.Load(), Invalidations: c.counted.invalidations.Load(),
	}
	var all KindStats
	for _, kind := range Kinds() {
		n := &c.counted.kinds[kind]
		k := KindStats{Memory: n.memory.Load(), Redis: n.redis.Load(), Misses: n.misses.Load(), Joined: n.joined.Load(), Failures: n.failures.Load()}
		k.HitRatio = k.ratio()
		s.Kinds[kind.String()] = k
		all.Memory, all.Redis, all.Misses, all.Joined = all.Memory+k.Memory, all.Redis+k.Redis, all.Misses+k.Misses, all.Joined+k.Joined
	}
	s.HitRatio = all.ratio()
	if c.remote != nil {
		s.Redis = c.remote.stats()
	}
	return s
}

func (k KindStats) ratio() float64 {
	lookups := k.Memory + k.Redis + k.Misses + k.Joined
	if lookups == 0 {
		return 0
	}
	return float64(k.Memory+k.Redis) / float64(lookups)
}

func (r *remote) stats() *RedisStats {
	n := r.counted
	s := &RedisStats{
		InTouch: r.current.Load(), Reading: len(r.reading), MostReading: cap(r.reading), Unasked: n.unasked.Load(), Timeouts: n.timeouts.Load(), Errors: n.errors.Load(), Stale: n.stale.Load(),
		Damaged: n.damaged.Load(), Written: n.written.Load(), Unwritten: n.unwritten.Load(), Dropped: n.dropped.Load(),
	}
	for slot := range r.untold {
		if r.untold[slot].Load() > 0 {
			s.Untold++
		}
	}
	r.mu.Lock()
	s.State = r.state
	r.mu.Unlock()
	if s.State == "" {
		s.State = "connecting"
	}
	return s
}
