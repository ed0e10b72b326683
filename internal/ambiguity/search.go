package ambiguity

import (
	"cmp"
	"slices"
)

// Kind says how a matcher's steps grow with a family's size.
type Kind string

// The kinds of a family.
const (
	// Exponential: one word leads from a state back to it in two ways.
	Exponential Kind = "exponential"
	// Polynomial: a word can be shared out in many ways between loops that follow each other.
	Polynomial Kind = "polynomial"
	// Restart: polynomial, and one of the loops is the search itself, which begins anew at every character. Such an
	// expression is harmless where it is anchored.
	Restart Kind = "restart"
)

// Limits bound a search by work, not by time, so that its result doesn't depend on the machine. Zero values stand for
// the defaults.
type Limits struct {
	States   int // of the automaton; 1200
	Work     int // transitions tried; 3,000,000, roughly 0.2 s
	Steps    int // of the matcher that confirms, in all; 12,000,000, roughly 0.3 s
	Families int // to be returned; 8
}

func (l Limits) orDefaults() Limits {
	return Limits{cmp.Or(l.States, 1200), cmp.Or(l.Work, 3_000_000), cmp.Or(l.Steps, 12_000_000), cmp.Or(l.Families, 8)}
}

// Result is what a search found.
type Result struct {
	// Families, exponential ones first, then short ones first.
	Families []Family
	// Complete is false if a limit cut the search short: there may be more.
	Complete bool
	// Dismissed counts ambiguous words of which no text made the matcher slow.
	Dismissed int
	// Approximations names what the automaton couldn't read exactly.
	Approximations []string
}

// Search looks for the families of texts that make the expression slow.
func Search(e *Expr, limits Limits) Result {
	limits = limits.orDefaults()
	result := Result{Approximations: e.Approximations()}
	a := build(e, limits.States)
	if a == nil {
		return result
	}
	s := &search{a: a, work: limits.Work}
	s.prepare()
	s.exponential()
	s.polynomial()
	result.Complete = s.work > 0
	c := &confirmer{prog: compile(e), a: a, steps: limits.Steps, seen: map[string]bool{}}
	slices.SortStableFunc(s.found, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(y.kind.rank(), x.kind.rank()), cmp.Compare(len(x.prefix)+len(x.pump), len(y.prefix)+len(y.pump)))
	})
	for _, found := range s.found {
		if len(result.Families) == limits.Families || c.steps <= 0 {
			result.Complete = false
			break
		}
		switch f, verdict := c.confirm(found); verdict {
		case slow:
			result.Families = append(result.Families, f)
		case harmless:
			result.Dismissed++
		}
	}
	sortFamilies(result.Families)
	return result
}

func (k Kind) rank() int { return slices.Index([]Kind{Restart, Polynomial, Exponential}, k) }

func sortFamilies(families []Family) {
	slices.SortStableFunc(families, func(x, y Family) int {
		return cmp.Or(cmp.Compare(y.Kind.rank(), x.Kind.rank()), cmp.Compare(x.length(), y.length()))
	})
}

// candidate is an ambiguous word: each character as the set of those that do.
type candidate struct {
	kind         Kind
	prefix, pump []bitset
}

// enough bounds the words that are kept for one part of an expression.
const enough = 24

// search is the state of one search. Components are numbered against the direction of edges: an edge between two
// components leads to the lower number.
type search struct {
	a       *automaton
	work    int // transitions that may still be tried
	comp    []int
	members [][]int // the states of each component; those without a loop are empty
	prefix  [][]bitset
	found   []candidate
	into    map[int]bitset // states that lead to a component
}

// spend takes from the budget and tells whether there is any left.
func (s *search) spend(n int) bool {
	s.work -= n
	return s.work > 0
}

func (s *search) prepare() {
	next := make([][]int, len(s.a.out))
	for i, edges := range s.a.out {
		for _, e := range edges {
			next[i] = append(next[i], e.to)
		}
	}
	var count int
	s.comp, count = components(next)
	s.members = make([][]int, count)
	for i, c := range s.comp {
		s.members[c] = append(s.members[c], i)
	}
	for c, states := range s.members {
		if len(states) == 1 && !slices.Contains(next[states[0]], states[0]) {
			s.members[c] = nil
		}
	}
	s.into = map[int]bitset{}
	s.reach()
}

// reach finds the shortest word to every state, without the search's own loop where that can be.
func (s *search) reach() {
	s.prefix = make([][]bitset, len(s.a.out))
	known := make([]bool, len(s.a.out))
	known[0] = true
	for _, i := range s.a.from {
		known[i] = true
	}
	s.spread([]int{0}, known)
	for _, i := range s.a.from {
		s.prefix[i] = []bitset{s.a.sets[i]}
	}
	s.spread(slices.Clone(s.a.from), known)
	for _, i := range s.a.from {
		s.prefix[i] = nil // the search begins at once
	}
}

func (s *search) spread(queue []int, known []bool) {
	for ; len(queue) > 0; queue = queue[1:] {
		i := queue[0]
		for _, e := range s.a.out[i] {
			if !known[e.to] {
				known[e.to] = true
				s.prefix[e.to] = append(slices.Clip(s.prefix[i]), s.a.sets[e.to])
				queue = append(queue, e.to)
			}
		}
	}
}

// components finds the strongly connected components (Tarjan, without recursion).
func components(next [][]int) (comp []int, count int) {
	const unseen = -1
	n := len(next)
	comp, low, order, at := make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i := range comp {
		comp[i], order[i] = unseen, unseen
	}
	var stack, path []int
	clock := 0
	for root := range next {
		if order[root] != unseen {
			continue
		}
		path = append(path[:0], root)
		for len(path) > 0 {
			v := path[len(path)-1]
			if order[v] == unseen {
				order[v], low[v] = clock, clock
				clock++
				stack = append(stack, v)
			}
			if at[v] < len(next[v]) {
				w := next[v][at[v]]
				at[v]++
				if order[w] == unseen {
					path = append(path, w)
				} else if comp[w] == unseen {
					low[v] = min(low[v], order[w])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				parent := path[len(path)-1]
				low[parent] = min(low[parent], low[v])
			}
			if low[v] == order[v] {
				for w := unseen; w != v; {
					w = stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					comp[w] = count
				}
				count++
			}
		}
	}
	return comp, count
}

// exponential looks in each component for a state that one word leads back to in two ways.
func (s *search) exponential() {
	for c, states := range s.members {
		if len(states) == 0 || slices.Contains(s.a.from, states[0]) {
			continue
		}
		pairs := &pairSearch{search: s, comp: c, dead: map[[2]int]bool{}}
		for _, p := range states {
			pairs.diverge(p)
		}
	}
}

// pairSearch walks two ways through one component with the same word.
type pairSearch struct {
	*search
	comp  int
	dead  map[[2]int]bool // pairs that never meet, or whose meeting is known
	count int
}

func (s *pairSearch) diverge(p int) {
	out := s.a.out[p]
	for i, e := range out {
		if s.comp != s.search.comp[e.to] {
			continue
		}
		if e.double {
			s.report(p, []bitset{s.a.sets[e.to]}, e.to)
		}
		for _, f := range out[i+1:] {
			if s.count >= enough || !s.spend(1) {
				return
			}
			if s.comp == s.search.comp[f.to] && s.a.sets[e.to].meets(s.a.sets[f.to]) {
				s.meet(p, e.to, f.to)
			}
		}
	}
}

// report keeps the word that leads from p to q in two ways and then back.
func (s *pairSearch) report(p int, word []bitset, q int) {
	back, ok := s.path(q, p)
	if !ok {
		return
	}
	s.count++
	s.found = append(s.found, candidate{kind: Exponential, prefix: s.prefix[p], pump: append(word, back...)})
}

// path is the shortest word from one state to another of the same component.
func (s *search) path(from, to int) ([]bitset, bool) {
	words := map[int][]bitset{from: nil}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		i := queue[0]
		if i == to {
			return words[i], true
		}
		for _, e := range s.a.out[i] {
			if !s.spend(1) {
				return nil, false
			}
			if _, known := words[e.to]; !known && s.comp[e.to] == s.comp[from] {
				words[e.to] = append(slices.Clip(words[i]), s.a.sets[e.to])
				queue = append(queue, e.to)
			}
		}
	}
	return nil, false
}

// meet follows two ways that left p apart until they are at one state again.
func (s *pairSearch) meet(p, q, r int) {
	type step struct {
		pair   [2]int
		before int
		read   bitset
	}
	start := ordered(q, r)
	if s.dead[start] {
		return
	}
	walk := []step{{start, -1, s.a.sets[q].and(s.a.sets[r])}}
	seen := map[[2]int]bool{start: true}
	for i := 0; i < len(walk); i++ {
		x, y := walk[i].pair[0], walk[i].pair[1]
		for _, e := range s.a.out[x] {
			for _, f := range s.a.out[y] {
				if !s.spend(1) {
					return
				}
				pair := ordered(e.to, f.to)
				if s.search.comp[e.to] != s.comp || s.search.comp[f.to] != s.comp || seen[pair] || s.dead[pair] {
					continue
				}
				read := s.a.sets[e.to].and(s.a.sets[f.to])
				if read.empty() {
					continue
				}
				seen[pair] = true
				walk = append(walk, step{pair, i, read})
				if e.to != f.to {
					continue
				}
				var word []bitset
				for k := len(walk) - 1; k >= 0; k = walk[k].before {
					word = append(word, walk[k].read)
				}
				slices.Reverse(word)
				s.report(p, word, e.to)
				s.dead[start] = true
				return
			}
		}
	}
	for pair := range seen {
		s.dead[pair] = true
	}
}

func ordered(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }
