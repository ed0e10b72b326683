package features

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"crisol/internal/ambiguity"
	"crisol/internal/syntax"
)

// probes are texts that a filter against a weakness should stop, and ones that it should let pass.
type probes struct{ hostile, benign []string }

var probesOf = map[weakness]probes{
	weakPollution: {dangerNames, []string{"name", "a", "key1", "user-name", "proto", "0"}},
	weakCommand: {[]string{"a;b", "a|b", "a&b", "$(a)", "`a`", "a\nb", "a>b", "a<b", "a'b", "a\"b", "a b", "-a"},
		[]string{"file.txt", "a-b_c", "user@host", "/tmp/x.y", "1234"}},
	weakPath: {[]string{"../a", "a/../../b", "..", "..\\a", "/etc/a", "%2e%2e/a"},
		[]string{"a.txt", "sub/b.txt", "v1..2.txt", "my notes.txt", ".hidden", "menü.html"}},
	weakMarkup:   {[]string{"<b>", "a<b", "a>b", "a\"b", "a'b", "javascript:a", "on=a"}, []string{"hello world", "x=1", "menü", "1.5"}},
	weakQuery:    {[]string{"a'b", "a\"b", "a;b", "a--b", "a\\b", "(a)"}, []string{"abc", "user_1", "a-b", "10"}},
	weakCode:     {[]string{"a()", "a[b]", "constructor", "__proto__", "process", "require", "a;b", "`a`", "{{a}}"}, []string{"name", "a.b", "1 + 2", "abc_1"}},
	weakExchange: {[]string{"//evil.example", "http://evil.example", "\\\\evil.example", "javascript:a", "http://127.0.0.1", "file:///a", "a.php"}, []string{"/home", "/a?b=c", "page", "photo.png"}},
}

const (
	maxFilters  = 16
	filterSteps = 2_000 // of a matcher, on one probe
)

// filters sets how many of the hostile texts the constants that the patch adds would catch, and how many of the benign
// ones. Each added expression and string is taken for a filter, by itself: an expression anchored at both ends says what
// passes, any other what is stopped.
func (c *Reading) filters(v Vector) {
	p, known := probesOf[c.kind]
	if !known {
		return
	}
	caught, harmed := make([]bool, len(p.hostile)), make([]bool, len(p.benign))
	left := maxFilters
	for _, f := range c.files {
		s := f.after
		for i, t := range s.tokens {
			if !s.changed[i] || t.Kind != syntax.Pattern && t.Kind != syntax.Text || f.before.holds(s.text(t)) {
				continue
			}
			stops := s.filter(i)
			if stops == nil {
				continue
			}
			if left--; left < 0 {
				break
			}
			mark(caught, p.hostile, stops)
			mark(harmed, p.benign, stops)
		}
	}
	v[filterShare], v[filterHarm] = share(caught), share(harmed)
}

func mark(hit []bool, texts []string, stops func(string) bool) {
	for i, text := range texts {
		hit[i] = hit[i] || stops(text)
	}
}

func share(hits []bool) float64 {
	n := 0
	for _, hit := range hits {
		n += one(hit)
	}
	return ratio(n, len(hits))
}

// holds says whether a removed token has the text.
func (s *side) holds(text []byte) bool {
	for i, t := range s.tokens {
		if s.changed[i] && bytes.Equal(s.text(t), text) {
			return true
		}
	}
	return false
}

// filter makes of a constant what stops a text, or nil where it isn't used like that.
func (s *side) filter(i int) func(string) bool {
	t := s.tokens[i]
	text := s.text(t)
	if t.Kind == syntax.Pattern {
		slash := bytes.LastIndexByte(text, '/')
		if slash <= 0 {
			return nil
		}
		return expressionFilter(string(text[1:slash]), string(text[slash+1:]), says(text))
	}
	before, two := s.near(i, -1), s.near(i, -2)
	inner := unescape(string(unquoted(text)))
	switch {
	case inner == "" || len(inner) > 80:
		return nil
	case compiles([]byte(two)) && before == "(":
		return expressionFilter(string(unquoted(text)), "", says(text))
	case before == "===" || before == "==" || before == "!==" || before == "!=" || before == "case" || before == "[" || before == "," || s.near(i, 1) == "===" || s.near(i, 1) == "in":
		return func(probe string) bool { return probe == inner }
	case before == "(" && exact[strings.ToLower(two)]&(isPrefix|isDenial) != 0, before == "(" && isListSearch(two), before == "(" && (two == "replace" || two == "replaceAll" || two == "split"):
		if strings.EqualFold(two, "startsWith") || two == "startswith" || two == "HasPrefix" {
			return func(probe string) bool { return strings.HasPrefix(probe, inner) }
		}
		return func(probe string) bool { return strings.Contains(probe, inner) }
	}
	return nil
}

// near is the text of the token that many places away.
func (s *side) near(i, away int) string {
	if i += away; i < 0 || i >= len(s.tokens) {
		return ""
	}
	return string(s.text(s.tokens[i]))
}

// says whether an expression says what passes: one that is anchored at both ends and spells no key to a prototype.
func says(text []byte) bool {
	for _, name := range dangerNames {
		if bytes.Contains(text, []byte(name)) {
			return false
		}
	}
	return anchoredBothEnds(text)
}

func expressionFilter(pattern, flags string, allows bool) func(string) bool {
	e, err := ambiguity.Parse(pattern, strings.Map(knownFlag, flags))
	if err != nil || len(pattern) > 300 {
		return nil
	}
	m := e.Matcher()
	return func(probe string) bool {
		found, ok := m.Find(probe, filterSteps)
		return ok && found != allows
	}
}

// knownFlag drops the flags that Parse gives a meaning of its own.
func knownFlag(r rune) rune {
	if strings.ContainsRune("imsu", r) {
		return r
	}
	return -1
}

// limitValue is the decimal logarithm of the smallest number that an added comparison or cut holds a length to, 0 without
// any.
func (s *side) limitValue() float64 {
	smallest := 0.0
	for i, t := range s.tokens {
		if !s.changed[i] || t.Kind != syntax.Numeral || !s.isLimit(i) {
			continue
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(string(s.text(t)), "_", ""), 64)
		if err != nil || n < 2 {
			continue
		}
		if l := math.Log10(n); smallest == 0 || l < smallest {
			smallest = l
		}
	}
	return smallest
}

// isLimit says whether a number stands after a comparison by order, or ends a slice.
func (s *side) isLimit(i int) bool {
	switch s.near(i, -1) {
	case "<", "<=", ">", ">=":
		return true
	case ",":
		switch s.near(i, -4) {
		case "slice", "substring", "substr":
			return true
		}
	case ":":
		return s.near(i, 1) == "]"
	}
	return false
}
