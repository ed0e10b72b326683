// Package cache keeps answers that cost more to compute than to find: in this process, then in Redis.
//
// In go an Item (of which kind, about what, under which digest) and a function that computes its bytes; out come the
// bytes. The first tier lies in memory and is bounded in bytes. The second is a Redis that several instances share; it
// is written after the answer, over a bounded queue that drops what it can't take. An item that many ask for at once is
// computed once. Errors are not kept.
//
// A Redis that is down, slow, full or restarted makes answers slower, never wrong and never an error: a read waits at
// most Config.Wait, then Redis is left alone for a while, and what it holds counts only under generations that
// this instance has seen (see generations.go, which also says how an invalidation reaches every instance).
//
// The package refuses to know what the bytes mean. Whoever asks must put everything that decides the answer into the
// digest (KeyOf): two questions with one key get one answer.
package cache

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"crisol"
	"crisol/internal/resilience"
)

// Kind is a sort of answers with a lifetime and statistics of its own.
type Kind uint8

// The kinds, with their lifetimes unless Config.Lifetimes says otherwise.
const (
	Predictions           Kind = iota // 24 h
	ABResults                         // 1 h
	ConfusionMatrix                   // 5 min
	VulnerabilityPatterns             // 12 h
	kinds
)

var kindNames = [kinds]string{"predictions", "ab_results", "confusion_matrix", "vulnerability_patterns"}

// String names the kind as statistics and metrics show it.
func (k Kind) String() string {
	if k >= kinds {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

// Kinds returns every kind.
func Kinds() []Kind { return []Kind{Predictions, ABResults, ConfusionMatrix, VulnerabilityPatterns} }

var lifetimes = [kinds]time.Duration{24 * time.Hour, time.Hour, 5 * time.Minute, 12 * time.Hour}

// Config is how a Cache is made. The zero value is a cache in memory with the defaults.
type Config struct {
	// Bytes bounds the tier in memory, values and what goes with them; 0 means 64 MiB.
	Bytes int64
	// MaxValue is the length in bytes from which on a value is not kept at all; 0 means 1 MiB.
	MaxValue int
	// Lifetimes replaces the lifetime of single kinds. A negative one means that the kind is not kept.
	Lifetimes map[Kind]time.Duration

	// Redis is the URL of the shared tier (redis:// or rediss://); "" means none.
	Redis string
	// Prefix begins every key in Redis; "" means "crisol". Instances with one prefix share their answers.
	Prefix string
	// Wait bounds one read of Redis; 0 means 50 ms.
	Wait time.Duration
	// Guard stands before reads of Redis; nil is one that leaves Redis alone for Pause after a read that failed or took too
	// long, doubled each time up to 32 times as long.
	Guard *resilience.Guard
	Pause time.Duration // 0 means 500 ms
	// Beat is how often Redis is asked whether something was invalidated of which no push told, and whether it is back
	// after it was away; 0 means 1 s.
	Beat time.Duration
	// Tell bounds how long an invalidation waits until Redis has taken it; 0 means 500 ms.
	Tell time.Duration
	// Unconfirmed bounds how old an answer from memory may be while Redis, and with it the news of what other instances
	// invalidated, is out of reach; 0 means 1 min. Without Redis it has no effect.
	Unconfirmed time.Duration
	// Outbox is a file that keeps the invalidations of which Redis could not be told yet, so that they survive the
	// process; "" keeps them in memory only.
	Outbox string

	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears of Redis coming and going; nil discards that.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.MaxValue = cmp.Or(c.MaxValue, 1<<20)
	c.Prefix = cmp.Or(c.Prefix, "crisol")
	c.Wait = cmp.Or(c.Wait, 50*time.Millisecond)
	c.Pause = cmp.Or(c.Pause, 500*time.Millisecond)
	c.Beat = cmp.Or(c.Beat, time.Second)
	c.Tell = cmp.Or(c.Tell, 500*time.Millisecond)
	c.Unconfirmed = cmp.Or(c.Unconfirmed, time.Minute)
	if c.Guard == nil {
		c.Guard = resilience.NewPanel(nil).Guard(resilience.Config{Name: "redis", Failures: 1, Rest: c.Pause, Longest: longestPause * c.Pause})
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Item names one answer.
type Item struct {
	Kind Kind
	// Scope is what can be invalidated at once: the APV's id. The Cache keeps no reference to it.
	Scope string
	Key   Key
}

// identity is an Item as both tiers know it. The scope has become its slot: small, and bounded in number.
type identity struct {
	key  Key
	slot uint16
	kind Kind
}

// entry is what the tier in memory holds.
type entry struct {
	value  []byte
	stamp  stamp
	stored int64         // when, in nanoseconds since 1970
	life   time.Duration // from then on
}

// entryOverhead estimates, in bytes, what an entry costs beside its value: itself, its key twice, the policy's nodes.
const entryOverhead = 256

// Cache is both tiers. All methods are safe for concurrent use.
type Cache struct {
	Config
	memory  *otter.Cache[identity, *entry]
	gens    *generations
	remote  *remote // nil without Redis
	lives   [kinds]time.Duration
	counted counters

	mu      sync.Mutex // guards what follows
	closed  bool
	flights map[identity]*flight
	flying  sync.WaitGroup
}

// New makes a Cache. It does not wait for Redis: until that answers, there is the tier in memory.
func New(c Config) (*Cache, error) {
	if c.Bytes < 0 || c.MaxValue < 0 || c.Wait < 0 || c.Pause < 0 || c.Beat < 0 || c.Tell < 0 || c.Unconfirmed < 0 {
		return nil, crisol.Errorf(crisol.KindInput, "cache: no size and no duration but a lifetime may be negative")
	}
	cache := &Cache{Config: c.withDefaults(), flights: map[identity]*flight{}, lives: lifetimes, gens: newGenerations()}
	for kind, life := range c.Lifetimes {
		if kind >= kinds {
			return nil, crisol.Errorf(crisol.KindInput, "cache: lifetime of an unknown %s", kind)
		}
		cache.lives[kind] = cmp.Or(life, lifetimes[kind])
	}
	var err error
	cache.memory, err = otter.New(&otter.Options[identity, *entry]{
		MaximumWeight: uint64(cache.Bytes),
		Weigher:       func(_ identity, e *entry) uint32 { return uint32(len(e.value) + entryOverhead) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[identity, *entry]) time.Duration {
			return e.Value.life
		}),
		Clock: clock(cache.Now),
	})
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "cache: %w", err)
	}
	if c.Redis == "" {
		return cache, nil
	}
	if cache.remote, err = newRemote(cache.Config, cache.gens, &cache.counted); err != nil {
		cache.memory.StopAllGoroutines()
		return nil, err
	}
	return cache, nil
}

// clock makes otter expire entries by the clock of the Config. Entries that nobody asks for leave when space is needed.
type clock func() time.Time

func (c clock) NowNano() int64                      { return c().UnixNano() }
func (c clock) Tick(time.Duration) <-chan time.Time { return nil }

// Close ends computations under way and the connection to Redis. What is queued for Redis and not written within a
// second is dropped. It may be called twice; afterwards Do answers from memory only, or with an error.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		f.cancel()
	}
	c.mu.Unlock()
	c.flying.Wait()
	if c.remote != nil {
		c.remote.close()
	}
	c.memory.StopAllGoroutines()
}

// Source says where an answer came from.
type Source uint8

// The sources of an answer.
const (
	Computed Source = iota
	Memory
	Redis
)

// String names the source.
func (s Source) String() string { return [...]string{"computed", "memory", "redis"}[s] }

// Peek returns what the tier in memory knows. It neither waits nor computes, and counts hits only.
// The bytes are shared: they must not be changed.
func (c *Cache) Peek(item Item) ([]byte, bool) {
	e := c.lookup(item.identity())
	if e == nil {
		return nil, false
	}
	c.counted.kinds[item.Kind].memory.Add(1)
	return e.value, true
}

// Do returns the answer from the first tier that knows it, else from compute, whose answer is then kept.
//
// However many ask at once, compute runs once in this process. It goes on while at least one of them waits: its
// context carries the values of the first caller's and ends when the last has gone. Its errors go to all that wait,
// and are not kept. When ctx is done before there is an answer, Do returns ctx's error.
//
// The bytes are shared between all that ask: they must not be changed. The Cache makes its own copy of what compute
// returns.
func (c *Cache) Do(ctx context.Context, item Item, compute func(context.Context) ([]byte, error)) ([]byte, Source, error) {
	id := item.identity()
	if e := c.lookup(id); e != nil {
		c.counted.kinds[id.kind].memory.Add(1)
		return e.value, Memory, nil
	}
	f, err := c.join(ctx, id, compute)
	if err != nil {
		return nil, Computed, err
	}
	select {
	case <-f.done:
		return f.value, f.source, f.err
	case <-ctx.Done():
		c.leave(f)
		return nil, Computed, ctx.Err()
	}
}

func (i Item) identity() identity { return identity{key: i.Key, slot: slotOf(i.Scope), kind: i.Kind} }

// lookup finds a valid entry in memory, or nil.
func (c *Cache) lookup(id identity) *entry {
	e, found := c.memory.GetIfPresent(id)
	if !found || e.stamp != c.gens.stamp(id.slot) {
		return nil
	}
	if c.remote != nil && !c.remote.current.Load() {
		age := c.Now().UnixNano() - max(e.stored, c.remote.confirmed.Load())
		if age < 0 || age >= int64(c.Unconfirmed) { // below 0, the clock was set back: it may be any age
			return nil // others may have invalidated it, and this instance would not know
		}
	}
	return e
}

// keep stores a value in memory under the stamp that was read before it was computed.
func (c *Cache) keep(id identity, s stamp, value []byte, life time.Duration) {
	c.memory.Set(id, &entry{value: value, stamp: s, stored: c.Now().UnixNano(), life: life})
}

// Invalidate makes every answer about scope invalid, here at once, and in all instances that share the Redis.
//
// shared is whether the others can know: always without Redis, and once Redis has taken it. An instance that is in
// touch with Redis then acts on it within milliseconds, one that is not at the latest after Config.Unconfirmed. If
// Redis is out of reach, shared is false; this instance trusts nothing that Redis holds about scope until it has told
// it, which it does as soon as it can. Answers about a few other scopes may become invalid too (one in 4,096).
func (c *Cache) Invalidate(ctx context.Context, scope string) (shared bool) {
	return c.invalidate(ctx, slotOf(scope))
}

// InvalidateAll is Invalidate for every scope there is.
func (c *Cache) InvalidateAll(ctx context.Context) (shared bool) { return c.invalidate(ctx, allSlots) }

func (c *Cache) invalidate(ctx context.Context, slot uint16) bool {
	c.counted.invalidations.Add(1)
	if c.remote == nil {
		c.gens.bump(slot)
		return true
	}
	return c.remote.invalidate(ctx, slot)
}

// accept decides on a value that compute returned: whether it is kept, and in which form.
func (c *Cache) accept(id identity, value []byte) (kept []byte, life time.Duration, keep bool) {
	life = c.lives[id.kind]
	if len(value) > c.MaxValue {
		c.counted.oversized.Add(1)
		return value, 0, false
	}
	return bytes.Clone(value), life, life > 0
}

// padding keeps counters that different cores write off each other's cache lines.
type padding [64]byte

type kindCounters struct {
	memory, redis, misses, joined, failures atomic.Uint64
	_                                       padding
}
