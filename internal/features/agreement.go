package features

import (
	"regexp/syntax"
	"strings"

	"crisol/internal/ambiguity"
	source "crisol/internal/syntax"
)

// The bounds of a comparison of two expressions.
const (
	maxCompared   = 8
	sampleRounds  = 10
	sampleLength  = 60
	sampleSteps   = 5_000
	maxComparable = 600
)

// agreement is the share of texts that the removed expressions and those in their places treat alike: texts that the
// removed ones match, and the same with a character before or after. It is 1 where no expression takes the place of
// another.
func (c *Reading) agreement() float64 {
	alike, all, left := 0, 0, maxCompared
	for _, f := range c.files {
		for i, run := range f.before.runs {
			old, now := f.before.changedExpressions(run), f.after.changedExpressions(f.after.runs[i])
			for k := range min(len(old), len(now)) {
				if left--; left < 0 {
					break
				}
				a, b := compare(old[k], now[k])
				alike, all = alike+a, all+b
			}
		}
	}
	if all == 0 {
		return 1
	}
	return ratio(alike, all)
}

// changedExpressions are the changed literals in a run.
func (s *side) changedExpressions(run span) (out []expression) {
	for i := s.from(run.start); i < len(s.tokens) && int(s.tokens[i].Start) < run.end; i++ {
		if s.changed[i] && s.tokens[i].Kind == source.Pattern {
			if e, ok := literalExpression(s.text(s.tokens[i])); ok {
				out = append(out, e)
			}
		}
	}
	return out
}

// compare counts the texts that two expressions treat alike, and all that were tried.
func compare(old, now expression) (alike, all int) {
	if len(old.pattern) > maxComparable || len(now.pattern) > maxComparable {
		return 0, 0
	}
	a, errOld := ambiguity.Parse(old.pattern, strings.Map(knownFlag, old.flags))
	b, errNow := ambiguity.Parse(now.pattern, strings.Map(knownFlag, now.flags))
	if errOld != nil || errNow != nil {
		return 0, 0
	}
	before, after := a.Matcher(), b.Matcher()
	for _, text := range samples(old.pattern) {
		for _, text := range []string{text, text + "!", "a" + text} {
			x, ok := before.Find(text, sampleSteps)
			y, fine := after.Find(text, sampleSteps)
			if ok && fine {
				all++
				alike += one(x == y)
			}
		}
	}
	return alike, all
}

// samples are texts that an expression matches, as far as Go's parser reads it; each takes other branches.
func samples(pattern string) []string {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	var out []string
	for round := range sampleRounds {
		g := &generator{round: round}
		g.write(parsed, 0)
		out = append(out, g.out.String())
	}
	return out
}

// generator writes one text.
type generator struct {
	out   strings.Builder
	round int
	turns int // choices made so far, so that they differ from one another
}

func (g *generator) choose(n int) int {
	g.turns++
	return (g.round*7 + g.round*g.turns + g.turns*(g.round%3)) % n
}

func (g *generator) write(e *syntax.Regexp, depth int) {
	if depth > 40 || g.out.Len() > sampleLength {
		return
	}
	switch e.Op {
	case syntax.OpLiteral:
		g.out.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		pair := g.choose(len(e.Rune)/2) * 2
		low, high := e.Rune[pair], e.Rune[pair+1]
		g.out.WriteRune(low + rune(g.choose(int(min(high-low, 25))+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		g.out.WriteByte("ax0 -"[g.choose(5)])
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range e.Sub {
			g.write(sub, depth+1)
		}
	case syntax.OpAlternate:
		g.write(e.Sub[g.choose(len(e.Sub))], depth+1)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		for range g.times(e) {
			g.write(e.Sub[0], depth+1)
		}
	}
}

// times is how often a repetition is written: from the least to two more, and no more than the most.
func (g *generator) times(e *syntax.Regexp) int {
	low, high := 0, 3
	switch e.Op {
	case syntax.OpPlus:
		low = 1
	case syntax.OpQuest:
		high = 1
	case syntax.OpRepeat:
		low, high = e.Min, e.Max
		if high < 0 {
			high = low + 3
		}
	}
	return low + g.choose(min(high-low, 3)+1)
}
