package app

import (
	"cmp"
	"context"
	"encoding/json"
	"math/bits"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"crisol"
	"crisol/internal/desk"
	"crisol/internal/ratelimit"
	"crisol/internal/resilience"
	"crisol/internal/store"
	"crisol/internal/target"
	"crisol/internal/validate"
)

// guards is what stands between the service and what it leans on.
type guards struct {
	panel      *resilience.Panel
	model      *resilience.Guard
	registries *resilience.Group
	line       *resilience.Line       // before what an ml-first miss costs of CPU
	changes    chan resilience.Change // that are to be told; the oldest goes where nobody takes them
}

// mostChanges bounds the changes of breakers that wait for the database, which may be what they are about.
const mostChanges = 256

func newGuards() *guards {
	g := &guards{changes: make(chan resilience.Change, mostChanges), line: resilience.NewLine(resilience.LineConfig{})}
	g.panel = resilience.NewPanel(func(c resilience.Change) {
		for {
			select {
			case g.changes <- c:
				return
			default:
			}
			select {
			case <-g.changes:
			default:
			}
		}
	})
	g.model = g.panel.Guard(resilience.Config{Name: "model", Failures: modelFailures, Rest: modelRest, Within: modelPatience, AtOnce: modelsAtOnce})
	g.registries = target.Registries(g.panel)
	return g
}

// The database's guard: a call takes milliseconds, and one that takes as long as this is not worth waiting for.
const (
	databaseFailures = 3
	databaseRest     = 5 * time.Second
	databasePatience = 10 * time.Second
)

// guardDatabase has the database left alone when it is sick. What reads leaves connections to what writes: figures over
// many rows must not keep a request from being accepted. most is how many connections read at most; late hears of a call
// that took too long.
func (s *Service) guardDatabase(most int, sick, unsent func(error) bool, late func()) (writer, reader *resilience.Guard) {
	writer = s.app.guards.panel.Guard(resilience.Config{
		Name: "database", Failures: databaseFailures, Rest: databaseRest, Within: databasePatience, Late: late, Faulty: sick, Retries: 2, Again: unsent,
	})
	reader = writer.With(func(c *resilience.Config) { c.AtOnce, c.Queue = uint(most), databasePatience/2 })
	return writer, reader
}

// guardRedis has Redis left alone when it doesn't answer; the cache and the limits do without.
func (s *Service) guardRedis() *resilience.Guard {
	return s.app.guards.panel.Guard(resilience.Config{Name: "redis", Failures: 3, Rest: time.Second, Longest: 30 * time.Second})
}

// EventBreaker is the kind of the event that tells of a breaker's change.
const EventBreaker = "breaker_changed"

// tellChanges brings changes of breakers into the stream of events, in their order and once, until ctx is done.
func (s *Service) tellChanges(ctx context.Context) {
	process, n := uuid.NewString(), 0
	for {
		var c resilience.Change
		select {
		case <-ctx.Done():
			return
		case c = <-s.app.guards.changes:
		}
		s.app.Log.Warn("a breaker has changed", "breaker", c.Name, "from", c.From, "to", c.To, "last_error", c.Error)
		n++
		body, err := json.Marshal(c)
		if err != nil {
			s.app.Log.Error("an event could not be written", "error", err)
			continue
		}
		event := store.Event{At: c.At, Kind: EventBreaker, Subject: c.Name, Key: "breaker/" + process + "/" + strconv.Itoa(n), Body: body}
		for {
			_, err := s.Store.Events().Append(ctx, []store.Event{event})
			if err == nil {
				break
			}
			select { // the database is away; until it is back, changes wait
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		s.notify()
	}
}

// shed is the flow behind the line.
type shed struct {
	desk.Flow
	line *resilience.Line
}

// Glance waits for its turn, and is refused where that doesn't come soon.
func (f shed) Glance(ctx context.Context, plan validate.Plan) (validate.Answer, bool, error) {
	leave, err := f.line.Enter(ctx)
	if err != nil {
		return validate.Answer{}, false, err
	}
	defer leave()
	return f.Flow.Glance(ctx, plan)
}

// limiter holds clients to their limits: together with other instances where they share a Redis.
func (s *Service) limiter() ratelimit.Limiter {
	local := ratelimit.NewLocal(0, nil)
	if s.app.Redis == "" {
		return local
	}
	shared := ratelimit.NewShared(ratelimit.SharedOptions{Connect: s.connectRedis, Local: local, Guard: s.redis, Logger: s.app.Log})
	s.onClose(func(context.Context) error { shared.Close(); return nil })
	return shared
}

// connectRedis makes a client for the limits. The cache has a connection of its own, a single one, since the order of what
// comes over it counts.
func (s *Service) connectRedis() (rueidis.Client, error) {
	options, err := rueidis.ParseURL(s.app.Redis)
	if err != nil {
		return nil, err // not told to anybody: the cache was opened with the same address
	}
	n, err := redisConnections(s.app.Redis, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	options.DisableCache, options.DisableRetry = true, true
	options.Dialer.Timeout = cmp.Or(options.Dialer.Timeout, time.Second)
	options.PipelineMultiplex = bits.Len(uint(n)) - 1
	return rueidis.NewClient(options)
}

// redisConnections is over how many connections commands go to Redis beside the cache's: one for each two cores, 8 at most,
// unless the address says it (connections=4). They are pipelined, so that nobody waits for a free one. It is a power of 2.
func redisConnections(address string, cores int) (int, error) {
	n := min(max(cores/2, 1), 8)
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	if said := u.Query().Get("connections"); said != "" {
		if n, err = strconv.Atoi(said); err != nil || n < 1 || n > 64 {
			return 0, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the address of Redis says connections=%s", strings.ToValidUTF8(said, "?")), "want a number from 1 to 64")
		}
	}
	return 1 << (bits.Len(uint(n)) - 1), nil
}
