package snippet

import (
	"encoding/json"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"crisol/internal/ambiguity"
	"crisol/internal/variant"
)

// The most that is made of the expressions of a pair of snippets.
const (
	mostFamilies = 4 // of one snippet
	mostSamples  = 24
	longSample   = 60
)

// family is a text that grows, as the kits of slow expressions take it.
type family struct {
	Prefix string `json:"prefix"`
	Pump   string `json:"pump"`
	Suffix string `json:"suffix"`
}

// searches makes payloads of the two snippets themselves, for inputs that ask for it by name. Where nothing is found, the
// input is left out, unless it has a payload of its own.
var searches = map[string]func(language Language, affected, patched string) any{
	"ambiguity": func(language Language, affected, patched string) any {
		list := families(language, affected)
		for _, f := range families(language, patched) {
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
		return list
	},
	"samples": func(language Language, affected, _ string) any { return samples(language, affected) },
}

// searched returns the class's inputs with the payloads that are made of these two snippets.
func searched(inputs []input, language Language, affected, patched string) ([]input, error) {
	var list []input
	for _, in := range inputs {
		if make := searches[in.Search]; make != nil {
			payload, err := variant.Encode(make(language, affected, patched))
			if err != nil {
				return nil, err
			}
			if string(payload) == "null" || string(payload) == "[]" {
				continue
			}
			in.Payload = payload
		}
		list = append(list, in)
	}
	return list, nil
}

// expressions are what a snippet holds of regular expressions: by its literals, or a text in quotes that stands alone.
func expressions(language Language, source string) []ambiguity.Literal {
	list := ambiguity.Literals([]byte(source), string(language))
	if m := quotedAlone.FindStringSubmatch(source); len(list) == 0 && language == Python && m != nil {
		list = append(list, ambiguity.Literal{Pattern: m[1] + m[2], Flags: "P"})
	}
	return list
}

var quotedAlone = regexp.MustCompile(`^\s*(?:\w+\s*=\s*)?[rR]?(?:"([^"\n]+)"|'([^'\n]+)')\s*$`)

// families are texts that make the expressions of a source slow, of each expression the worst ones.
func families(language Language, source string) []family {
	var list []family
	literals := expressions(language, source)
	each := max(1, mostFamilies/max(1, len(literals)))
	for _, literal := range literals {
		e, err := ambiguity.Parse(literal.Pattern, literal.Flags)
		if err != nil {
			continue
		}
		for _, f := range ambiguity.Search(e, ambiguity.Limits{Families: each}).Families {
			one := family{f.Prefix, f.Pump, f.Suffix}
			if len(list) < 2*mostFamilies && !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	return list
}

// samples are short texts that an expression of the source matches, or nearly.
func samples(language Language, source string) []string {
	var list []string
	add := func(text string) {
		if text != "" && len(text) <= longSample && len(list) < mostSamples && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, literal := range expressions(language, source) {
		tree, err := syntax.Parse(literal.Pattern, syntax.Perl)
		if err != nil {
			continue // lookaround and the like: there is no need to sample every expression
		}
		for turn := range 8 {
			s := sampler{turn: turn, limit: longSample}
			s.write(tree)
			add(s.out.String())
			add(s.out.String() + "\x01") // what can't follow must still not be taken
		}
	}
	return list
}

// sampler writes a text that a tree matches; another turn takes other branches and counts.
type sampler struct {
	out         strings.Builder
	turn, limit int
}

func (s *sampler) write(e *syntax.Regexp) {
	if s.out.Len() > s.limit {
		return
	}
	switch e.Op {
	case syntax.OpLiteral:
		s.out.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		s.out.WriteRune(pick(e.Rune, s.turn+s.out.Len()))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.out.WriteByte("ab1c"[(s.turn+s.out.Len())%4])
	case syntax.OpAlternate:
		s.write(e.Sub[s.turn%len(e.Sub)])
	case syntax.OpStar, syntax.OpQuest:
		s.repeat(e, 0, 1)
	case syntax.OpPlus:
		s.repeat(e, 1, 2)
	case syntax.OpRepeat:
		s.repeat(e, e.Min, e.Min+1)
	default:
		for _, sub := range e.Sub {
			s.write(sub)
		}
	}
}

func (s *sampler) repeat(e *syntax.Regexp, least, most int) {
	if e.Op == syntax.OpRepeat && e.Max >= 0 {
		most = min(most, e.Max)
	}
	n := most
	if s.turn%2 == 1 {
		n = least
	}
	for range n {
		s.write(e.Sub[0])
	}
}

// pick takes a character of a class, a usual one if it has any.
func pick(class []rune, turn int) rune {
	const usual = "aZ0b-1_ .@c"
	in := func(r rune) bool {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= r && r <= class[i+1] {
				return true
			}
		}
		return false
	}
	for i := range len(usual) {
		if r := rune(usual[(i+turn)%len(usual)]); in(r) {
			return r
		}
	}
	if len(class) == 0 {
		return 'a'
	}
	return class[0]
}

var (
	literalAlone = regexp.MustCompile(`^\s*/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*\s*;?\s*$`)
	quantified   = regexp.MustCompile(`[)\]\w.][+*]|\{\d`)
	patternOnly  = regexp.MustCompile(`^\s*(?:\^.*|.*\$)\s*$`)
)

// written makes code of texts that are regular expressions and nothing else: a literal of JavaScript, or a text in quotes
// of Python, which are code already, or a pattern, which is written as JavaScript has it.
func written(text string) (string, Language) {
	trimmed := strings.TrimSpace(text)
	switch {
	case strings.Contains(trimmed, "\n") || trimmed == "":
		return text, ""
	case literalAlone.MatchString(text):
		return text, JavaScript
	case quotedAlone.MatchString(text):
		return text, Python
	case patternOnly.MatchString(text) && quantified.MatchString(text):
		if _, err := ambiguity.Parse(trimmed, ""); err != nil {
			return text, ""
		}
		quoted, err := json.Marshal(trimmed)
		if err != nil {
			return text, ""
		}
		return "new RegExp(" + string(quoted) + ")", JavaScript
	}
	return text, ""
}
