package cache

import (
	"sync/atomic"
)

// Generations make invalidation cheap: nothing is searched for or deleted, an entry simply stops counting.
//
// Every scope has a slot, and every slot a counter; one more slot stands for everything. An entry carries the counters
// as they were before its value was computed, and is valid while they are the same.
//
// Memory goes by versions, which live in this process and change on every invalidation that it makes or hears of. Redis
// goes by the table, which lives in Redis: a hash with one counter for each slot that was ever invalidated, under a
// root. The root is a random number that whoever finds none there draws, mixed with the id of the run of the Redis
// server: when the hash is lost (flushed, evicted), or a server restarts from an old snapshot or a replica takes its
// place, in which invalidations may be missing, all that Redis holds stops counting at once.
//
// The order of reads and writes matters. Who changes the table does so before the versions; who reads takes the stamp
// before the table. So a stamp that is new implies a table that is as new, and a value that was accepted under an old
// table lands in memory under an old stamp, where nobody will take it.
type generations struct {
	versions [slots + 1]atomic.Uint64
	table    atomic.Pointer[table] // nil: Redis is not to be trusted with anything
}

// stamp is the state of the versions that an entry depends on.
type stamp struct{ all, slot uint64 }

// table is what Redis says of generations, as of one moment. It is never changed.
type table struct {
	root     [16]byte
	counters [slots + 1]uint64
}

func newGenerations() *generations { return &generations{} }

func (g *generations) stamp(slot uint16) stamp {
	return stamp{all: g.versions[allSlots].Load(), slot: g.versions[slot].Load()}
}

func (g *generations) bump(slot uint16) { g.versions[slot].Add(1) }

// learn replaces the table, and makes invalid in memory what others have invalidated since the last one. Only one
// goroutine may call it at a time.
func (g *generations) learn(next *table) {
	last := g.table.Load()
	g.table.Store(next)
	if last == nil || next == nil || last.root != next.root {
		// While there was no table, or one of another root, invalidations may have been missed.
		if last != next {
			g.bump(allSlots)
		}
		return
	}
	for slot := range next.counters {
		if next.counters[slot] != last.counters[slot] {
			g.bump(uint16(slot))
		}
	}
}

// told notes that this instance raised a counter in Redis to count. The versions of this instance were raised before,
// and nothing was taken from Redis meanwhile, so they rise again only if another instance raised the counter too.
func (g *generations) told(slot uint16, count uint64) {
	last := g.table.Load()
	if last == nil {
		return
	}
	next := *last
	next.counters[slot] = count
	g.table.Store(&next)
	if count != last.counters[slot]+1 {
		g.bump(slot)
	}
}
