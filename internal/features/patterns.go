package features

import (
	"bytes"

	"crisol/internal/ambiguity"
	"crisol/internal/syntax"
)

// search bounds the search for ambiguity: of one expression, of how many, and how long a one may be. To find those that
// are slow only by starting again at each character takes the larger bounds.
type search struct {
	limits   ambiguity.Limits
	patterns int
	length   int
}

func (w weakness) search() search {
	if w == weakRedos {
		return search{ambiguity.Limits{States: 600, Work: 200_000, Steps: 2_000_000, Families: 1}, 12, 1200}
	}
	return search{ambiguity.Limits{States: 300, Work: 60_000, Steps: 500_000, Families: 1}, 4, 400}
}

// expression is a regular expression in the touched code.
type expression struct {
	text    string // as written
	pattern string
	flags   string
	changed bool
}

// patterns sets what is known of regular expressions.
func (c *Reading) patterns(v Vector) {
	search := c.kind.search()
	ranks := map[string]float64{}
	rank := func(e expression) float64 {
		r, known := ranks[e.text]
		if !known {
			if search.patterns--; search.patterns < 0 {
				return 0
			}
			r = c.ranks.of(e, search)
			ranks[e.text] = r
		}
		return r
	}
	added, anchored := 0, 0
	for _, f := range c.files {
		old, now := f.before.expressions(), f.after.expressions()
		for _, e := range old {
			if e.changed {
				v[regexBefore] = max(v[regexBefore], rank(e))
				v[regexRemoved]++
				v[regexGlobal] -= truth(bytes.ContainsRune([]byte(e.flags), 'g'))
				v[regexIgnoreCase] -= truth(bytes.ContainsRune([]byte(e.flags), 'i'))
			}
		}
		for _, e := range now {
			if !e.changed {
				continue
			}
			added++
			anchored += one(anchoredBothEnds([]byte(e.text)))
			v[regexAfter] = max(v[regexAfter], rank(e))
			v[regexRemoved]--
			v[regexGlobal] += truth(bytes.ContainsRune([]byte(e.flags), 'g'))
			v[regexIgnoreCase] += truth(bytes.ContainsRune([]byte(e.flags), 'i'))
		}
		v[replaceOnce] += float64(f.after.replacesOnce())
		present := f.after.present()
		v[pollutionNamesPresent] = max(v[pollutionNamesPresent], present)
	}
	v[regexAnchored] = ratio(anchored, added)
	v[regexAgreement] = c.agreement()
	if c.kind != weakRedos {
		return
	}
	before := v[regexBefore]
	for _, f := range c.files {
		for _, e := range f.before.whole().expressions() {
			before = max(before, rank(e))
		}
		for _, e := range f.after.whole().expressions() {
			v[regexRemaining] = max(v[regexRemaining], rank(e))
		}
	}
	v[regexDrop] = before - v[regexRemaining]
}

// whole is a side with all of its source.
func (s *side) whole() *side {
	return &side{lang: s.lang, src: s.fullSrc, tokens: s.full, changed: make([]bool, len(s.full))}
}

// rank is how ambiguous an expression is: 0 not, 1 by starting again, 2 polynomially, 3 exponentially.
func (e expression) rank(s search) float64 {
	if len(e.pattern) > s.length || !repeats(e.pattern) {
		return 0
	}
	parsed, err := ambiguity.Parse(e.pattern, e.flags)
	if err != nil {
		return 0
	}
	worst := 0.0
	for _, family := range ambiguity.Search(parsed, s.limits).Families {
		switch family.Kind {
		case ambiguity.Exponential:
			return 3
		case ambiguity.Polynomial:
			worst = 2
		default:
			worst = max(worst, 1)
		}
	}
	return worst
}

// repeats says whether a pattern repeats anything without a bound: without that it can't be slow.
func repeats(pattern string) bool {
	for i := range len(pattern) {
		if c := pattern[i]; c == '*' || c == '+' || c == ',' {
			return true
		}
	}
	return false
}

// expressions are the regular expressions of a side: literals, and strings that are given to a function that compiles
// them.
func (s *side) expressions() []expression {
	var out []expression
	for i, t := range s.tokens {
		text := s.text(t)
		switch {
		case t.Kind == syntax.Pattern:
			if e, ok := literalExpression(text); ok {
				e.changed = s.changed[i]
				out = append(out, e)
			}
		case t.Kind == syntax.Text && i >= 2 && s.src[s.tokens[i-1].Start] == '(' && compiles(s.text(s.tokens[i-2])) && (s.lang != syntax.Python || s.isModule(i-2)):
			e := expression{text: string(text), pattern: string(unquoted(text)), changed: s.changed[i]}
			if s.lang == syntax.Python {
				e.flags = "P"
			} else {
				e.pattern = unescape(e.pattern)
			}
			out = append(out, e)
		}
	}
	return out
}

// literalExpression reads a literal with its slashes and flags.
func literalExpression(text []byte) (expression, bool) {
	slash := bytes.LastIndexByte(text, '/')
	if slash <= 0 {
		return expression{}, false
	}
	return expression{text: string(text), pattern: string(text[1:slash]), flags: string(text[slash+1:])}, true
}

func compiles(name []byte) bool {
	switch string(name) {
	case "RegExp", "compile", "match", "search", "sub", "fullmatch", "findall", "finditer", "split", "subn", "MustCompile", "Compile":
		return true
	}
	return false
}

// isModule says whether a name is taken from Python's module of regular expressions.
func (s *side) isModule(i int) bool {
	return i >= 2 && (string(s.text(s.tokens[i-2])) == "re" || string(s.text(s.tokens[i-2])) == "regex")
}

// unescape takes one level of backslashes off the text of a string.
func unescape(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
			switch text[i] {
			case 'n':
				out = append(out, '\n')
				continue
			case 't':
				out = append(out, '\t')
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
}

// replacesOnce counts the added calls of replace that change the first occurrence only.
func (s *side) replacesOnce() int {
	n := 0
	if !isScript(s.lang) {
		return 0
	}
	for i := 0; i+2 < len(s.tokens); i++ {
		if string(s.text(s.tokens[i])) != "replace" || s.src[s.tokens[i+1].Start] != '(' || !s.changed[i] && !s.changed[i+2] {
			continue
		}
		switch first := s.tokens[i+2]; first.Kind {
		case syntax.Text:
			n++
		case syntax.Pattern:
			text := s.text(first)
			if !bytes.ContainsRune(text[bytes.LastIndexByte(text, '/')+1:], 'g') && !bytes.HasPrefix(text, []byte("/^")) {
				n++
			}
		}
	}
	return n
}

// present counts which keys to a prototype a side holds.
func (s *side) present() float64 {
	n := 0.0
	for _, name := range dangerNames {
		for _, t := range s.tokens {
			if (t.Kind == syntax.Text || t.Kind == syntax.Pattern || t.Kind == syntax.Word && name == "__proto__") && bytes.Contains(s.text(t), []byte(name)) {
				n++
				break
			}
		}
	}
	return n
}
