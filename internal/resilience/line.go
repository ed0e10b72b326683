package resilience

import (
	"cmp"
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"
)

// LineConfig is what a Line is made of. The zero value is the default.
type LineConfig struct {
	// Places is how many are served at once; 0 means one a core.
	Places int
	// Patience is how long one waits while the line empties now and then: a burst. 0 means 1 s.
	Patience time.Duration
	// Target is how long one waits while the line has not been empty for Patience: more comes in than is served, and
	// waiting longer would only make all later ones late. 0 means 500 ms.
	Target time.Duration
	// Most is how many may wait; 0 means 1000.
	Most int
}

// Line makes those who want to be served wait for their turn, the first come first, and turns them away by the time that
// they waited: controlled delay (Nichols and Jacobson: "Controlling Queue Delay", ACM Queue 10(5), 2012) in the form that
// servers use (Maurer: "Fail at Scale", ACM Queue 13(8), 2015). It is safe for concurrent use.
type Line struct {
	LineConfig

	mu      sync.Mutex // guards what follows
	serving int
	waiting list.List // of *waiter
	empty   time.Time // when nobody waited last
	stats   LineStats
}

type waiter struct{ turn chan struct{} } // closed when it is its turn

// LineStats is what a Line did since it was made, and how it is.
type LineStats struct {
	Serving, Waiting int
	Served, Shed     uint64
	// Waited is the sum of the waits of those who were served.
	Waited time.Duration
}

// NewLine makes a Line in which nobody waits.
func NewLine(c LineConfig) *Line {
	c.Places = cmp.Or(c.Places, runtime.GOMAXPROCS(0))
	c.Patience, c.Target, c.Most = cmp.Or(c.Patience, time.Second), cmp.Or(c.Target, 500*time.Millisecond), cmp.Or(c.Most, 1000)
	return &Line{LineConfig: c, empty: time.Now()}
}

// shedFor is when somebody who was turned away may come again.
const shedFor = time.Second

// Enter waits for a place. leave gives it back; without a place, the error is a RefusalError (ErrBusy), or that of ctx.
func (l *Line) Enter(ctx context.Context) (leave func(), err error) {
	w, patience, err := l.join()
	if err != nil {
		return nil, err
	}
	if w == nil {
		return l.leave, nil
	}
	begun := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	left := false
	select {
	case <-w.Value.(*waiter).turn:
		return l.served(time.Since(begun)), nil
	case <-timer.C:
	case <-ctx.Done():
		left = true
	}
	switch {
	case !l.giveUp(w, left): // the turn came at that moment
		return l.served(time.Since(begun)), nil
	case left:
		return nil, ctx.Err()
	}
	return nil, refuse(ErrBusy, shedFor, "more is asked of this instance than it can do: no turn within %s", patience)
}

// join takes a place, and then there is no element; or it takes the end of the line.
func (l *Line) join() (*list.Element, time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.waiting.Len() == 0 {
		l.empty = now
		if l.serving < l.Places {
			l.serving++
			l.stats.Served++
			return nil, 0, nil
		}
	}
	if l.waiting.Len() >= l.Most {
		l.stats.Shed++
		return nil, 0, refuse(ErrBusy, shedFor, "more is asked of this instance than it can do: %d wait already", l.Most)
	}
	patience := l.Patience
	if now.Sub(l.empty) > l.Patience {
		patience = l.Target
	}
	return l.waiting.PushBack(&waiter{make(chan struct{})}), patience, nil
}

func (l *Line) served(waited time.Duration) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Served++
	l.stats.Waited += waited
	return l.leave
}

// giveUp takes a waiter out of the line, unless its turn has come.
func (l *Line) giveUp(e *list.Element, left bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-e.Value.(*waiter).turn:
		return false
	default:
	}
	l.waiting.Remove(e)
	if !left {
		l.stats.Shed++
	}
	return true
}

// leave gives a place to who waits longest.
func (l *Line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.waiting.Front()
	if first == nil {
		l.serving--
		l.empty = time.Now()
		return
	}
	l.waiting.Remove(first)
	close(first.Value.(*waiter).turn)
	if l.waiting.Len() == 0 {
		l.empty = time.Now()
	}
}

// Stats is how the line is.
func (l *Line) Stats() LineStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Serving, s.Waiting = l.serving, l.waiting.Len()
	return s
}
