package jobs

import (
	"cmp"
	"slices"
	"time"

	"crisol/internal/store"
)

// fair says whose turn it is. A client that has asked for much waits behind its own requests only: next is the client
// with the fewest running trials for its weight, and among those the one that was served least, by start-time fair
// queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996). What runs is known across processes; what was
// served is counted in each.
type fair struct {
	weight func(client string) float64 // nil weighs all alike
	served map[string]float64          // the trials of each client that waits or runs, over its weight, above its start
	level  float64                     // what whoever comes anew starts from: the start of the latest turn
}

// load is what there is to do: waiting rows, the oldest first, and how many trials of each client run.
type load struct {
	waiting []store.Row
	running map[string]int
}

// next chooses from the waiting rows for which ready holds. It returns nil where there is none.
func (f *fair) next(l load, ready func(store.Row) bool) *store.Row {
	var best *store.Row
	seen := map[string]bool{}
	priority := -1
	for _, row := range slices.SortedStableFunc(slices.Values(l.waiting), func(a, b store.Row) int { return cmp.Compare(a.Priority, b.Priority) }) {
		if best != nil && row.Priority != priority {
			break
		}
		if !ready(row) || seen[row.Client] {
			continue
		}
		seen[row.Client] = true // rows of one client come in their order
		if best == nil || f.before(l, row.Client, best.Client) {
			best, priority = &row, row.Priority
		}
	}
	return best
}

func (f *fair) before(l load, a, b string) bool {
	if c := cmp.Compare(float64(l.running[a])/f.weightOf(a), float64(l.running[b])/f.weightOf(b)); c != 0 {
		return c < 0
	}
	return f.start(a) < f.start(b)
}

func (f *fair) weightOf(client string) float64 {
	if f.weight == nil {
		return 1
	}
	return max(f.weight(client), 1e-6)
}

func (f *fair) start(client string) float64 { return max(f.served[client], f.level) }

// serve counts a turn, and forgets clients that neither wait nor run.
func (f *fair) serve(l load, client string) {
	present := map[string]bool{client: true}
	for _, row := range l.waiting {
		present[row.Client] = true
	}
	kept := map[string]float64{}
	for c, n := range f.served {
		if present[c] || l.running[c] > 0 {
			kept[c] = n
		}
	}
	f.level = f.start(client)
	kept[client] = f.level + 1/f.weightOf(client)
	f.served = kept
}

// admits says whether a client with so many unfinished validations may have one more. An eighth of the queue is out of
// the reach of any one client that can be told apart, so that none can fill it alone.
func admits(client string, unfinished, bound int) bool {
	return client == "" || unfinished < bound-bound/8
}

// rests is how long a validation still waits after a failed attempt. Attempts start at least a pause apart.
func rests(row store.Row, now time.Time, backoff func(int) time.Duration) time.Duration {
	if row.Attempts == 0 || row.StartedAt.After(now) { // or the clock was set back: who knows since when it rests
		return 0
	}
	return row.StartedAt.Add(backoff(row.Attempts)).Sub(now)
}
