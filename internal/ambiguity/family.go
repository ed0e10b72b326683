package ambiguity

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Family is a set of texts of any size for which a backtracking matcher takes more and more steps.
type Family struct {
	Kind Kind
	// Degree is the power of the size with which the steps grow, as measured on small texts; 0 for exponential.
	Degree int
	// Prefix leads to the ambiguous state, Pump is the word to repeat, and Suffix makes the match fail.
	Prefix, Pump, Suffix string
	// Alternative is another word that does as Pump, of characters that the expression doesn't tell from Pump's. A
	// patch that looks out for one of them may have forgotten the other. It is empty if there is none.
	Alternative string
}

// Text returns the family's text of about size characters: the pump goes in as often as it fits, and at least once.
func (f Family) Text(size int) string {
	length := max(1, utf8.RuneCountInString(f.Pump))
	room := size - utf8.RuneCountInString(f.Prefix) - utf8.RuneCountInString(f.Suffix)
	return f.repeated(max(1, room/length))
}

// String shows the family the way it is written on paper.
func (f Family) String() string {
	return fmt.Sprintf("%s %q + %q... + %q", f.Kind, f.Prefix, f.Pump, f.Suffix)
}

func (f Family) length() int { return len(f.Prefix) + len(f.Pump) + len(f.Suffix) }

func (f Family) repeated(times int) string {
	return f.Prefix + strings.Repeat(f.Pump, times) + f.Suffix
}

// verdict is what became of a candidate.
type verdict int

const (
	harmless verdict = iota
	slow
	known // the family was found before
)

// How far a measurement goes.
const (
	runSteps  = 400_000 // of the last text
	textSizes = 2048    // characters of the last text
	pumps     = 64      // of the last text of an exponential family
	manyPumps = 64      // after which growth must have begun
	choices   = 4       // characters tried in the place of one
	growth    = 1.6     // the least exponent of a family; linear expressions come near 1
	endings   = 6       // characters tried as a suffix
)

// confirmer holds candidates against the matcher.
type confirmer struct {
	prog  *program
	a     *automaton
	steps int // that may still be taken
	seen  map[string]bool
}

// confirm looks for characters and a suffix with which the candidate makes the matcher slow.
func (c *confirmer) confirm(found candidate) (Family, verdict) {
	result := known
	for choice := range choices {
		pump := root(c.spell(found.pump, choice))
		for _, prefix := range c.prefixes(found, choice) {
			f := Family{Kind: found.kind, Prefix: shorten(prefix, pump), Pump: pump}
			pumped := "\x00" + rotation(f.Pump)
			if f.Pump == "" || c.seen[f.Prefix+pumped] || (f.Kind == Restart && c.seen["slow"+pumped]) {
				continue
			}
			c.seen[f.Prefix+pumped] = true
			if result = harmless; c.ends(&f) {
				c.seen["slow"+pumped] = f.Prefix == ""
				f.Alternative = c.alternative(f)
				return f, slow
			}
		}
	}
	return Family{}, result
}

// prefixes lists how to get to the candidate's state. A search that begins at once may match at once, by a branch that
// has nothing to do with the loop (the first of ^\s+|\s+$), so characters that no match begins with are tried as well.
func (c *confirmer) prefixes(found candidate, choice int) []string {
	all := []string{c.spell(found.prefix, choice)}
	if found.kind != Restart {
		return all
	}
	first := newBitset(len(c.a.atoms))
	for _, e := range c.a.out[0] {
		if !slices.Contains(c.a.from, e.to) {
			first.join(c.a.sets[e.to])
		}
	}
	for i, atom := range c.a.atoms {
		if !first.has(i) {
			return append(all, string(atom.char))
		}
	}
	return all
}

// shorten drops the pump from a prefix's end.
func shorten(prefix, pump string) string {
	for pump != "" && strings.HasSuffix(prefix, pump) {
		prefix = strings.TrimSuffix(prefix, pump)
	}
	return prefix
}

// ends looks for a suffix: at best one with which the match fails. Without that, slow attempts may still come before
// one that matches.
func (c *confirmer) ends(f *Family) bool {
	suffixes := c.suffixes(*f)
	for _, f.Suffix = range suffixes {
		if c.grows(f, false) {
			return true
		}
	}
	for _, f.Suffix = range suffixes[:min(2, len(suffixes))] {
		if c.grows(f, true) {
			return true
		}
	}
	return false
}

// alternative replaces the pump's characters by others of their atoms and makes sure that the result is as slow.
func (c *confirmer) alternative(f Family) string {
	pump := f.Pump
	f.Pump = strings.Map(func(r rune) rune {
		if other := c.a.atoms[c.atom(r)].other; other > 0 {
			return other
		}
		return r
	}, pump)
	if f.Pump == pump || max(c.power(f, false), c.power(f, true)) < growth {
		return ""
	}
	return f.Pump
}

// spell chooses a character for each place: the most welcome one, or one of those behind it.
func (c *confirmer) spell(word []bitset, choice int) string {
	var text strings.Builder
	for _, set := range word {
		if options := set.list(); len(options) > 0 {
			text.WriteRune(c.a.atoms[options[min(choice, len(options)-1)]].char)
		}
	}
	return text.String()
}

// root returns the shortest word of which s is a repetition.
func root(s string) string {
	for size := 1; size <= len(s)/2; size++ {
		if len(s)%size == 0 && strings.Repeat(s[:size], len(s)/size) == s {
			return s[:size]
		}
	}
	return s
}

// rotation returns the least of the words that s becomes when its beginning is moved to its end.
func rotation(s string) string {
	least := s
	for i := range s {
		least = min(least, s[i:]+s[:i])
	}
	return least
}

// suffixes lists what may make the match fail: nothing, then the characters with which the fewest ways through the
// automaton go on. A line feed comes doubled, too, as Python's $ passes over a final one.
func (c *confirmer) suffixes(f Family) []string {
	ways := make([]int, len(c.a.atoms))
	for _, i := range c.after(f.repeated(3)) {
		next := newBitset(len(c.a.atoms))
		for _, e := range c.a.out[i] {
			next.join(c.a.sets[e.to])
		}
		for _, atom := range next.list() {
			ways[atom]++
		}
	}
	order := make([]int, len(ways))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return ways[x] - ways[y] })
	all := []string{""}
	for _, i := range order[:min(endings, len(order))] {
		s := string(c.a.atoms[i].char)
		all = append(all, s)
		if s == "\n" {
			all = append(all, "\n\n")
		}
	}
	return all
}

// after returns the states that the automaton may be in after a text, those of a search that hasn't begun left out.
func (c *confirmer) after(text string) []int {
	from := newBitset(len(c.a.out))
	for _, i := range c.a.from {
		from.add(i)
	}
	current := []int{0}
	for _, r := range text {
		atom := c.atom(r)
		var next []int
		in := newBitset(len(c.a.out))
		for _, i := range current {
			for _, e := range c.a.out[i] {
				if c.a.sets[e.to].has(atom) && !in.has(e.to) {
					in.add(e.to)
					next = append(next, e.to)
				}
			}
		}
		current = next
	}
	var alive []int
	for _, i := range current {
		if !from.has(i) {
			alive = append(alive, i)
		}
	}
	return alive
}

// atom finds an atom's number by its character; the texts here are made of nothing else.
func (c *confirmer) atom(r rune) int {
	for i, other := range c.a.atoms {
		if other.char == r {
			return i
		}
	}
	return 0
}

// measure runs the matcher over a text with some repetitions of the pump.
func (c *confirmer) measure(f Family, times int) (matched bool, steps int, over bool) {
	matched, steps, over = c.prog.run([]rune(f.repeated(times)), min(runSteps, max(c.steps, 1)))
	c.steps -= steps
	return matched, steps, over
}

// grows tells whether the family makes the matcher slow, and settles its kind and degree.
func (c *confirmer) grows(f *Family, matching bool) bool {
	power := c.power(*f, matching)
	if power < growth || c.steps <= 0 {
		return false
	}
	if power > 3 && c.doubles(*f) {
		f.Kind = Exponential
		return true
	}
	if f.Kind == Exponential {
		f.Kind = Polynomial
	}
	f.Degree = max(2, int(math.Round(power)))
	return true
}

// doubles tells whether a few more pumps multiply the steps by about the same, again and again.
func (c *confirmer) doubles(f Family) bool {
	const stride = 4
	var rates []float64
	last := 0
	for times := stride; times <= pumps; times += stride {
		_, steps, over := c.measure(f, times)
		if last > 0 {
			rates = append(rates, math.Log(float64(steps)/float64(last))/stride)
		}
		if over || c.steps <= 0 {
			break
		}
		last = steps
	}
	n := len(rates)
	if n == 0 {
		return false
	}
	if n <= 2 { // the budget ran out within a dozen pumps
		return last > 0 && rates[n-1] > 0.5
	}
	// The last rate may be cut short by the limit of a run; the one before tells.
	return rates[n-2] >= 0.05 && rates[n-2] >= 0.7*rates[(n-2)/2]
}

// power measures the exponent with which steps grow from one size to its double, on texts of which all match or none
// does.
func (c *confirmer) power(f Family, matching bool) float64 {
	length := utf8.RuneCountInString(f.Pump)
	last, power := 0, 0.0
	for size := 16; size <= textSizes; size *= 2 {
		times := max(1, size/length)
		matched, steps, over := c.measure(f, times)
		switch {
		case over && last == 0:
			return math.Log2(float64(steps)) / 4
		case over:
			return max(power, math.Log2(float64(steps)/float64(last)))
		case matched != matching:
			return 0
		case last > 0:
			power = math.Log2(float64(steps) / float64(last))
		}
		if times >= manyPumps && power < 1.2 {
			return power // linear
		}
		last = steps
	}
	return power
}
