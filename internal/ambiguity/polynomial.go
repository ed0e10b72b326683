package ambiguity

import "slices"

// polynomial looks for two loops, one after the other, that go round with one word which also leads from the first to
// the second. Both in one component would be exponential, so only pairs of components are looked at.
func (s *search) polynomial() {
	for c, states := range s.members {
		if len(states) == 0 {
			continue
		}
		after := s.after(states)
		kind := Polynomial
		if slices.Contains(s.a.from, states[0]) {
			kind = Restart
		}
		kept := len(s.found) + 4*enough
		for d := c - 1; d >= 0 && len(s.found) < kept; d-- {
			if len(s.members[d]) > 0 && after[d] {
				s.loops(kind, c, d)
			}
		}
	}
}

// after tells which components can be reached from some states.
func (s *search) after(states []int) []bool {
	reached := make([]bool, len(s.members))
	known := make([]bool, len(s.a.out))
	for queue := slices.Clone(states); len(queue) > 0; queue = queue[1:] {
		for _, e := range s.a.out[queue[0]] {
			if !s.spend(1) {
				return reached
			}
			if !known[e.to] {
				known[e.to] = true
				reached[s.comp[e.to]] = true
				queue = append(queue, e.to)
			}
		}
	}
	return reached
}

// loops finds the pairs of states of two components that go round together, and for each kind of such round a word.
func (s *search) loops(kind Kind, c, d int) {
	left, right := s.members[c], s.members[d]
	if !s.spend(len(left) * len(right)) {
		return
	}
	index := make(map[int]int, len(left)+len(right))
	for i, state := range left {
		index[state] = i
	}
	for i, state := range right {
		index[state] = i
	}
	next := make([][]int, len(left)*len(right))
	for i, p := range left {
		for j, q := range right {
			if next[i*len(right)+j] = s.together(p, q, index, len(right)); s.work <= 0 {
				return
			}
		}
	}
	s.rounds(kind, left, right, next)
}

func (s *search) together(p, q int, index map[int]int, width int) []int {
	var next []int
	for _, e := range s.a.out[p] {
		for _, f := range s.a.out[q] {
			if !s.spend(1) {
				return nil
			}
			if s.comp[e.to] == s.comp[p] && s.comp[f.to] == s.comp[q] && s.a.sets[e.to].meets(s.a.sets[f.to]) {
				next = append(next, index[e.to]*width+index[f.to])
			}
		}
	}
	return next
}

func (s *search) rounds(kind Kind, left, right []int, next [][]int) {
	comp, count := components(next)
	tried := make([]int, count)
	for v := range next {
		round := slices.ContainsFunc(next[v], func(w int) bool { return comp[w] == comp[v] })
		// One pair of a round is as good as any, but another may give a shorter word.
		if !round || tried[comp[v]] >= 2 || s.work <= 0 {
			continue
		}
		tried[comp[v]]++
		p, q := left[v/len(right)], right[v%len(right)]
		if word, ok := s.shared(p, q); ok {
			s.found = append(s.found, candidate{kind: kind, prefix: s.prefix[p], pump: word})
		}
	}
}

// shared finds a word that leads from p to p, from p to q and from q to q.
func (s *search) shared(p, q int) ([]bitset, bool) {
	type step struct {
		at     [3]int
		before int
		read   bitset
	}
	into := s.leadsTo(s.comp[q])
	walk := []step{{at: [3]int{p, p, q}, before: -1}}
	goal := [3]int{p, q, q}
	seen := map[[3]int]bool{walk[0].at: true}
	for i := 0; i < len(walk); i++ {
		at := walk[i].at
		for _, e := range s.a.out[at[0]] {
			if s.comp[e.to] != s.comp[p] {
				continue
			}
			for _, f := range s.a.out[at[2]] {
				if !s.spend(1) {
					return nil, false
				}
				if s.comp[f.to] != s.comp[q] || !s.a.sets[e.to].meets(s.a.sets[f.to]) {
					continue
				}
				outer := s.a.sets[e.to].and(s.a.sets[f.to])
				for _, g := range s.a.out[at[1]] {
					to := [3]int{e.to, g.to, f.to}
					if !s.spend(1) {
						return nil, false
					}
					if !into.has(g.to) || seen[to] || !outer.meets(s.a.sets[g.to]) {
						continue
					}
					seen[to] = true
					walk = append(walk, step{to, i, outer.and(s.a.sets[g.to])})
					if to != goal {
						continue
					}
					var word []bitset
					for k := len(walk) - 1; k > 0; k = walk[k].before {
						word = append(word, walk[k].read)
					}
					slices.Reverse(word)
					return word, true
				}
			}
		}
	}
	return nil, false
}

// leadsTo returns the states from which a component can be reached.
func (s *search) leadsTo(comp int) bitset {
	if known, ok := s.into[comp]; ok {
		return known
	}
	// Components are numbered against the edges, so one pass over them in order settles all.
	leads := newBitset(len(s.a.out))
	byComp := make([][]int, len(s.members))
	for i, c := range s.comp {
		byComp[c] = append(byComp[c], i)
	}
	for c := comp; c < len(byComp); c++ {
		reaches := c == comp
		for _, i := range byComp[c] {
			for _, e := range s.a.out[i] {
				s.spend(1)
				reaches = reaches || leads.has(e.to)
			}
		}
		if reaches {
			for _, i := range byComp[c] {
				leads.add(i)
			}
		}
	}
	s.into[comp] = leads
	return leads
}
