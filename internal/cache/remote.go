package cache

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"crisol"
)

// Bounds of what goes to Redis and comes from it.
const (
	maxReads       = 256      // at once; what is beyond is computed without asking. Far below rueidis' ring of 1,024
	maxWrites      = 4096     // queued
	maxWriteBytes  = 32 << 20 // queued
	batch          = 128      // writes in one pipeline
	dialFor        = time.Second
	answerFor      = time.Second // to what is asked off the path of requests
	drainFor       = time.Second // at the end
	longestPause   = 32          // times Config.Pause, where there is no Config.Guard
	pauseAfterFull = 10          // times Config.Pause, before more is written to a Redis that took nothing
)

// remote is the tier in Redis. Requests go through get, which waits for a bounded time, and put, which doesn't wait;
// what is beside them is done by two goroutines: the keeper of the generations (keeper.go) and the writer.
type remote struct {
	Config
	options rueidis.ClientOption
	gens    *generations
	counted *counters
	begun   time.Time

	client  atomic.Pointer[rueidis.Client] // nil until Redis answered for the first time
	reading chan struct{}                  // a place for each read that may be under way

	current    atomic.Bool             // the keeper is in touch, and the table is as it is in Redis
	confirmed  atomic.Int64            // when it last was, in nanoseconds since 1970 by Config.Now
	writesFrom atomic.Int64            // no writes before: in nanoseconds since begun
	untold     [slots + 1]atomic.Int64 // invalidations of which Redis doesn't know

	writes chan write
	queued atomic.Int64 // bytes in writes

	wake chan struct{} // asks for a round of the keeper
	end  func()        // ends keeper and writer
	done sync.WaitGroup

	mu      sync.Mutex // guards what follows
	tickets []ticket
	state   string // what the log was told last
}

type write struct {
	id    identity
	table *table
	value []byte
	end   time.Time
}

func newRemote(c Config, g *generations, counted *counters) (*remote, error) {
	options, err := redisOptions(c.Redis)
	if err != nil {
		return nil, err
	}
	r := &remote{
		Config: c, options: options, gens: g, counted: counted, begun: time.Now(), reading: make(chan struct{}, maxReads),
		writes: make(chan write, maxWrites), wake: make(chan struct{}, 1),
	}
	r.options.OnInvalidations = func(keys []rueidis.RedisMessage) {
		if keys == nil { // the connection is gone, or the server forgot everything
			r.current.Store(false)
		}
		r.nudge()
	}
	if err := r.loadOutbox(); err != nil {
		return nil, err
	}
	keeping, endKeeping := context.WithCancel(context.Background())
	writing, endWriting := context.WithCancel(context.Background())
	r.end = sync.OnceFunc(func() {
		endKeeping()
		close(r.writes)
		timer := time.AfterFunc(drainFor, endWriting)
		r.done.Wait()
		timer.Stop()
		endWriting()
		if client := r.client.Load(); client != nil {
			(*client).Close()
		}
	})
	r.done.Go(func() { r.keep(keeping) })
	r.done.Go(func() { r.write(writing) })
	return r, nil
}

// redisOptions reads a URL. There is one connection, over which commands are pipelined: what the server pushes and what
// it answers then come in the server's order. Nothing is retried: whoever waits would rather compute.
func redisOptions(address string) (rueidis.ClientOption, error) {
	options, err := rueidis.ParseURL(address)
	if err != nil {
		var inURL *url.Error
		if errors.As(err, &inURL) {
			err = inURL.Err // without the URL, which may hold a password
		}
		return options, crisol.WithHint(crisol.Errorf(crisol.KindInput, "cache: address of Redis: %w", err),
			"want redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS")
	}
	if options.AlwaysRESP2 || options.DisableCache {
		return options, crisol.WithHint(crisol.Errorf(crisol.KindInput, "cache: address of Redis: protocol=2 and client_cache=0 are not possible"),
			"invalidations are learned by tracking, which Redis offers since version 6 with RESP3")
	}
	options.ForceSingleClient = true
	options.PipelineMultiplex = -1
	options.DisableRetry = true
	options.Dialer.Timeout = dialFor
	options.Dialer.KeepAlive = time.Second
	options.ConnWriteTimeout = answerFor
	return options, nil
}

func (r *remote) close() { r.end() }

// trusted returns the table under which what Redis says of a slot may be believed, or nil. It must be asked after the
// stamp was taken: then a stamp of after an invalidation comes with a table of after it, or none.
func (r *remote) trusted(slot uint16) *table {
	if r.untold[slot].Load() > 0 || r.untold[allSlots].Load() > 0 {
		return nil
	}
	return r.gens.table.Load()
}

func (r *remote) since() int64 { return int64(time.Since(r.begun)) }

type reply struct {
	value []byte
	err   error
}

// get asks Redis, for Config.Wait at most.
func (r *remote) get(ctx context.Context, id identity, t *table) (value []byte, life time.Duration, hit bool) {
	client := r.client.Load()
	if t == nil || client == nil || !r.current.Load() {
		r.counted.unasked.Add(1)
		return nil, 0, false
	}
	held, asked := r.read(ctx, *client, r.key(id))
	if !asked {
		r.counted.unasked.Add(1)
		return nil, 0, false
	}
	if held == nil {
		return nil, 0, false
	}
	value, life, f := decode(id, t, held, r.Now())
	switch f {
	case foundStale:
		r.counted.stale.Add(1)
	case foundDamaged:
		r.counted.damaged.Add(1)
	}
	return value, life, f == foundValid
}

// read reads one key, for Config.Wait at most, and returns nil where there is nothing, or nothing in time. asked is false
// where Redis was left alone: its guard is open, or so many reads are under way that another one would only wait.
func (r *remote) read(ctx context.Context, client rueidis.Client, key string) (value []byte, asked bool) {
	permit, err := r.Guard.Begin()
	if err != nil {
		return nil, false
	}
	select {
	case r.reading <- struct{}{}:
	default:
		permit.Drop()
		return nil, false
	}
	within, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	replies := make(chan reply, 1)
	// On a goroutine of its own, since a connection that has to be dialled doesn't look at the context.
	r.done.Go(func() {
		defer func() { <-r.reading }()
		value, err := client.Do(within, client.B().Get().Key(key).Build()).AsBytes()
		replies <- reply{value, err}
	})
	var answer reply
	select {
	case answer = <-replies:
	case <-within.Done():
		answer.err = within.Err()
	}
	if rueidis.IsRedisNil(answer.err) {
		answer = reply{}
	}
	permit.End(ctx, answer.err)
	switch {
	case answer.err == nil, ctx.Err() != nil: // nobody waits any more; that says nothing about Redis
	case errors.Is(answer.err, context.DeadlineExceeded):
		r.counted.timeouts.Add(1)
		r.nudge()
	default:
		r.counted.errors.Add(1)
		r.nudge()
	}
	return answer.value, true
}

func (r *remote) key(id identity) string {
	b := make([]byte, 0, len(r.Prefix)+1+24+1+4+1+44)
	b = append(b, r.Prefix...)
	b = append(b, ':')
	b = append(b, id.kind.String()...)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(id.slot), 10)
	b = append(b, ':')
	b = base64.RawURLEncoding.AppendEncode(b, id.key[:])
	return string(b)
}

// put queues a value for Redis, or drops it. It never waits.
func (r *remote) put(id identity, t *table, value []byte, end time.Time) {
	if t == nil || !r.current.Load() || r.since() < r.writesFrom.Load() {
		r.counted.dropped.Add(1)
		return
	}
	if r.queued.Add(int64(len(value))) <= maxWriteBytes {
		select {
		case r.writes <- write{id, t, value, end}:
			return
		default:
		}
	}
	r.queued.Add(-int64(len(value)))
	r.counted.dropped.Add(1)
}

// write takes what put queued to Redis, many at once, until the queue is closed and empty.
func (r *remote) write(ctx context.Context) {
	for w := range r.writes {
		ws := append(make([]write, 0, batch), w)
	fill:
		for len(ws) < batch {
			select {
			case w, open := <-r.writes:
				if !open {
					break fill
				}
				ws = append(ws, w)
			default:
				break fill
			}
		}
		r.writeBatch(ctx, ws)
	}
}

func (r *remote) writeBatch(ctx context.Context, ws []write) {
	client := r.client.Load()
	commands := make(rueidis.Commands, 0, len(ws))
	now := r.Now()
	for _, w := range ws {
		r.queued.Add(-int64(len(w.value)))
		if life := w.end.Sub(now); life > 0 && client != nil {
			value := rueidis.BinaryString(encode(w.id, w.table, w.value, w.end))
			commands = append(commands, (*client).B().Set().Key(r.key(w.id)).Value(value).PxMilliseconds(max(life.Milliseconds(), 1)).Build())
		}
	}
	r.counted.dropped.Add(uint64(len(ws) - len(commands)))
	if len(commands) == 0 {
		return
	}
	within, cancel := context.WithTimeout(ctx, answerFor)
	defer cancel()
	for _, result := range (*client).DoMulti(within, commands...) {
		if err := result.Error(); err != nil {
			r.counted.unwritten.Add(1)
			r.writesFrom.Store(r.since() + int64(pauseAfterFull*r.Pause))
			continue
		}
		r.counted.written.Add(1)
	}
}
