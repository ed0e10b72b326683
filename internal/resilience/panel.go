// Package resilience keeps what the service leans on (databases, models, registries, receivers) from dragging it down.
//
// In goes a call to something that may fail, hang or be swamped; out comes its answer, or at once a RefusalError. A Guard has a
// breaker (after so many failures in a row nothing is tried for a while, then one call to see), a bound on the time of a
// call and on the calls at once, and retries where a call had no effect. A Line makes what costs CPU wait its turn, and
// turns away early what would wait too long. A Panel makes guards, tells their states, and says when one changes.
//
// The package knows nothing of what is guarded: whoever makes a Guard says which errors are the fault of what stands
// behind it. Policies are those of failsafe-go.
package resilience

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The states of a breaker.
const (
	Closed   = "closed"    // calls go through
	Open     = "open"      // none does
	HalfOpen = "half-open" // one does, to see
)

// State is how a guard's breaker is.
type State struct {
	Name  string
	State string
	Since time.Time
	// Failures are those in a row until now.
	Failures uint
	// Opened counts how often the breaker opened after calls had gone through.
	Opened uint64
	// LastError is of the last failure, also when all is well again.
	LastError   string
	LastErrorAt time.Time
	Foreign     bool
}

// Change is a breaker going from one state to another.
type Change struct {
	Name  string    `json:"name"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	At    time.Time `json:"at"`
	Error string    `json:"last_error,omitempty"`
}

// Panel makes guards and knows how they are.
type Panel struct {
	changed func(Change)

	mu     sync.Mutex // guards what follows
	guards []*Guard
	groups []*Group
}

// NewPanel makes a Panel. changed, when set, hears of every change of a breaker, in the order of each; it must not wait, and
// must not ask the guard.
func NewPanel(changed func(Change)) *Panel { return &Panel{changed: changed} }

func (p *Panel) tell(c Change) {
	if p.changed != nil {
		p.changed(c)
	}
}

// Guard makes a guard whose state the panel shows.
func (p *Panel) Guard(c Config) *Guard {
	g := newGuard(p, c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guards = append(p.guards, g)
	return g
}

// States are the states of all guards: first of those made by Guard, in their order, then of the groups, by name. Of a
// group whose names strangers choose (Config.Foreign), only breakers that aren't closed are shown, the newest fifty.
func (p *Panel) States() []State {
	p.mu.Lock()
	guards, groups := slices.Clone(p.guards), slices.Clone(p.groups)
	p.mu.Unlock()
	var list []State
	for _, g := range guards {
		list = append(list, g.State())
	}
	for _, group := range groups {
		list = append(list, group.states()...)
	}
	return list
}

// Group is guards of one kind, made as their names come up: one for each host, or each ecosystem.
type Group struct {
	config Config
	panel  *Panel
	most   int

	mu     sync.Mutex // guards what follows
	guards map[string]*Guard
}

// Group makes a group of at most so many guards; the one that was used longest ago makes room for another. c.Name and the
// name of each are joined by a slash.
func (p *Panel) Group(c Config, most int) *Group {
	g := &Group{config: c, panel: p, most: most, guards: map[string]*Guard{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = append(p.groups, g)
	return g
}

// Guard returns the guard of a name.
func (g *Group) Guard(name string) *Guard {
	g.mu.Lock()
	defer g.mu.Unlock()
	if found := g.guards[name]; found != nil {
		return found
	}
	if len(g.guards) >= g.most {
		oldest, at := "", time.Time{}
		for name, guard := range g.guards {
			guard.core.mu.Lock()
			used := guard.core.used
			guard.core.mu.Unlock()
			if oldest == "" || used.Before(at) {
				oldest, at = name, used
			}
		}
		delete(g.guards, oldest)
	}
	c := g.config
	c.Name += "/" + name
	made := newGuard(g.panel, c)
	g.guards[name] = made
	return made
}

// mostShown bounds what States says of guards that strangers name.
const mostShown = 50

func (g *Group) states() []State {
	g.mu.Lock()
	list := make([]State, 0, len(g.guards))
	for _, guard := range g.guards {
		if s := guard.State(); !s.Foreign || s.State != Closed {
			list = append(list, s)
		}
	}
	g.mu.Unlock()
	if len(list) > mostShown {
		slices.SortFunc(list, func(a, b State) int { return cmp.Or(b.Since.Compare(a.Since), strings.Compare(a.Name, b.Name)) })
		list = list[:mostShown]
	}
	slices.SortFunc(list, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return list
}
