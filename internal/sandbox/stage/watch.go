package stage

import (
	"context"
	"sync"
	"time"
)

// sample is how often a tree is looked at while no cgroup bounds it, or while it is near a bound.
const sample = 20 * time.Millisecond

// sightings are what the watch saw.
type sightings struct {
	stopped   string // the limit that ended the tree
	cancelled bool   // the tree was killed because ctx ended
	cpu       time.Duration
	rss       int64
}

// watcher looks after one run until it ends.
type watcher struct {
	quit chan struct{}
	once sync.Once
	done sync.WaitGroup
	seen sightings // read after done
}

// end stops the watch and returns what it saw.
func (w *watcher) end() sightings {
	w.once.Do(func() { close(w.quit) })
	w.done.Wait()
	return w.seen
}

// watch kills the tree at its deadline, when ctx ends, and when it has used what it may.
func (p *play) watch(ctx context.Context, process *Process) *watcher {
	w := &watcher{quit: make(chan struct{})}
	w.done.Go(func() {
		deadline := time.NewTimer(p.command.Limits.Wall - time.Since(p.started))
		defer deadline.Stop()
		look := time.NewTimer(time.Millisecond)
		defer look.Stop()
		pause := time.Millisecond
		for {
			select {
			case <-w.quit:
				return
			case <-ctx.Done():
				w.seen.cancelled = true
			case <-deadline.C:
				w.seen.stopped = "wall"
			case <-look.C:
				if w.seen.stopped = p.look(process, &w.seen); w.seen.stopped == "" {
					pause = min(2*pause, sample)
					look.Reset(pause)
					continue
				}
			}
			process.kill()
			return
		}
	})
	return w
}

// look says which limit the tree has reached, if any.
func (p *play) look(process *Process, seen *sightings) string {
	limits := p.command.Limits
	if p.group == nil || !p.host.groups.has("memory") || !p.host.groups.has("cpuacct") {
		use := measureTree(process)
		seen.cpu, seen.rss = max(seen.cpu, use.cpu), max(seen.rss, use.rss)
		if use.rss > limits.Memory {
			return "memory"
		}
	}
	if cpu, ok := p.cpu(); ok {
		seen.cpu = max(seen.cpu, cpu)
	}
	if seen.cpu >= limits.CPU {
		return "cpu"
	}
	if p.group != nil && p.host.groups.has("memory") {
		if p.group.memory(limits.Memory, p.set.tmpfs) > limits.Memory || p.group.oomKills() > 0 {
			return "memory"
		}
	}
	return ""
}
