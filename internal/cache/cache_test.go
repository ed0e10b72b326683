package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
	"weak"

	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, c cache.Config) *cache.Cache {
	t.Helper()
	made, err := cache.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close(); made.Close() })
	return made
}

func prediction(scope, key string) cache.Item {
	return cache.Item{Kind: cache.Predictions, Scope: scope, Key: cache.KeyOf([]byte(key))}
}

// says computes a text.
func says(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// ask looks an item up, and fails the test on an error.
func ask(t testing.TB, c *cache.Cache, item cache.Item, otherwise string) (string, cache.Source) {
	t.Helper()
	value, source, err := c.Do(t.Context(), item, says(otherwise))
	if err != nil {
		t.Fatal(err)
	}
	return string(value), source
}

func want(t testing.TB, c *cache.Cache, item cache.Item, otherwise, value string, source cache.Source) {
	t.Helper()
	if got, from := ask(t, c, item, otherwise); got != value || from != source {
		t.Fatalf("got %q (%s), want %q (%s)", got, from, value, source)
	}
}

func TestKeyOf(t *testing.T) {
	seen := map[cache.Key]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"abc"}, {"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"\x03\x00\x00\x00\x00\x00\x00\x00abc"}} {
		var in [][]byte
		for _, part := range parts {
			in = append(in, []byte(part))
		}
		key := cache.KeyOf(in...)
		if before, taken := seen[key]; taken {
			t.Errorf("%q and %s have one key", parts, before)
		}
		if seen[key] = fmt.Sprintf("%q", parts); key != cache.KeyOf(in...) {
			t.Errorf("%q has two keys", parts)
		}
	}
}

func TestMemory(t *testing.T) {
	c := open(t, cache.Config{})
	item := prediction("apv-1", "k")
	if _, found := c.Peek(item); found {
		t.Fatal("an empty cache knows something")
	}
	want(t, c, item, "one", "one", cache.Computed)
	want(t, c, item, "two", "one", cache.Memory)
	if value, found := c.Peek(item); !found || string(value) != "one" {
		t.Fatalf("peek: %q, %v", value, found)
	}
	want(t, c, prediction("apv-1", "l"), "three", "three", cache.Computed)
	want(t, c, cache.Item{Kind: cache.ABResults, Scope: item.Scope, Key: item.Key}, "of another kind", "of another kind", cache.Computed)
	got := c.Stats()
	if k := got.Kinds["predictions"]; k != (cache.KindStats{Memory: 2, Misses: 2, HitRatio: 0.5}) || got.Redis != nil || got.Entries != 3 || got.HitRatio != 0.4 {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	c := open(t, cache.Config{})
	item, broken := prediction("a", "k"), errors.New("no model")
	for range 2 {
		_, _, err := c.Do(t.Context(), item, func(context.Context) ([]byte, error) { return []byte("half"), broken })
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	_, _, err := c.Do(t.Context(), item, func(context.Context) ([]byte, error) { panic("index out of range") })
	if crisol.KindOf(err) != crisol.KindInternal || !strings.Contains(err.Error(), "index out of range") {
		t.Fatal(err)
	}
	want(t, c, item, "one", "one", cache.Computed)
	if k := c.Stats().Kinds["predictions"]; k.Failures != 3 || k.Misses != 4 {
		t.Errorf("%+v", k)
	}
}

// TestComputesOnce: many ask at once, one computes; whoever gives up doesn't take the answer from the others.
func TestComputesOnce(t *testing.T) {
	c := open(t, cache.Config{})
	item := prediction("a", "k")
	release := make(chan struct{})
	var computed atomic.Int64
	compute := func(ctx context.Context) ([]byte, error) {
		computed.Add(1)
		<-release
		return []byte("one"), ctx.Err()
	}
	first, giveUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, _, err := c.Do(first, item, compute); gone <- err }()
	eventually(t, "the first computes", func() bool { return computed.Load() == 1 })
	var rest sync.WaitGroup
	for range 50 {
		rest.Go(func() {
			if value, _, err := c.Do(t.Context(), item, compute); err != nil || string(value) != "one" {
				t.Errorf("%q, %v", value, err)
			}
		})
	}
	eventually(t, "all have joined", func() bool { return c.Stats().Kinds["predictions"].Joined == 50 })
	giveUp() // its context began the computation
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	rest.Wait()
	if computed.Load() != 1 {
		t.Errorf("computed %d times", computed.Load())
	}
	want(t, c, item, "two", "one", cache.Memory)
}

// TestNobodyWaits: a computation ends when the last who waits for it has gone, and the next begins a new one.
func TestNobodyWaits(t *testing.T) {
	c := open(t, cache.Config{})
	item := prediction("a", "k")
	ctx, giveUp := context.WithCancel(context.WithValue(t.Context(), valueKey{}, "trace"))
	began, ended := make(chan any, 1), make(chan error, 1)
	gone := make(chan error, 1)
	go func() {
		_, _, err := c.Do(ctx, item, func(ctx context.Context) ([]byte, error) {
			began <- ctx.Value(valueKey{})
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		gone <- err
	}()
	if value := <-began; value != "trace" {
		t.Errorf("the context carries %v", value)
	}
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want(t, c, item, "one", "one", cache.Computed)
}

type valueKey struct{}

func TestCloseEndsComputations(t *testing.T) {
	c := open(t, cache.Config{})
	began := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		_, _, err := c.Do(t.Context(), prediction("a", "k"), func(ctx context.Context) ([]byte, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		failed <- err
	}()
	<-began
	c.Close()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, _, err := c.Do(t.Context(), prediction("a", "k"), says("x")); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Error(err)
	}
}

func TestInvalidate(t *testing.T) {
	c := open(t, cache.Config{})
	items := map[string]cache.Item{}
	for _, scope := range []string{"apv-1", "apv-2", "apv-3"} {
		items[scope] = prediction(scope, "the same patch")
		want(t, c, items[scope], scope, scope, cache.Computed)
	}
	if !c.Invalidate(t.Context(), "apv-2") {
		t.Error("there are no others, and they were not told")
	}
	want(t, c, items["apv-1"], "new", "apv-1", cache.Memory)
	want(t, c, items["apv-2"], "new", "new", cache.Computed)
	want(t, c, items["apv-3"], "new", "apv-3", cache.Memory)
	c.InvalidateAll(t.Context())
	for scope, item := range items {
		want(t, c, item, "newer "+scope, "newer "+scope, cache.Computed)
		want(t, c, item, "newest", "newer "+scope, cache.Memory)
	}
}

// TestInvalidatedMeanwhile: what was begun before an invalidation is neither kept nor given to those who ask later.
func TestInvalidatedMeanwhile(t *testing.T) {
	c := open(t, cache.Config{})
	item := prediction("a", "k")
	began, release := make(chan struct{}), make(chan struct{})
	old := make(chan string, 1)
	go func() {
		value, _, _ := c.Do(t.Context(), item, func(context.Context) ([]byte, error) {
			close(began)
			<-release
			return []byte("old"), nil
		})
		old <- string(value)
	}()
	<-began
	c.Invalidate(t.Context(), "a")
	want(t, c, item, "new", "new", cache.Computed)
	close(release)
	if value := <-old; value != "old" {
		t.Errorf("who asked before got %q", value)
	}
	if got, _ := ask(t, c, item, "newer"); got == "old" {
		t.Error("an invalidated answer came back")
	}
}

func TestLifetimes(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC).UnixNano())
	c := open(t, cache.Config{
		Now:       func() time.Time { return time.Unix(0, now.Load()) },
		Lifetimes: map[cache.Kind]time.Duration{cache.ABResults: 2 * time.Hour, cache.VulnerabilityPatterns: -1},
	})
	for _, step := range []struct {
		kind cache.Kind
		life time.Duration
	}{{cache.Predictions, 24 * time.Hour}, {cache.ABResults, 2 * time.Hour}, {cache.ConfusionMatrix, 5 * time.Minute}} {
		item := cache.Item{Kind: step.kind, Scope: "a", Key: cache.KeyOf([]byte("k"))}
		want(t, c, item, "one", "one", cache.Computed)
		now.Add(int64(step.life - time.Second))
		want(t, c, item, "two", "one", cache.Memory)
		now.Add(int64(time.Second))
		want(t, c, item, "three", "three", cache.Computed)
	}
	never := cache.Item{Kind: cache.VulnerabilityPatterns, Key: cache.KeyOf()}
	want(t, c, never, "one", "one", cache.Computed)
	want(t, c, never, "two", "two", cache.Computed)
}

func TestBounds(t *testing.T) {
	c := open(t, cache.Config{Bytes: 1 << 20, MaxValue: 64 << 10})
	for n := range 500 {
		text := strings.Repeat("x", 10_000)
		want(t, c, prediction("a", fmt.Sprint(n)), text, text, cache.Computed)
	}
	eventually(t, "what is too much goes", func() bool { return c.Stats().Bytes <= 1<<20 })
	eventually(t, "entries go with it", func() bool { return c.Stats().Entries <= 1<<20/10_000 })
	if s := c.Stats(); s.Entries < 50 || s.MaxBytes != 1<<20 {
		t.Errorf("%+v", s)
	}
	big := strings.Repeat("x", 64<<10+1)
	for range 2 {
		want(t, c, prediction("a", "big"), big, big, cache.Computed)
	}
	if s := c.Stats(); s.Oversized != 2 {
		t.Errorf("%+v", s)
	}
}

// TestKeepsNoRequests: an entry keeps neither the body that its scope's name was cut from, nor what its value was.
func TestKeepsNoRequests(t *testing.T) {
	c := open(t, cache.Config{})
	body, buffer := new([1 << 20]byte), new([1 << 20]byte)
	copy(body[:], "apv-0001")
	copy(buffer[:], "an answer")
	bodyLives, bufferLives := weak.Make(body), weak.Make(buffer)
	item := cache.Item{Kind: cache.Predictions, Scope: unsafe.String(&body[0], 8), Key: cache.KeyOf(body[:])}
	value, _, err := c.Do(t.Context(), item, func(context.Context) ([]byte, error) { return buffer[:9], nil })
	if err != nil || string(value) != "an answer" || !bytes.Equal(body[:8], []byte("apv-0001")) {
		t.Fatal(err)
	}
	item.Scope = "" // body and buffer are not used below
	eventually(t, "bodies are collected", func() bool {
		runtime.GC()
		return bodyLives.Value() == nil && bufferLives.Value() == nil
	})
	item.Scope = "apv-0001"
	want(t, c, item, "another", "an answer", cache.Memory)
}

func TestRefusesBadConfigs(t *testing.T) {
	for name, c := range map[string]cache.Config{
		"negative size":   {Bytes: -1},
		"unknown kind":    {Lifetimes: map[cache.Kind]time.Duration{99: time.Second}},
		"no URL":          {Redis: "localhost:6379"},
		"unreadable URL":  {Redis: "redis://user:hunter2@host:port/"},
		"bad database":    {Redis: "redis://127.0.0.1/one"},
		"without pushes":  {Redis: "redis://127.0.0.1/?protocol=2"},
		"outbox is a dir": {Redis: "redis://127.0.0.1/", Outbox: t.TempDir()},
	} {
		_, err := cache.New(c)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHitsDoNotAllocate(t *testing.T) {
	c := open(t, cache.Config{})
	item := prediction("apv-1", "k")
	compute := says("one")
	want(t, c, item, "one", "one", cache.Computed)
	if n := testing.AllocsPerRun(1000, func() {
		if _, found := c.Peek(item); !found {
			t.Fatal("gone")
		}
		if _, source, err := c.Do(t.Context(), item, compute); source != cache.Memory || err != nil {
			t.Fatal(source, err)
		}
	}); n > 0.1 { // otter takes a little for its policy now and then
		t.Errorf("%v allocations", n)
	}
}

// eventually waits for something that other goroutines or servers bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	c := open(b, cache.Config{})
	items := fill(b, c)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, found := c.Peek(items[n%len(items)]); !found {
				b.Fatal("gone")
			}
		}
	})
}

func BenchmarkDoHit(b *testing.B) {
	c := open(b, cache.Config{})
	items := fill(b, c)
	compute := says("x")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, source, err := c.Do(b.Context(), items[n%len(items)], compute); source != cache.Memory || err != nil {
				b.Fatal(source, err)
			}
		}
	})
}

func BenchmarkDoMiss(b *testing.B) {
	c := open(b, cache.Config{})
	compute := says(strings.Repeat("x", 2000))
	item := prediction("apv-1", "k")
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		item.Key[0], item.Key[1], item.Key[2] = byte(n), byte(n>>8), byte(n>>16)
		if _, _, err := c.Do(b.Context(), item, compute); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyOf(b *testing.B) {
	diff, rest := bytes.Repeat([]byte("+line\n"), 300), []byte("CVE-2019-10744")
	b.SetBytes(int64(len(diff)))
	b.ReportAllocs()
	for b.Loop() {
		cache.KeyOf(diff, rest, rest)
	}
}

func fill(b *testing.B, c *cache.Cache) []cache.Item {
	var items []cache.Item
	for n := range 1000 {
		item := prediction(fmt.Sprint("apv-", n%50), fmt.Sprint(n))
		ask(b, c, item, strings.Repeat("x", 2000))
		items = append(items, item)
	}
	return items
}
