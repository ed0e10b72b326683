package ratelimit

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Shared keeps its keys in a Redis that instances share. Use NewShared.
type Shared struct {
	client rueidis.Client
	prefix string
	local  *Local
	logger *slog.Logger
	wait   time.Duration
	rest   time.Duration

	resting atomic.Int64 // until when Redis is left alone, in nanoseconds since 1970
	missed  atomic.Int64
}

// SharedOptions configure a Shared. Client and Local must be set.
type SharedOptions struct {
	Client rueidis.Client
	// Local decides where Redis can't be told.
	Local  *Local
	Prefix string        // begins every key; "" is "crisol"
	Wait   time.Duration // for one decision of Redis; 0 is 50 ms
	Rest   time.Duration // for which Redis is left alone after it failed; 0 is 1 s
	Logger *slog.Logger  // nil discards
}

// NewShared makes a Shared.
func NewShared(o SharedOptions) *Shared {
	s := &Shared{client: o.Client, local: o.Local, prefix: o.Prefix, wait: o.Wait, rest: o.Rest, logger: o.Logger}
	if s.prefix == "" {
		s.prefix = "crisol"
	}
	if s.wait == 0 {
		s.wait = 50 * time.Millisecond
	}
	if s.rest == 0 {
		s.rest = time.Second
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	return s
}

// gcra is decide as a script, by Redis' own clock and in microseconds, since Lua's numbers hold 53 bits. It returns the
// key's instant before it, and the time.
var gcra = rueidis.NewLuaScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or 0)
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
	if time.Now().UnixNano() < s.resting.Load() {
		s.missed.Add(1)
		return s.local.Take(ctx, key, l)
	}
	within, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	each := l.Period.Microseconds() / int64(l.Requests)
	seen, err := gcra.Exec(within, s.client, []string{s.prefix + ":limit:" + key}, []string{
		strconv.FormatInt(each, 10), strconv.FormatInt(l.Period.Microseconds(), 10),
	}).AsIntSlice()
	if err != nil || len(seen) != 2 {
		s.missed.Add(1)
		if ctx.Err() == nil { // else it was the caller who left
			s.resting.Store(time.Now().Add(s.rest).UnixNano())
			s.logger.Warn("rate limits are this instance's own while Redis can't be told", "error", err)
		}
		return s.local.Take(ctx, key, l)
	}
	micro := int64(time.Microsecond)
	d, _ := decide(Limit{l.Requests, l.Period}, seen[1]*micro, seen[0]*micro)
	return d
}

// Missed is how many decisions were local because Redis could not be told.
func (s *Shared) Missed() int64 { return s.missed.Load() }
