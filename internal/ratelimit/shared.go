package ratelimit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"crisol/internal/resilience"
)

// Shared keeps its keys in a Redis that instances share. Use NewShared.
type Shared struct {
	SharedOptions
	client  atomic.Pointer[rueidis.Client] // nil until Redis answered for the first time
	dialing atomic.Bool
	missed  atomic.Int64

	mu     sync.Mutex // guards what follows
	closed bool
}

// SharedOptions configure a Shared. Connect and Local must be set.
type SharedOptions struct {
	// Connect makes a client. It is tried again, off the path of requests, until it succeeds; from then on the client
	// connects anew by itself.
	Connect func() (rueidis.Client, error)
	// Local decides where Redis can't be told.
	Local  *Local
	Prefix string        // begins every key; "" is "crisol"
	Wait   time.Duration // for one decision of Redis; 0 is 50 ms
	// Guard stands before Redis; nil is one that leaves it alone for Rest (0 is 1 s) after a decision that failed.
	Guard  *resilience.Guard
	Rest   time.Duration
	Logger *slog.Logger // nil discards
}

// NewShared makes a Shared, which Close ends.
func NewShared(o SharedOptions) *Shared {
	o.Prefix, o.Wait = cmp.Or(o.Prefix, "crisol"), cmp.Or(o.Wait, 50*time.Millisecond)
	if o.Guard == nil {
		o.Guard = resilience.NewPanel(nil).Guard(resilience.Config{Name: "redis", Failures: 1, Rest: cmp.Or(o.Rest, time.Second)})
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shared{SharedOptions: o}
	if err := s.dial(); err != nil {
		s.Logger.Warn("rate limits are this instance's own until Redis can be reached", "error", err)
	}
	return s
}

func (s *Shared) dial() error {
	client, err := s.Connect()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		client.Close()
		return nil
	}
	s.client.Store(&client)
	return nil
}

// dialSoon makes the client, unless that is under way.
func (s *Shared) dialSoon(p *resilience.Permit) {
	if !s.dialing.CompareAndSwap(false, true) {
		p.Drop()
		return
	}
	go func() {
		defer s.dialing.Store(false)
		p.End(context.Background(), s.dial())
	}()
}

// Close ends the connections.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client := s.client.Load(); client != nil && !s.closed {
		(*client).Close()
	}
	s.closed = true
}

// gcra is decide as a script, by Redis' own clock and in microseconds, since Lua's numbers hold 53 bits. It returns the
// key's instant before it, and the time.
var gcra = rueidis.NewLuaScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.min(tonumber(redis.call('GET', KEYS[1]) or 0), now + burst)
local next = math.max(arrival, now) + each
if next - burst <= now then
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
end
return {string.format('%.0f', arrival), string.format('%.0f', now)}
`)

// Take implements Limiter.
func (s *Shared) Take(ctx context.Context, key string, l Limit) Decision {
	if l.Requests <= 0 {
		return free(l)
	}
	permit, err := s.Guard.Begin()
	if err != nil {
		return s.alone(ctx, key, l)
	}
	client := s.client.Load()
	if client == nil {
		s.dialSoon(permit)
		return s.alone(ctx, key, l)
	}
	within, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	each := l.Period.Microseconds() / int64(l.Requests)
	seen, err := gcra.Exec(within, *client, []string{s.Prefix + ":limit:" + key}, []string{
		strconv.FormatInt(each, 10), strconv.FormatInt(l.Period.Microseconds(), 10),
	}).AsIntSlice()
	if err == nil && len(seen) != 2 {
		err = fmt.Errorf("the script answers %v", seen)
	}
	permit.End(ctx, err)
	if err != nil {
		if ctx.Err() == nil { // else it was the caller who left
			s.Logger.Warn("rate limits are this instance's own while Redis can't be told", "error", err)
		}
		return s.alone(ctx, key, l)
	}
	micro := int64(time.Microsecond)
	d, _ := decide(Limit{l.Requests, l.Period}, seen[1]*micro, seen[0]*micro)
	return d
}

// alone decides as if there were no other instance.
func (s *Shared) alone(ctx context.Context, key string, l Limit) Decision {
	s.missed.Add(1)
	return s.Local.Take(ctx, key, l)
}

// Missed is how many decisions were local because Redis could not be told.
func (s *Shared) Missed() int64 { return s.missed.Load() }
