package corpus

import (
	"context"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"crisol/internal/corpus/mutate"
)

// operatorsOf lists the operators. The first three come first for every scenario, because what they show, the fix and
// its minimal part, is what the others are made from. The others take their turns in an order of the scenario's own, so
// that few candidates a scenario still are of all kinds together. For no subject in particular it is the order of the
// list.
func operatorsOf(o Options, x *subject) []operator {
	first := []operator{
		{name: "official", turns: 2, propose: official},
		{name: "ddmin", turns: mostTests, propose: minimise},
		{name: "handwritten", turns: 8, propose: list(handwritten(o.Handwritten))},
	}
	rest := []operator{
		{name: "dropped_hunk", turns: 1, propose: dropped},
		{name: "one_of", turns: 1, propose: oneOf},
		{name: "adjacent", turns: 1, propose: adjacent},
		{name: "other_vulnerability", turns: 2, propose: others(o.Library)},
		{name: "entry_guard", turns: 2, propose: edited(aroundTarget, classGuards(mutate.EntryGuards))},
		{name: "sink_guard", turns: 2, propose: edited(aroundTarget, classGuards(mutate.SinkGuards))},
		{name: "over_restrictive", turns: 1, propose: edited(onEither, fixed(mutate.Restrictive...))},
		{name: "no_meaning", turns: 1, propose: edited(onEither, fixed(mutate.Inert...))},
	}
	for _, m := range mutate.Mutants {
		rest = append(rest, operator{name: m.Name, turns: 1, edits: true, propose: edited(onFix, fixed(m))})
	}
	for _, m := range mutate.Rewrites {
		rest = append(rest, operator{name: m.Name, turns: 1, edits: true, propose: edited(mostlyOnFix, fixed(m))})
	}
	if x != nil {
		x.shuffle("order", len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	return append(first, rest...)
}

func fixed(all ...mutate.Mutator) func(*subject) []mutate.Mutator {
	return func(*subject) []mutate.Mutator { return all }
}

func classGuards(make func(weakness string) mutate.Mutator) func(*subject) []mutate.Mutator {
	return func(x *subject) []mutate.Mutator { return []mutate.Mutator{make(x.Vulnerability.Type)} }
}

// shuffle permutes n things as the scenario's id and a name determine.
func (x *subject) shuffle(name string, n int, swap func(i, j int)) {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(x.ID + "\n" + name))
	rand.New(rand.NewPCG(sum.Sum64(), 1)).Shuffle(n, swap) //nolint:gosec // an order, no secret
}

// onlyTarget is the parent of a candidate that was made from the vulnerable files alone.
const onlyTarget = "target"

// place says which state is edited: the target's or the fix's.
type place struct {
	state  sources // the touched files of that state
	parent string
	lines  map[string][]int // where edits are wanted
}

// onFix edits what was added by what came out fixed.
func onFix(x *subject) []place {
	if !x.proven {
		return nil
	}
	return []place{{x.reduced, x.id(x.reduced), addedLines(x.base, x.reduced)}}
}

// onTarget edits the vulnerable files around what the fix changes.
func onTarget(x *subject) []place {
	state, lines := sources{}, map[string][]int{}
	for _, e := range editsBetween(x.base, x.reduced) {
		if text, ok := x.base[e.path]; ok {
			state[e.path] = text
			for line := e.at; line < e.at+max(1, e.removed); line++ {
				lines[e.path] = append(lines[e.path], line)
			}
		}
	}
	return []place{{state, onlyTarget, lines}}
}

// aroundTarget edits the vulnerable files around what the fix changes, and then anywhere.
func aroundTarget(x *subject) []place {
	near := onTarget(x)[0]
	return []place{near, near, near, {near.state, onlyTarget, nil}}
}

// onEither edits the target and the fix in turn, and begins with either.
func onEither(x *subject) []place {
	both := append(onTarget(x), onFix(x)...)
	x.shuffle("either", len(both), func(i, j int) { both[i], both[j] = both[j], both[i] })
	return both
}

// mostlyOnFix edits the fix three times as often as the target.
func mostlyOnFix(x *subject) []place {
	fix := onFix(x)
	return slices.Concat(fix, fix, onTarget(x), fix)
}

// edited makes an operator's function of mutators: it proposes their edits of the places in turn, each mutator's in an
// order of the scenario's own. Where the spans give too little, the whole of the touched files follows.
func edited(places func(*subject) []place, mutators func(*subject) []mutate.Mutator) func(context.Context, *subject, verdicts) iter.Seq[proposal] {
	return func(_ context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
		return func(yield func(proposal) bool) {
			var queues []*edits
			for k, p := range places(x) {
				for _, m := range mutators(x) {
					queues = append(queues, x.edits(p, m, string(rune('a'+k))))
				}
			}
			for wet := true; wet; {
				wet = false
				for _, q := range queues {
					if len(q.left) == 0 {
						continue
					}
					wet = true
					e := q.left[0]
					q.left = q.left[1:]
					after := overlay(q.state, sources{e.path: e.Text()})
					if !yield(proposal{after: after, parent: q.parent, note: strings.TrimSpace(q.mutator + ": " + e.Note)}) {
						return
					}
				}
			}
		}
	}
}

// edits are those of one mutator on one place that are left.
type edits struct {
	place
	mutator string
	left    []fileEdit
}

type fileEdit struct {
	mutate.Edited
	path string
}

func (x *subject) edits(p place, m mutate.Mutator, salt string) *edits {
	q := &edits{place: p, mutator: m.Name}
	for _, name := range p.state.names() {
		s, ok := mutate.Open(name, p.state[name], p.lines[name])
		if !ok {
			continue
		}
		for _, e := range m.Make(s) {
			q.left = append(q.left, fileEdit{e, name})
		}
	}
	x.shuffle(m.Name+salt, len(q.left), func(i, j int) { q.left[i], q.left[j] = q.left[j], q.left[i] })
	return q
}
