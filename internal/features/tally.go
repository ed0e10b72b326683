package features

import (
	"bytes"

	"crisol/internal/syntax"
)

// tally counts what the changed tokens say, over all files.
type tally struct {
	names thesaurus
	bag   map[string]*entry
	order []*entry // as first seen, so that sums don't depend on the order of a map
	// all changed tokens
	added, removed int
	// by kind
	addedNames, removedNames, otherChanged, literalsChanged int
}

// entry is one token's text.
type entry struct {
	text           []byte
	kind           syntax.TokenKind
	sense          sense
	added, removed int
	called         int // times it is followed by an opening bracket, added minus removed
}

func newTally() *tally { return &tally{names: thesaurus{}, bag: map[string]*entry{}} }

// maxEntries bounds the different texts that are counted.
const maxEntries = 20_000

func (t *tally) take(s *side, adds bool) {
	for i, changed := range s.changed {
		if !changed {
			continue
		}
		tok := s.tokens[i]
		text := s.text(tok)
		t.count(tok.Kind, text, adds)
		e := t.entry(tok.Kind, text)
		if e == nil {
			continue
		}
		called := tok.Kind == syntax.Word && i+1 < len(s.tokens) && s.src[s.tokens[i+1].Start] == '(' && !keywords[string(text)]
		if adds {
			e.added++
		} else {
			e.removed++
		}
		if called && adds {
			e.called++
		} else if called {
			e.called--
		}
	}
}

func (t *tally) count(kind syntax.TokenKind, text []byte, adds bool) {
	if adds {
		t.added++
	} else {
		t.removed++
	}
	switch {
	case literal(kind):
		t.literalsChanged++
	case kind == syntax.Word && isName(text):
		if adds {
			t.addedNames++
		} else {
			t.removedNames++
		}
	default:
		t.otherChanged++
	}
}

func (t *tally) entry(kind syntax.TokenKind, text []byte) *entry {
	if len(text) > 4096 {
		text = text[:4096]
	}
	e := t.bag[string(text)]
	if e != nil {
		return e
	}
	if len(t.bag) >= maxEntries {
		return nil
	}
	e = &entry{text: text, kind: kind}
	switch kind {
	case syntax.Word:
		e.sense = t.names.of(text)
	case syntax.Text:
		e.sense = exact[string(bytes.ToLower(lastPart(unquoted(text))))] & (isEntity | isShell)
	}
	t.bag[string(text)] = e
	t.order = append(t.order, e)
	return e
}

// lastPart is what follows the last slash: of "http://apache.org/xml/features/disallow-doctype-decl" the name.
func lastPart(text []byte) []byte { return text[bytes.LastIndexByte(text, '/')+1:] }

// net is how much oftener an entry stands after the patch.
func (e *entry) net() int { return e.added - e.removed }

// fill sets the numbers that come of tokens alone.
func (t *tally) fill(v Vector) {
	v[tokensAdded], v[tokensRemoved] = float64(t.added), float64(t.removed)
	v[churn] = ratio(t.added, t.added+t.removed)
	moved, logs := 0, 0
	for _, e := range t.order {
		moved += min(e.added, e.removed)
		t.general(v, e)
		t.specific(v, e)
		if e.sense&isLog != 0 && e.called > 0 {
			logs += e.called
		}
	}
	v[movedShare] = ratio(moved, t.added)
	v[logShare] = ratio(logs, int(v[callsAdded]))
	v[pathSeparator] = truth(v[pathSeparator] > 0 && v[pathPrefix] > 0)
	t.relations(v)
}

// general counts edits of any meaning.
func (t *tally) general(v Vector, e *entry) {
	n := float64(e.net())
	switch e.kind {
	case syntax.Text:
		if e.removed == 0 {
			v[stringsAdded] += n
		}
	case syntax.Numeral:
		v[numbersChanged] += float64(e.added + e.removed)
	case syntax.Operator:
		t.operator(v, e)
	}
	if e.kind != syntax.Word {
		return
	}
	if e.called > 0 {
		v[callsAdded] += float64(e.called)
	} else {
		v[callsRemoved] -= float64(e.called)
	}
	word := string(e.text)
	if word == "and" || word == "or" {
		v[complexityDelta] += n
	}
	if exact[word]&isBranch != 0 && keywords[word] {
		v[complexityDelta] += n
	}
	if exact[word]&isExit != 0 && keywords[word] {
		v[exitsAdded] += max(n, 0)
	}
}

// operator counts edits of one operator.
func (t *tally) operator(v Vector, e *entry) {
	switch string(e.text) {
	case "=", "+=", "-=", ":=", "|=", "&=", "||=", "&&=", "??=", "*=":
		v[assignmentsAdded] += float64(e.added)
	case "==", "===", "!=", "!==", "<", ">", "<=", ">=", "!":
		v[operatorsChanged] += float64(e.added + e.removed)
	case "&&", "||":
		v[operatorsChanged] += float64(e.added + e.removed)
		v[complexityDelta] += float64(e.net())
	case "?", "??":
		v[complexityDelta] += float64(e.net())
	}
}

// specific counts what matters to one weakness or another.
func (t *tally) specific(v Vector, e *entry) {
	n := float64(e.net())
	more := max(n, 0)
	switch e.kind {
	case syntax.Word:
		called := float64(max(e.called, 0))
		for _, rule := range wordRules {
			if e.sense&rule.sense == 0 || e.kind == syntax.Word && keywords[string(e.text)] && !rule.keyword {
				continue
			}
			switch rule.how {
			case addsOnly:
				v[rule.feature] += more
			case callsOnly:
				v[rule.feature] += called
			case netOf:
				v[rule.feature] += n
			case removes:
				v[rule.feature] -= n
			}
		}
		t.dangerNames(v, e, more)
	case syntax.Text:
		if e.sense&isEntity != 0 {
			v[safeInterface] += more
		}
		if e.sense&isShell != 0 {
			v[commandShell] += n
		}
		t.constant(v, e, more)
	case syntax.Pattern:
		t.constant(v, e, more)
	}
}

type how int

const (
	addsOnly how = iota
	callsOnly
	netOf
	removes
)

var wordRules = []struct {
	sense   sense
	feature int
	how     how
	keyword bool
}{
	{isOwn, pollutionOwn, addsOnly, false}, {isPlain, pollutionNullObject, callsOnly, true}, {isVector, commandVector, netOf, false},
	{isShell, commandShell, netOf, false}, {isEscape | isQuote, escapeCalls, callsOnly, false}, {isCanonical | isDecode | isBase, pathResolve, callsOnly, false},
	{isPrefix, pathPrefix, callsOnly, false}, {isSeparator, pathSeparator, addsOnly, false},
	{isBind, queryParameters, netOf, false},
	{isSafe, safeInterface, netOf, false}, {isUnsafe, unsafeRemoved, removes, false}, {isEntity, safeInterface, addsOnly, false},
	{isHost, hostCheck, addsOnly, false}, {isSize, sizeChange, addsOnly, true}, {isAllocation, sizeChange, addsOnly, true},
	{isRelease, nullAfterFree, addsOnly, true}, {isIntegerLimit, sizeChange, addsOnly, false}, {isType, typeChecks, addsOnly, true},
	{isFold, regexIgnoreCase, netOf, false}, {isLength, limitsAdded, addsOnly, false},
}

// dangerNames counts the keys to a prototype where they are names, as in obj.constructor.
func (t *tally) dangerNames(v Vector, e *entry, more float64) {
	for _, name := range dangerNames {
		if string(e.text) == name && more > 0 {
			v[pollutionNames]++
		}
	}
}

// constant counts what an added string or regular expression looks for.
func (t *tally) constant(v Vector, e *entry, more float64) {
	if more == 0 {
		return
	}
	text := e.text
	for _, name := range dangerNames {
		if bytes.Contains(text, []byte(name)) {
			v[pollutionNames]++
		}
	}
	inner := unquoted(text)
	if bytes.Contains(text, []byte("..")) || bytes.Contains(text, []byte(`\.\.`)) || bytes.Contains(text, []byte(`\.{2`)) {
		v[pathDots] += more
	}
	if string(inner) == "/" || string(inner) == `\\` || string(inner) == "\\" {
		v[pathSeparator] += more
	}
	if bytes.Contains(text, []byte(`\0`)) || bytes.Contains(text, []byte(`\x00`)) || bytes.Contains(text, []byte(`\u0000`)) || bytes.Contains(text, []byte("%00")) {
		v[pathResolve] += more
	}
	if string(inner) == "-" || string(inner) == "--" || string(inner) == "^-" {
		v[commandOption] += more
	}
	if string(inner) == "?" || bytes.Contains(inner, []byte("= ?")) || bytes.Contains(inner, []byte("%s")) || bytes.Contains(inner, []byte("=?")) || bytes.Contains(inner, []byte("(?,")) || bytes.Contains(inner, []byte("= $1")) {
		v[queryParameters] += more
	}
}

// relations looks at comparisons by order.
func (t *tally) relations(v Vector) {
	added, removed := 0, 0
	for _, op := range []string{"<", "<=", ">", ">="} {
		if e := t.bag[op]; e != nil {
			added += max(e.net(), 0)
			removed += max(-e.net(), 0)
		}
	}
	v[boundsCheck] = float64(added)
	one := t.bag["1"]
	v[relationChanged] = truth(added > 0 && added == removed || one != nil && one.net() != 0)
	if added == 0 {
		v[limitsAdded] = 0
	}
	v[limitsAdded] = min(v[limitsAdded], float64(added))
	v[pollutionNames] = min(v[pollutionNames], 3)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func ratio(part, whole int) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
