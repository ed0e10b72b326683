package cache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"crisol"
	"crisol/internal/resilience"
)

// The keeper tells Redis what was invalidated here and learns what was invalidated elsewhere. It alone changes the
// table, so that an older state never follows a younger one. It works in rounds: when something is to be told, when
// Redis pushes that the table has changed (the table is read with client-side caching on, which makes the server do
// that), when a read failed, and every Config.Beat to be sure.

// armFor is how long rueidis may keep the tracked reading of the table; the value itself is not used.
const armFor = 10 * time.Minute

const (
	rootField = "root"
	allField  = "all"
)

// ticket is one invalidation that Redis is to be told of.
type ticket struct {
	slot uint16
	told chan bool // nil where nobody waits
}

// invalidate makes a slot invalid here at once and tells Redis. It waits, for a bounded time, if Redis was there a
// moment ago. What could not be told is in the outbox when it returns.
func (r *remote) invalidate(ctx context.Context, slot uint16) (told bool) {
	// In this order: a stamp of after the bump comes with a slot that is known as untold.
	r.untold[slot].Add(1)
	r.gens.bump(slot)
	t := ticket{slot: slot, told: make(chan bool, 1)}
	r.mu.Lock()
	r.tickets = append(r.tickets, t)
	r.mu.Unlock()
	if r.current.Load() {
		r.nudge()
		timer := time.NewTimer(r.Tell)
		defer timer.Stop()
		select {
		case told = <-t.told:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if !told {
		r.saveOutbox()
	}
	return told
}

// nudge asks for a round.
func (r *remote) nudge() {
	select {
	case r.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// keep runs rounds until ctx is done.
func (r *remote) keep(ctx context.Context) {
	for {
		err := r.round(ctx)
		if ctx.Err() != nil {
			return
		}
		wake := r.wake
		if err != nil {
			r.current.Store(false)
			wake = nil // not sooner than the next beat
		}
		r.report(ctx, err)
		// Whether Redis may be read again is found out here too: requests may be few.
		if client := r.client.Load(); client != nil && err == nil && r.Guard.State().State != resilience.Closed {
			r.read(ctx, *client, r.Prefix+":probe")
		}
		timer := time.NewTimer(r.Beat)
		select {
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// report logs when Redis goes and when it comes back, not each time that it is still away.
func (r *remote) report(ctx context.Context, err error) {
	state := "ok"
	if err != nil {
		state = err.Error()
	}
	r.mu.Lock()
	last := r.state
	r.state = state
	r.mu.Unlock()
	switch {
	case err == nil && last != "ok":
		r.Logger.InfoContext(ctx, "cache: in touch with Redis")
	case err != nil && (last == "ok" || last == ""):
		r.Logger.WarnContext(ctx, "cache: Redis is of no use at the moment; answers are computed", "error", err)
	}
}

func (r *remote) round(ctx context.Context) error {
	client, err := r.connect()
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, answerFor)
	defer cancel()
	if err := r.tell(within, client); err != nil {
		return fmt.Errorf("tell an invalidation: %w", err)
	}
	return r.refresh(within, client)
}

// connect makes the client at the first success; from then on rueidis connects anew by itself.
func (r *remote) connect() (rueidis.Client, error) {
	if client := r.client.Load(); client != nil {
		return *client, nil
	}
	client, err := rueidis.NewClient(r.options)
	if err != nil {
		return nil, err
	}
	r.client.Store(&client)
	return client, nil
}

func (r *remote) tableKey() string { return r.Prefix + ":generations" }

// tell raises the counters of what was invalidated here.
func (r *remote) tell(ctx context.Context, client rueidis.Client) error {
	r.mu.Lock()
	tickets := r.tickets
	r.tickets = nil
	r.mu.Unlock()
	if len(tickets) == 0 {
		return nil
	}
	var failed error
	counts := map[uint16]uint64{} // of slots that Redis was told of in this round
	var left []ticket
	for _, t := range tickets {
		if _, known := counts[t.slot]; !known && failed == nil {
			count, err := client.Do(ctx, client.B().Hincrby().Key(r.tableKey()).Field(field(t.slot)).Increment(1).Build()).AsUint64()
			if isFull(err) {
				err = r.forgetAll(ctx, client, err)
			}
			if failed = err; err == nil {
				counts[t.slot] = count
				r.gens.told(t.slot, count)
			}
		}
		_, told := counts[t.slot]
		if told {
			r.untold[t.slot].Add(-1)
		} else {
			left = append(left, ticket{slot: t.slot})
		}
		if t.told != nil {
			t.told <- told
		}
	}
	r.mu.Lock()
	r.tickets = append(left, r.tickets...)
	r.mu.Unlock()
	r.saveOutbox()
	return failed
}

// forgetAll is how a Redis that has no room for a counter is told of an invalidation all the same: deleting is always
// possible, and without the table nothing counts for anybody. If there was none to delete, nobody has heard of it.
func (r *remote) forgetAll(ctx context.Context, client rueidis.Client, full error) error {
	n, err := client.Do(ctx, client.B().Del().Key(r.tableKey()).Build()).AsInt64()
	if err != nil {
		return err
	}
	if n == 0 {
		return full
	}
	r.gens.learn(nil)
	return nil
}

func isFull(err error) bool {
	answer, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(answer.Error(), "OOM")
}

func field(slot uint16) string {
	if slot == allSlots {
		return allField
	}
	return strconv.Itoa(int(slot))
}

// refresh learns the table as it is now.
func (r *remote) refresh(ctx context.Context, client rueidis.Client) error {
	asked := r.Now().UnixNano()
	// From this reading on, the server pushes when the table changes. rueidis answers it itself while nothing was pushed.
	// With a static lifetime it goes out without MULTI, within which a full Redis would refuse it.
	if err := client.DoCache(ctx, client.B().Hgetall().Key(r.tableKey()).Cache().ToStaticTTL(), armFor).Error(); err != nil {
		return fmt.Errorf("track generations: %w", err)
	}
	next, err := r.readTable(ctx, client)
	if err != nil { // the table may be as it was: what was learned of it stays
		return fmt.Errorf("read generations: %w", err)
	}
	if next == nil {
		if next, err = r.plant(ctx, client); err != nil {
			r.gens.learn(nil)
			return fmt.Errorf("begin generations: %w", err)
		}
	}
	r.gens.learn(next)
	r.confirmed.Store(asked)
	r.current.Store(true)
	return nil
}

// plant begins a table where there is none. If others do so at the same moment, the first one's root holds.
func (r *remote) plant(ctx context.Context, client rueidis.Client) (*table, error) {
	root := client.B().Hsetnx().Key(r.tableKey()).Field(rootField).Value(rand.Text()).Build()
	if err := client.Do(ctx, root).Error(); err != nil {
		return nil, err
	}
	next, err := r.readTable(ctx, client)
	if err == nil && next == nil {
		err = errors.New("it does not keep what it is given")
	}
	return next, err
}

// readTable reads the table and the id of the server's run, and nil where there is no table.
func (r *remote) readTable(ctx context.Context, client rueidis.Client) (*table, error) {
	answers := client.DoMulti(ctx, client.B().Info().Section("server").Build(), client.B().Hgetall().Key(r.tableKey()).Build())
	info, err := answers[0].ToString()
	if err != nil {
		return nil, err
	}
	_, after, known := strings.Cut(info, "run_id:")
	run, _, _ := strings.Cut(after, "\r\n")
	if !known || run == "" {
		return nil, errors.New("INFO server tells no run_id")
	}
	fields, err := answers[1].AsStrMap()
	if err != nil || fields[rootField] == "" {
		return nil, err
	}
	return parseTable(fields, run)
}

func parseTable(fields map[string]string, run string) (*table, error) {
	t := &table{}
	root := sha256.Sum256([]byte(fields[rootField] + "\n" + run))
	copy(t.root[:], root[:])
	for name, text := range fields {
		if name == rootField {
			continue
		}
		slot, err := parseField(name)
		if err != nil {
			return nil, err
		}
		if t.counters[slot], err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("generation of %s: %w", name, err)
		}
	}
	return t, nil
}

func parseField(name string) (uint16, error) {
	if name == allField {
		return allSlots, nil
	}
	slot, err := strconv.ParseUint(name, 10, 16)
	if err != nil || slot >= slots {
		return 0, fmt.Errorf("%q is no slot of generations", name)
	}
	return uint16(slot), nil
}

// The outbox is a text file: a line that says what it is, then one slot a line.
const outboxHead = "crisol cache outbox 1"

// saveOutbox writes the slots of which Redis was not told yet. It is written without fsync: it has to survive the
// process, not the machine, whose restart empties the memory of this instance but not of Redis. A file that can't be
// written is logged: it is no reason to refuse an invalidation that holds here.
func (r *remote) saveOutbox() {
	if r.Outbox == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var text bytes.Buffer
	text.WriteString(outboxHead + "\n")
	empty := true
	for slot := range r.untold {
		if r.untold[slot].Load() > 0 {
			text.WriteString(field(uint16(slot)) + "\n")
			empty = false
		}
	}
	var err error
	if empty {
		if err = os.Remove(r.Outbox); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else if err = os.WriteFile(r.Outbox+".new", text.Bytes(), 0o600); err == nil {
		err = os.Rename(r.Outbox+".new", r.Outbox)
	}
	if err != nil {
		r.Logger.Error("cache: invalidations that Redis does not know yet would not survive this process", "error", err)
	}
}

// loadOutbox takes up what an earlier process could not tell.
func (r *remote) loadOutbox() error {
	if r.Outbox == "" {
		return nil
	}
	content, err := os.ReadFile(r.Outbox)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "cache: read outbox: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	if !lines.Scan() || lines.Text() != outboxHead {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "cache: %s is no outbox", r.Outbox), "remove it, then invalidate the whole cache")
	}
	for lines.Scan() {
		slot, err := parseField(lines.Text())
		if err != nil {
			return crisol.WithHint(crisol.Errorf(crisol.KindInput, "cache: %s: %w", r.Outbox, err), "remove it, then invalidate the whole cache")
		}
		r.untold[slot].Add(1)
		r.tickets = append(r.tickets, ticket{slot: slot})
	}
	return nil
}
