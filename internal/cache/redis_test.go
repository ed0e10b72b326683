package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crisol/internal/cache"
	"crisol/internal/cache/redistest"
)

// quick is a configuration that comes back sooner than one for production.
func quick(s *redistest.Server) cache.Config {
	return cache.Config{Redis: s.URL(), Wait: 5 * time.Second, Tell: 20 * time.Second, Pause: 10 * time.Millisecond, Beat: 50 * time.Millisecond}
}

// connect opens an instance and waits until it is in touch with Redis.
func connect(t testing.TB, c cache.Config) *cache.Cache {
	t.Helper()
	made := open(t, c)
	inTouch(t, made)
	return made
}

func inTouch(t testing.TB, cs ...*cache.Cache) {
	t.Helper()
	for _, c := range cs {
		eventually(t, "in touch with Redis", func() bool { return c.Stats().Redis.InTouch })
	}
}

func outOfTouch(t testing.TB, cs ...*cache.Cache) {
	t.Helper()
	for _, c := range cs {
		eventually(t, "Redis is missed", func() bool { return !c.Stats().Redis.InTouch })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keep computes a value and waits until Redis has it.
func keep(t testing.TB, c *cache.Cache, item cache.Item, value string) {
	t.Helper()
	before := c.Stats().Redis.Written
	want(t, c, item, value, value, cache.Computed)
	eventually(t, "written to Redis", func() bool { return c.Stats().Redis.Written == before+1 })
}

func TestShared(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := connect(t, quick(s)), connect(t, quick(s))
	item := prediction("apv-1", "k")
	keep(t, a, item, "one")
	want(t, b, item, "two", "one", cache.Redis)
	want(t, b, item, "two", "one", cache.Memory)
	other := quick(s)
	other.Prefix = "another"
	want(t, connect(t, other), item, "two", "two", cache.Computed)
	keys, err := s.Do("KEYS", "*")
	if err != nil || !strings.Contains(keys, "crisol:predictions:") || !strings.Contains(keys, "crisol:generations") {
		t.Errorf("%q, %v", keys, err)
	}
	if ttl, err := s.Do("PTTL", "crisol:predictions:"+strings.Split(strings.Split(keys, "crisol:predictions:")[1], "\n")[0]); err != nil || len(ttl) != len("86400000") {
		t.Errorf("lives %s ms, %v", ttl, err)
	}
}

// TestInvalidationReachesAll: what one instance invalidates, no instance serves, from memory or from Redis.
func TestInvalidationReachesAll(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	slow := quick(s)
	slow.Beat = time.Hour // what it hears, it hears by the server's push
	a, b := connect(t, quick(s)), connect(t, slow)
	one, two := prediction("apv-1", "k"), prediction("apv-2", "k")
	keep(t, a, one, "old")
	keep(t, a, two, "old")
	want(t, b, one, "", "old", cache.Redis)
	want(t, b, two, "", "old", cache.Redis)
	if !a.Invalidate(t.Context(), "apv-1") {
		t.Fatal("nobody was told")
	}
	want(t, a, one, "new", "new", cache.Computed)
	eventually(t, "the other hears of it", func() bool { got, _ := ask(t, b, one, "new"); return got == "new" })
	want(t, b, two, "", "old", cache.Memory)
	if !b.InvalidateAll(t.Context()) {
		t.Fatal("nobody was told")
	}
	want(t, b, two, "newer", "newer", cache.Computed)
	eventually(t, "the first hears of it", func() bool { got, _ := ask(t, a, two, "newer"); return got == "newer" })
	want(t, connect(t, quick(s)), prediction("apv-3", "k"), "x", "x", cache.Computed)
}

func TestStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill()
	var log bytes.Buffer
	c := quick(s)
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := open(t, c)
	item := prediction("a", "k")
	want(t, a, item, "one", "one", cache.Computed)
	want(t, a, item, "two", "one", cache.Memory)
	if a.Invalidate(t.Context(), "a") {
		t.Error("told a Redis that is not there")
	}
	want(t, a, item, "two", "two", cache.Computed)
	must(t, s.Restart())
	inTouch(t, a)
	keep(t, a, prediction("a", "l"), "three")
	a.Close()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "in touch") || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("log: %s", log.String())
	}
}

// TestKilled: kill -9 in mid-load, then a restart with nothing.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := connect(t, quick(s)), connect(t, quick(s))
	item := prediction("a", "k")
	keep(t, a, item, "one")
	load := loadOf(t, a, b)
	s.Kill()
	outOfTouch(t, a, b)
	want(t, a, item, "", "one", cache.Memory)
	if a.Invalidate(t.Context(), "a") {
		t.Error("told a Redis that is dead")
	}
	want(t, a, item, "two", "two", cache.Computed)
	must(t, s.Restart())
	inTouch(t, a, b)
	eventually(t, "the dead Redis' successor is told", func() bool { return a.Stats().Redis.Untold == 0 })
	load()
	var after cache.Item
	eventually(t, "it is written to again", func() bool { // after the pause that the failures left
		before := a.Stats().Redis
		after = prediction("a", fmt.Sprint("after", time.Now().UnixNano()))
		ask(t, a, after, "three")
		now := a.Stats().Redis
		for now.Written+now.Unwritten+now.Dropped == before.Written+before.Unwritten+before.Dropped {
			time.Sleep(time.Millisecond)
			now = a.Stats().Redis
		}
		return now.Written > before.Written
	})
	want(t, connect(t, quick(s)), after, "", "three", cache.Redis)
	if got, _ := ask(t, b, item, "two"); got != "two" {
		t.Errorf("%q survived", got)
	}
}

// loadOf asks without pause until its result is called. No answer may be an error.
func loadOf(t *testing.T, cs ...*cache.Cache) (end func()) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprint(random.IntN(200))
				value, _, err := cs[worker%len(cs)].Do(t.Context(), prediction("load"+text, text), says(text))
				if err != nil || string(value) != text {
					t.Errorf("%q, %v; want %q", value, err, text)
					return
				}
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	return func() { close(stop); all.Wait() }
}

// TestFrozen: a server that keeps its connections and says nothing costs a bounded wait, then none.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := quick(s)
	c.Wait, c.Pause = 300*time.Millisecond, time.Minute
	a, b := connect(t, c), connect(t, quick(s))
	item := prediction("a", "k")
	keep(t, b, item, "old")
	want(t, a, item, "", "old", cache.Redis)
	must(t, s.Freeze())
	want(t, a, prediction("b", "k"), "one", "one", cache.Computed)
	if n := a.Stats().Redis; n.Timeouts != 1 {
		t.Errorf("%+v", n)
	}
	for n := range 100 { // while it is left alone, nobody waits
		want(t, a, prediction("b", fmt.Sprint(n)), "one", "one", cache.Computed)
	}
	if n := a.Stats().Redis; n.Timeouts != 1 || n.Unasked < 100 {
		t.Errorf("%+v", n)
	}
	if b.Invalidate(t.Context(), "a") {
		t.Error("told a Redis that is frozen")
	}
	want(t, b, item, "new", "new", cache.Computed)
	must(t, s.Thaw())
	inTouch(t, a, b)
	eventually(t, "it is told late", func() bool { return b.Stats().Redis.Untold == 0 })
	eventually(t, "the other hears of it", func() bool { got, _ := ask(t, a, item, "new"); return got == "new" })
}

// TestUntold: while Redis was not told of an invalidation, what it holds is not believed, although it can be read.
func TestUntold(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	_, err := s.Do("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-hincrby", "-del")
	must(t, err)
	c := quick(s)
	c.Redis = strings.Replace(c.Redis, "redis://", "redis://reader:secret@", 1)
	a, b := connect(t, c), connect(t, quick(s))
	item, kept := prediction("a", "k"), prediction("b", "k")
	keep(t, b, item, "old")
	keep(t, b, kept, "kept")
	if a.Invalidate(t.Context(), "a") {
		t.Error("it was not allowed")
	}
	for range 20 {
		if got, _ := ask(t, a, item, "new"); got != "new" {
			t.Fatalf("%q", got)
		}
	}
	eventually(t, "it is known why", func() bool {
		n := a.Stats().Redis
		return n.Untold == 1 && !n.InTouch && strings.Contains(n.State, "tell an invalidation")
	})
	_, err = s.Do("ACL", "SETUSER", "reader", "+@all")
	must(t, err)
	inTouch(t, a)
	eventually(t, "the other hears of it", func() bool { got, _ := ask(t, b, item, "new"); return got == "new" })
	want(t, a, kept, "", "kept", cache.Redis)
}

// TestFull: a Redis without room takes neither values nor counters, and still every instance hears of invalidations.
func TestFull(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := connect(t, quick(s)), connect(t, quick(s))
	one, two := prediction("a", "k"), prediction("b", "k")
	keep(t, a, one, "old")
	keep(t, a, two, "old")
	want(t, b, one, "", "old", cache.Redis)
	for _, setting := range [][]string{{"maxmemory-policy", "noeviction"}, {"maxmemory", "1"}} {
		_, err := s.Do("CONFIG", "SET", setting[0], setting[1])
		must(t, err)
	}
	want(t, a, prediction("a", "l"), "one", "one", cache.Computed)
	eventually(t, "the write is refused", func() bool { return a.Stats().Redis.Unwritten > 0 })
	want(t, b, two, "", "old", cache.Redis) // it can still be read
	if !a.Invalidate(t.Context(), "a") {
		t.Error("a full Redis can be told all the same")
	}
	want(t, a, one, "new", "new", cache.Computed)
	eventually(t, "the other hears of it", func() bool { got, _ := ask(t, b, one, "new"); return got == "new" })
	_ = b.Invalidate(t.Context(), "b") // nothing is left to delete: whether it could be told depends on who came first
	want(t, b, two, "new", "new", cache.Computed)
	_, err := s.Do("CONFIG", "SET", "maxmemory", "0")
	must(t, err)
	inTouch(t, a, b)
	eventually(t, "all is told", func() bool { return b.Stats().Redis.Untold == 0 })
	eventually(t, "it is written to again", func() bool {
		text := fmt.Sprint(time.Now().UnixNano())
		ask(t, a, prediction("c", text), text)
		return a.Stats().Redis.Written > 2
	})
}

// TestOldSnapshot: a server that comes back with what it had saved an hour ago knows nothing of later invalidations.
func TestOldSnapshot(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--save", "3600 1000000")
	a := connect(t, quick(s))
	item := prediction("a", "k")
	keep(t, a, item, "old")
	_, err := s.Do("SAVE")
	must(t, err)
	if !a.Invalidate(t.Context(), "a") {
		t.Fatal("not told")
	}
	s.Kill()
	outOfTouch(t, a)
	must(t, s.Restart())
	inTouch(t, a)
	fresh := connect(t, quick(s))
	if keys, err := s.Do("KEYS", "*:predictions:*"); err != nil || keys == "" {
		t.Fatalf("the snapshot holds %q, %v", keys, err)
	}
	want(t, a, item, "new", "new", cache.Computed)
	if got, _ := ask(t, fresh, item, "new"); got != "new" {
		t.Errorf("%q is back from the dead", got)
	}
}

// TestLostGenerations: without the table, nothing in Redis counts, and memory doesn't either.
func TestLostGenerations(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string][]string{"evicted": {"DEL", "crisol:generations"}, "flushed": {"FLUSHALL"}, "another root": {"HSET", "crisol:generations", "root", "x"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			a, b := connect(t, quick(s)), connect(t, quick(s))
			item := prediction("a", "k")
			keep(t, a, item, "old")
			want(t, b, item, "", "old", cache.Redis)
			_, err := s.Do(lose...)
			must(t, err)
			for _, c := range []*cache.Cache{a, b} {
				eventually(t, "it is noticed", func() bool { got, _ := ask(t, c, item, "new"); return got == "new" })
			}
			inTouch(t, a, b)
		})
	}
	t.Run("damaged", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		a := connect(t, quick(s))
		_, err := s.Do("HSET", "crisol:generations", "9999", "1")
		must(t, err)
		outOfTouch(t, a)
		if state := a.Stats().Redis.State; !strings.Contains(state, `"9999" is no slot`) {
			t.Error(state)
		}
		want(t, a, prediction("a", "k"), "x", "x", cache.Computed)
	})
}

// TestDamagedValues: what was not written as it stands is not believed.
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := connect(t, quick(s))
	item, other := prediction("a", "k"), prediction("a", "other")
	keep(t, a, item, "one")
	key, err := s.Do("KEYS", "*:predictions:*")
	must(t, err)
	whole, err := s.Do("GET", key)
	must(t, err)
	keep(t, a, other, "two")
	keys, err := s.Do("KEYS", "*:predictions:*")
	must(t, err)
	otherKey := strings.TrimSpace(strings.Replace(keys, key, "", 1))
	for name, text := range map[string]string{
		"empty": "", "cut": whole[:len(whole)-1], "cut in the header": whole[:10], "other form": "\x02" + whole[1:], "flipped": whole[:60%len(whole)] + "?" + whole[60%len(whole)+1:],
		"longer": whole + "x",
	} {
		_, err := s.Do("SET", key, text)
		must(t, err)
		b := connect(t, quick(s))
		if got, from := ask(t, b, item, "new"); got != "new" || from != cache.Computed || b.Stats().Redis.Damaged != 1 {
			t.Errorf("%s: %q from %s, %+v", name, got, from, b.Stats().Redis)
		}
		b.Close()
	}
	_, err = s.Do("SET", otherKey, whole)
	must(t, err)
	if got, _ := ask(t, connect(t, quick(s)), other, "new"); got != "new" {
		t.Errorf("another key's value %q", got)
	}
}

// TestReplica: a Redis that may only be read makes nothing wrong.
func TestReplica(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, "--save", "", "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(master.Addr)
	must(t, err)
	a := connect(t, quick(master))
	item := prediction("a", "k")
	keep(t, a, item, "old")
	s := redistest.Start(t, "--save", "", "--replicaof", host+" "+port)
	eventually(t, "it follows its master", func() bool {
		keys, err := s.Do("KEYS", "*")
		return err == nil && strings.Contains(keys, "predictions")
	})
	b := connect(t, quick(s))
	// Written under the id of the master's run, it does not count here.
	want(t, b, item, "one", "one", cache.Computed)
	eventually(t, "the write is refused", func() bool { return b.Stats().Redis.Unwritten > 0 })
	if b.Invalidate(t.Context(), "a") {
		t.Error("a replica took it")
	}
	want(t, b, item, "two", "two", cache.Computed)
}

// TestSlow: a Redis that needs longer than Wait is not waited for.
func TestSlow(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := delay(t, s.Addr, 30*time.Millisecond)
	c := quick(s)
	c.Redis, c.Wait, c.Pause = "redis://"+proxy, time.Millisecond, time.Hour
	a, b := connect(t, c), connect(t, quick(s))
	keep(t, b, prediction("a", "k"), "one")
	want(t, a, prediction("a", "k"), "two", "two", cache.Computed)
	if n := a.Stats().Redis; n.Timeouts != 1 || !n.InTouch {
		t.Errorf("%+v", n)
	}
}

// delay is a proxy that passes answers on late.
func delay(t *testing.T, to string, by time.Duration) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				return
			}
			mu.Lock()
			conns = append(conns, near, far)
			mu.Unlock()
			all.Go(func() { _, _ = io.Copy(far, near) })
			all.Go(func() {
				for b := make([]byte, 64<<10); ; {
					n, err := far.Read(b)
					time.Sleep(by)
					if _, failed := near.Write(b[:n]); err != nil || failed != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// TestOutbox: an invalidation that Redis could not be told of survives the process.
func TestOutbox(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := quick(s)
	c.Outbox = filepath.Join(t.TempDir(), "outbox")
	a, b := connect(t, c), connect(t, quick(s))
	one, two := prediction("a", "k"), prediction("b", "k")
	keep(t, a, one, "old")
	keep(t, a, two, "old")
	want(t, b, one, "", "old", cache.Redis)
	must(t, s.Freeze())
	if a.Invalidate(t.Context(), "a") {
		t.Error("told a Redis that is frozen")
	}
	a.Close()
	a = open(t, c) // the next process
	must(t, s.Thaw())
	inTouch(t, a)
	want(t, a, one, "new", "new", cache.Computed)
	want(t, a, two, "", "old", cache.Redis)
	eventually(t, "the other hears of it", func() bool { got, _ := ask(t, b, one, "new"); return got == "new" })
	if _, err := os.Stat(c.Outbox); !os.IsNotExist(err) {
		t.Errorf("what is told stays in the outbox: %v", err)
	}
	must(t, os.WriteFile(c.Outbox, []byte("shopping list"), 0o600))
	if _, err := cache.New(c); err == nil {
		t.Error("a damaged outbox was taken for an empty one")
	}
}

// TestUnconfirmed: without news of the others, memory answers only with what is young.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	c := quick(s)
	c.Now, c.Unconfirmed = func() time.Time { return time.Unix(0, now.Load()) }, time.Minute
	a := connect(t, c)
	item := prediction("a", "k")
	want(t, a, item, "one", "one", cache.Computed)
	now.Add(int64(time.Hour))
	want(t, a, item, "two", "one", cache.Memory) // in touch, it is good for its whole life
	a.Invalidate(t.Context(), "another")
	a.Invalidate(t.Context(), "another") // by now the news of the first's round are in
	s.Kill()
	outOfTouch(t, a)
	now.Add(int64(59 * time.Second))
	want(t, a, item, "two", "one", cache.Memory)
	now.Add(int64(time.Second))
	want(t, a, item, "two", "two", cache.Computed)
	now.Add(int64(59 * time.Second)) // counted from when it was computed
	want(t, a, item, "three", "two", cache.Memory)
	now.Add(int64(-time.Hour)) // the clock is set back: it may be any age
	want(t, a, item, "four", "four", cache.Computed)
	must(t, s.Restart())
	inTouch(t, a)
}

// TestNeverStale is the promise as a whole: two instances, a server to which things happen, and a truth that changes.
// Whoever invalidated after a change must never see what was before it; and once Redis has heard of it all, nobody.
func TestNeverStale(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := quick(s)
	c.Wait, c.Tell = 20*time.Millisecond, 100*time.Millisecond
	instances := []*cache.Cache{connect(t, c), connect(t, c)}
	const scopes = 8
	var truth [scopes]atomic.Int64
	var known [2][scopes]atomic.Int64 // the oldest version that an instance may still serve
	look := func(instance, scope int) (got, least int64) {
		least = known[instance][scope].Load()
		value, _, err := instances[instance].Do(t.Context(), prediction(fmt.Sprint("scope", scope), "k"), func(context.Context) ([]byte, error) {
			return fmt.Append(nil, truth[scope].Load()), nil
		})
		if err != nil {
			t.Errorf("an error: %v", err)
		}
		if _, err := fmt.Sscan(string(value), &got); err != nil {
			t.Errorf("%q: %v", value, err)
		}
		return got, least
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			for instance := worker % 2; ; {
				select {
				case <-stop:
					return
				default:
				}
				scope := random.IntN(scopes)
				if random.IntN(20) == 0 {
					version := truth[scope].Add(1)
					instances[instance].Invalidate(t.Context(), fmt.Sprint("scope", scope))
					for old := known[instance][scope].Load(); old < version && !known[instance][scope].CompareAndSwap(old, version); {
						old = known[instance][scope].Load()
					}
				}
				if got, least := look(instance, scope); got < least {
					t.Errorf("instance %d serves version %d of scope %d after an invalidation at %d", instance, got, scope, least)
					return
				}
			}
		})
	}
	for _, happens := range []func() error{
		s.Freeze, s.Thaw, func() error { s.Kill(); return nil }, s.Restart, func() error { _, err := s.Do("FLUSHALL"); return err },
		func() error { s.Kill(); return s.Restart() }, s.Freeze, s.Thaw,
	} {
		must(t, happens())
		time.Sleep(150 * time.Millisecond) // of load
	}
	close(stop)
	all.Wait()
	inTouch(t, instances...)
	for _, c := range instances {
		eventually(t, "all is told", func() bool { return c.Stats().Redis.Untold == 0 })
	}
	for instance := range instances {
		for scope := range scopes {
			eventually(t, "all see the truth", func() bool { got, _ := look(instance, scope); return got == truth[scope].Load() })
		}
	}
}
