package features

import (
	"crisol/internal/ambiguity"
	"crisol/internal/syntax"
)

// This file asks the conditions of the touched functions what they say to texts of an attack and to harmless ones. What
// a condition compares, searches or matches with constants of the same file is worked out, through functions of that file;
// everything else is unknown, and a condition that hangs on it says nothing (Kleene's three values). Nothing is run.
//
// Every variable is taken to hold the text. So a test of the wrong variable isn't told from one of the right variable here:
// guard_covers, guard_other and probe_share look at which variables meet.

// probe is a text that stands in for the value of every variable.
type probe struct {
	text string
	// listed is set for a value that isn't a text but a list that reads like the text: strict comparisons fail on it.
	listed bool
	length int // of the text, where it stands for a longer one; 0 for its own
}

// probeSet are the probes of a weakness.
type probeSet struct{ hostile, listed, benign []probe }

func probesFrom(texts []string, listed bool) []probe {
	out := make([]probe, len(texts))
	for i, text := range texts {
		out[i] = probe{text: text, listed: listed}
	}
	return out
}

// probes are the probes of the filters, texts that are long and short where time is at stake, and lists where keys of
// objects are.
func (w weakness) probes() probeSet {
	if w == weakRedos {
		return probeSet{hostile: []probe{{text: "a a", length: 50_000}}, benign: []probe{{text: "a short text"}, {text: "word word", length: 100}}}
	}
	p := probesOf[w]
	t := probeSet{hostile: probesFrom(p.hostile, false), benign: probesFrom(p.benign, false)}
	if w == weakPollution {
		t.listed = probesFrom(p.hostile, true)
	}
	return t
}

// evaluator works out the conditions of one side, for one probe after the other.
type evaluator struct {
	*reader
	probe    probe
	hostile  bool
	steps    int
	matches  int
	patterns map[string]*ambiguity.Matcher
	calls    map[int]syntax.Invocation // by node
	env      map[string]value
	known    map[spot]recalled // for the probe; memory has them for all
	memory   map[question]map[spot]recalled
	routines map[string]int // the functions of the file by name
	assigned map[string]int // the value of variables that are assigned once; -1 for others
}

func newEvaluator(r *reader) *evaluator {
	return &evaluator{reader: r, steps: maxProbeSteps, matches: maxProbeMatches, patterns: map[string]*ambiguity.Matcher{}, calls: map[int]syntax.Invocation{}, memory: map[question]map[spot]recalled{}}
}

// look finds the functions and the assignments of the file.
func (c *evaluator) look() {
	if c.assigned != nil {
		return
	}
	c.assigned, c.routines = map[string]int{}, map[string]int{}
	for i, n := range c.tree.Nodes {
		if n.Role != syntax.Assignment {
			continue
		}
		if left := c.tree.Child(i, syntax.FieldLeft); left >= 0 && c.tree.Nodes[left].Role == syntax.Identifier {
			name := c.tree.Text(left)
			if _, again := c.assigned[name]; again || c.tree.Child(i, syntax.FieldOperator) >= 0 {
				c.assigned[name] = -1
			} else {
				c.assigned[name] = c.tree.Child(i, syntax.FieldRight)
			}
		}
	}
	for _, f := range c.functions {
		if name := c.tree.FunctionName(f); name != "" {
			c.routines[name] = f
		}
	}
}

// answers are what the new conditions of touched functions do with the probes of each kind: which they stop. A condition
// that says the same to all of them is none of these, as it is likely about something else.
type answers struct {
	hostile, listed, benign []bool
	apart, amiss            float64 // the most by which one condition stops more hostile probes than benign ones, and the other way round
	reached, sinks          int     // dangerous operations that hostile probes reach, and all, once for each probe
}

// try takes all probes through the conditions of the scopes.
func (r *reader) try(scopes []*scope) answers {
	t := r.kind.probes()
	c := newEvaluator(r)
	out := answers{hostile: make([]bool, len(t.hostile)), listed: make([]bool, len(t.listed)), benign: make([]bool, len(t.benign))}
	if len(t.hostile) == 0 {
		return out
	}
	var total coverage
	for _, s := range scopes {
		telling := make([]told, 0, 8)
		for _, g := range s.guards {
			if !g.fresh && !s.concerns(g) || !c.tells(g.condition) {
				continue
			}
			want, decided := total.wanted(s, g)
			if !decided && (c.tree.Nodes[g.node].Role == syntax.Binary || !g.leaves && g.whenTrue == (span{})) {
				continue // a part of a condition, or one that guards nothing
			}
			hostile, benign := c.ask(g, t.hostile, true), c.ask(g, t.benign, false)
			bad, good := share(stopped(hostile, want)), share(stopped(benign, want))
			switch {
			case bad == good && (bad == 0 || bad == 1):
				continue
			case g.fresh:
				merge(out.hostile, stopped(hostile, want))
				merge(out.listed, stopped(c.ask(g, t.listed, true), want))
				merge(out.benign, stopped(benign, want))
				out.apart, out.amiss = max(out.apart, bad-good), max(out.amiss, good-bad)
			}
			telling = append(telling, told{g, hostile})
		}
		for i := range t.hostile {
			for _, k := range s.sinks {
				out.sinks++
				out.reached += one(!stops(telling, k, i))
			}
		}
	}
	return out
}

// concerns says whether a condition tests a variable of a dangerous operation.
func (s *scope) concerns(g guard) bool {
	for _, k := range s.sinks {
		if g.vars.meets(k.vars) {
			return true
		}
	}
	return false
}

func merge(into, from []bool) {
	for i, yes := range from {
		into[i] = into[i] || yes
	}
}

// answer is what a condition says to one probe.
type answer struct{ yes, known bool }

// told is a condition with what it says to the hostile probes.
type told struct {
	guard
	answers []answer
}

// question is what all values hang on.
type question struct {
	probe
	hostile bool
}

// turn turns to a probe, and to what is known of expressions for it.
func (c *evaluator) turn(p probe, hostile bool) {
	c.probe, c.hostile = p, hostile
	q := question{p, hostile}
	if c.memory[q] == nil {
		c.memory[q] = map[spot]recalled{}
	}
	c.known = c.memory[q]
}

// ask is what a condition says to probes.
func (c *evaluator) ask(g guard, probes []probe, hostile bool) []answer {
	out := make([]answer, len(probes))
	for i, p := range probes {
		c.turn(p, hostile)
		out[i].yes, out[i].known = c.eval(g.condition, 0).truth()
	}
	return out
}

// stopped tells of each probe whether a condition stops it that lets pass where it is worth want.
func stopped(answers []answer, want bool) []bool {
	out := make([]bool, len(answers))
	for i, a := range answers {
		out[i] = a.known && a.yes != want
	}
	return out
}

// stops says whether a condition keeps a probe, by number, from an operation.
func stops(telling []told, k sink, i int) bool {
	for _, t := range telling {
		want, decides := t.decides(k.start, k.end)
		if decides && t.node != k.node && t.vars.meets(k.vars) && t.answers[i].known && t.answers[i].yes != want {
			return true
		}
	}
	return false
}

// tells says whether anything in a condition may be known: a constant, or a name of the file.
func (c *evaluator) tells(condition int) bool {
	if c.kind == weakPath {
		return true
	}
	for at := condition; at < c.tree.Next(condition); at++ {
		switch c.tree.Nodes[at].Role {
		case syntax.String, syntax.Regex, syntax.Array, syntax.Object, syntax.Template, syntax.Function:
			return true
		case syntax.Number:
			if c.kind == weakRedos {
				return true
			}
		case syntax.Identifier:
			c.look()
			text := c.tree.Bytes(at)
			if _, known := c.values[c.number(text)]; known {
				return true
			}
			if _, known := c.assigned[string(text)]; known {
				return true
			}
			if _, known := c.routines[string(text)]; known {
				return true
			}
		}
	}
	return false
}

// probeConditions sets what the conditions say to the probes.
func probeConditions(v Vector, after *reader, now []*scope) {
	got := after.try(now)
	v[probeStops] = max(v[probeStops], share(got.hostile))
	v[probeLists] = max(v[probeLists], share(got.listed))
	v[probeHarm] = max(v[probeHarm], share(got.benign))
	v[probeApart], v[probeAmiss] = max(v[probeApart], got.apart), max(v[probeAmiss], got.amiss)
	v[probeShare] = max(v[probeShare], ratio(got.sinks-got.reached, got.sinks))
}
