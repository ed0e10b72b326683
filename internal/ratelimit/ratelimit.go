// Package ratelimit bounds how often each client may ask for something.
//
// In go a key (who asks for what) and a limit; out comes whether this request is within it, and what to tell the client.
// The rule is GCRA, the generic cell rate algorithm (ITU-T I.371): one instant is kept for each key, the theoretical time
// of arrival of the next request. A client may send a whole minute's worth at once, and then one each period/limit.
//
// Local keeps the instants in this process, in a bounded number: the keys that were used least recently are forgotten,
// which can only let a request through. Shared keeps them in Redis, for all instances together; where Redis can't be told,
// a Local in front of which it stands decides. The package knows nothing of HTTP, tokens or addresses.
package ratelimit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// Limit is how many requests a key may make in a period. Requests of 0 or less mean no limit.
type Limit struct {
	Requests int
	Period   time.Duration
}

// A minute is what limits are usually said of.
const minute = time.Minute

// PerMinute is a limit of n requests a minute.
func PerMinute(n int) Limit { return Limit{n, minute} }

// Decision is the answer for one request.
type Decision struct {
	Allowed bool
	Limit   Limit
	// Remaining is how many more requests would be allowed at once.
	Remaining int
	// Retry is when a refused request would be allowed; 0 where it was.
	Retry time.Duration
	// Reset is when the key will have all of its limit again.
	Reset time.Duration
}

// Limiter decides about requests.
type Limiter interface {
	// Take spends one request of a key, unless its limit is reached.
	Take(ctx context.Context, key string, l Limit) Decision
}

// decide applies GCRA: arrival is the kept instant of the key, in nanoseconds like now. It returns the instant to keep.
func decide(l Limit, now, arrival int64) (Decision, int64) {
	each, burst := int64(l.Period)/int64(l.Requests), int64(l.Period)
	arrival = min(arrival, now+burst) // further ahead it can only be of before the clock was set back
	next := max(arrival, now) + each
	d := Decision{Limit: l}
	if wait := next - burst - now; wait > 0 {
		d.Retry, d.Reset = time.Duration(wait), time.Duration(max(arrival-now, 0))
		return d, arrival
	}
	d.Allowed, d.Remaining, d.Reset = true, int((burst-(next-now))/each), time.Duration(next-now)
	return d, next
}

// free is the decision where there is no limit.
func free(l Limit) Decision { return Decision{Allowed: true, Limit: l} }

// DefaultKeys is how many keys a Local keeps unless told otherwise: about 10 MB.
const DefaultKeys = 1 << 16

// shards is how many parts a Local has, each with a lock of its own.
const shards = 32

// Local keeps its keys in this process. Use NewLocal.
type Local struct {
	now   func() time.Time
	seed  maphash.Seed
	parts [shards]part
}

// part is some of the keys, in two generations: when the young one is full, the old one is forgotten and the young one
// becomes old. What is used is young again, so that what is forgotten was not used since the generation began.
type part struct {
	mu         sync.Mutex
	young, old map[string]int64
	most       int // of each generation
}

// NewLocal makes a Local that keeps at most so many keys; 0 is DefaultKeys. A nil clock is time.Now.
func NewLocal(keys int, now func() time.Time) *Local {
	if keys <= 0 {
		keys = DefaultKeys
	}
	if now == nil {
		now = time.Now
	}
	l := &Local{now: now, seed: maphash.MakeSeed()}
	for i := range l.parts {
		l.parts[i].most = max(1, keys/(2*shards))
		l.parts[i].young = map[string]int64{}
	}
	return l
}

// Take implements Limiter.
func (l *Local) Take(_ context.Context, key string, limit Limit) Decision {
	if limit.Requests <= 0 {
		return free(limit)
	}
	p := &l.parts[maphash.String(l.seed, key)%shards]
	p.mu.Lock()
	defer p.mu.Unlock()
	arrival, young := p.young[key]
	if !young {
		arrival = p.old[key]
	}
	d, next := decide(limit, l.now().UnixNano(), arrival)
	if !young && len(p.young) >= p.most {
		p.old, p.young = p.young, make(map[string]int64, p.most)
	}
	p.young[key] = next
	return d
}

// Keys is how many are kept.
func (l *Local) Keys() (n int) {
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		n += len(p.young) + len(p.old)
		p.mu.Unlock()
	}
	return n
}
