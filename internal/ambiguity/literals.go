package ambiguity

import (
	"slices"
	"strings"
)

// maxSource is how many bytes of a source are looked at; a larger one has no literals here.
const maxSource = 8 << 20

// Literal is a regular expression as a source holds it.
type Literal struct {
	// Line of the source on which it begins, from 1.
	Line int
	// Pattern and Flags are as Parse takes them; Flags tells also from which language the pattern is.
	Pattern, Flags string
	// Partial is true if some of the pattern is only known when the program runs. Pattern has an empty group there.
	Partial bool
}

// Literals returns the regular expressions of a JavaScript or Python source in the order of their lines: literals, and
// calls that make one of a constant text. Texts that are put together of constants count, as far as concatenation,
// join, % and format go; one of which nothing is known before the program runs doesn't. Other languages have none.
func Literals(source []byte, language string) []Literal {
	if len(source) > maxSource {
		return nil
	}
	var found []Literal
	switch strings.ToLower(language) {
	case "javascript", "js", "typescript", "ts":
		found = javascriptLiterals(lexJavaScript(source))
	case "python", "py":
		found = pythonLiterals(lexPython(source))
	}
	slices.SortStableFunc(found, func(a, b Literal) int { return a.Line - b.Line })
	return found
}

// tokenKind says what a token of a source is.
type tokenKind int

const (
	tokenName tokenKind = iota + 1
	tokenText
	tokenRegexp
	tokenNumber
	tokenMark    // one character of punctuation, or ++ and --
	tokenUnknown // a text that isn't constant
)

// token is a word of a source. Its text is decoded: what the string is, not how it is written.
type token struct {
	kind  tokenKind
	text  string
	flags string // of a tokenRegexp
	line  int
	depth int // brackets around it
}

func (t token) is(text string) bool {
	return (t.kind == tokenMark || t.kind == tokenName) && t.text == text
}

// among tells whether a token is one of some marks.
func (t token) among(marks string) bool {
	return t.kind == tokenMark && strings.Contains(marks, t.text)
}

// tokens is a source in words; reading past the end gives empty ones.
type tokens []token

func (ts tokens) at(i int) token {
	if i < 0 || i >= len(ts) {
		return token{}
	}
	return ts[i]
}

// value is a constant: a text, a list of texts, or an expression's pattern.
type value struct {
	text  string
	list  []string
	kind  tokenKind // tokenText, tokenRegexp, or 0 for a list
	flags string
}

// evaluator works out constants while it walks through a source from its beginning: a name is worth what it was last
// given, whatever function that was in.
type evaluator struct {
	tokens tokens
	python bool
	known  map[string]value
	deep   int
	formed int // bytes of the texts that were put together
	looked int // tokens looked at
}

// What a source's constants may cost. Beyond it, the rest of its expressions counts as unknown.
const (
	maxFormed = 1 << 22 // bytes put together
	maxLooked = 1 << 24 // tokens looked at, some of them again and again
)

// hole stands in a text for what isn't known; it is a code point that no text may hold.
const hole = "\ufdd0"

func unknown() value { return value{kind: tokenText, text: hole} }

// hollow tells whether nothing at all is known.
func (v value) hollow() bool {
	return v.kind == tokenText && v.text != "" && strings.Trim(v.text, hole) == ""
}

// literal makes a pattern's holes something that Parse reads: an empty group, or in a class a character that hardly
// matters.
func literal(line int, pattern, flags string) Literal {
	if !strings.Contains(pattern, hole) {
		return Literal{Line: line, Pattern: pattern, Flags: flags}
	}
	var out strings.Builder
	class, escaped := false, false
	for _, r := range pattern {
		switch {
		case string(r) == hole && class:
			out.WriteString(`\x00`)
			continue
		case string(r) == hole:
			out.WriteString("(?:)")
			continue
		case escaped:
		case r == '[':
			class = true
		case r == ']':
			class = false
		}
		escaped = r == '\\' && !escaped
		out.WriteRune(r)
	}
	return Literal{Line: line, Pattern: out.String(), Flags: flags, Partial: true}
}

// learn notes an assignment whose name is at i.
func (e *evaluator) learn(i int) {
	name := e.tokens.at(i)
	if name.kind != tokenName || !e.tokens.at(i+1).is("=") || e.tokens.at(i+2).is("=") || e.tokens.at(i+2).is(">") {
		return
	}
	v, next, ok := e.sum(i + 2)
	if !ok || !e.ends(next) || v.hollow() {
		delete(e.known, name.text)
		return
	}
	e.known[name.text] = v
}

// ends tells whether an expression is over before the token at i.
func (e *evaluator) ends(i int) bool {
	t := e.tokens.at(i)
	if t.kind != tokenMark {
		return t.kind == 0 || t.line > e.tokens.at(i-1).line
	}
	return t.among(";,)}]:") || (e.python && t.line > e.tokens.at(i-1).line)
}

// sum reads operands joined by + and, in Python, %.
func (e *evaluator) sum(i int) (value, int, bool) {
	if e.deep >= maxDepth || e.looked > maxLooked {
		return value{}, i, false
	}
	e.deep++
	e.looked++
	defer func() { e.deep-- }()
	left, i, ok := e.settle(i)
	for ok {
		sign := e.tokens.at(i)
		if !sign.is("+") && (!e.python || !sign.is("%")) {
			break
		}
		var right value
		if right, i, ok = e.settle(i + 1); !ok {
			break
		}
		var fits bool
		if left, fits = e.combine(left, sign.text, right); !fits {
			left = unknown()
		}
	}
	return left, i, ok
}

// settle reads an operand, or steps over one that isn't constant.
func (e *evaluator) settle(i int) (value, int, bool) {
	v, next, ok := e.operand(i)
	if ok && (e.tokens.at(next).is("+") || e.tokens.at(next).is(",") || (e.python && e.tokens.at(next).is("%")) || e.ends(next)) {
		return v, next, true
	}
	next = e.skip(i)
	return unknown(), next, next > i
}

// farAhead bounds how many tokens of an expression, a call or an import are looked at.
const farAhead = 400

// skip steps over an operand. It returns where it began if that has no end nearby.
func (e *evaluator) skip(begin int) int {
	depth := 0
	for i := begin; i < begin+farAhead; i++ {
		t := e.tokens.at(i)
		e.looked++
		switch {
		case t.kind == 0:
			return i
		case depth == 0 && i > begin && e.newStatement(i):
			return i
		case t.kind != tokenMark:
		case depth == 0 && (t.among("+,;)]}") || (e.python && t.text == "%")):
			return i
		case t.among("([{"):
			depth++
		case t.among(")]}"):
			depth--
		}
	}
	return begin
}

// newStatement tells whether the token at i stands on a line that doesn't go on with the one before.
func (e *evaluator) newStatement(i int) bool {
	t, last := e.tokens[i], e.tokens.at(i-1)
	if t.line == last.line {
		return false
	}
	if e.python {
		return t.depth == 0
	}
	return t.kind == tokenName && (last.kind != tokenMark || last.is(")") || last.is("]") || last.is("}"))
}

func (e *evaluator) combine(left value, sign string, right value) (value, bool) {
	switch {
	case sign == "%" && left.kind == tokenText:
		args := right.list
		if right.kind == tokenText {
			args = []string{right.text}
		}
		return e.percent(left.text, args)
	case left.kind == tokenText && right.kind == tokenText:
		return e.form(left.text, right.text)
	case left.kind == 0 && right.kind == 0:
		return value{list: append(slices.Clip(left.list), right.list...)}, true
	}
	return value{}, false
}

// form puts texts together, within the bound.
func (e *evaluator) form(parts ...string) (value, bool) {
	for _, part := range parts {
		e.formed += len(part)
	}
	if e.formed > maxFormed {
		return value{}, false
	}
	return value{kind: tokenText, text: strings.Join(parts, "")}, true
}

// percent fills %s and %d of a text, which are the only ones that constants of texts need.
func (e *evaluator) percent(format string, args []string) (value, bool) {
	var parts []string
	for {
		before, after, found := strings.Cut(format, "%")
		parts = append(parts, before)
		switch {
		case !found:
			if len(args) > 0 {
				return value{}, false
			}
			return e.form(parts...)
		case strings.HasPrefix(after, "%"):
			parts = append(parts, "%")
		case strings.HasPrefix(after, "s") && len(args) > 0:
			parts, args = append(parts, args[0]), args[1:]
		case strings.HasPrefix(after, "(") && strings.Contains(after, ")s"):
			_, after, _ = strings.Cut(after, ")")
			parts, args = append(parts, hole), nil
		default:
			return value{}, false
		}
		format = after[1:]
	}
}

// operand reads a primary and the methods behind it.
func (e *evaluator) operand(i int) (value, int, bool) {
	v, i, ok := e.primary(i)
	for ok && e.tokens.at(i).is(".") {
		method := e.tokens.at(i + 1).text
		switch {
		case method == "source" && v.kind == tokenRegexp:
			v, i = value{kind: tokenText, text: v.text}, i+2
		case (method == "join" || method == "format") && e.tokens.at(i+2).is("("):
			var args []value
			if args, i, ok = e.list(i+3, ")"); ok {
				v, ok = e.call(v, method, args)
			}
		default:
			return v, i, false
		}
	}
	return v, i, ok
}

func (e *evaluator) call(v value, method string, args []value) (value, bool) {
	switch {
	case method == "join" && e.python && len(args) == 1 && v.kind == tokenText && args[0].kind == 0:
		return e.join(args[0].list, v.text)
	case method == "join" && !e.python && v.kind == 0 && len(args) == 0:
		return e.join(v.list, ",")
	case method == "join" && !e.python && v.kind == 0 && args[0].kind == tokenText:
		return e.join(v.list, args[0].text)
	case method == "format" && e.python && v.kind == tokenText:
		return e.format(v.text, args)
	}
	return value{}, false
}

func (e *evaluator) join(list []string, by string) (value, bool) {
	var parts []string
	for i, item := range list {
		if i > 0 {
			parts = append(parts, by)
		}
		parts = append(parts, item)
	}
	return e.form(parts...)
}

// format fills the {} of a text in order.
func (e *evaluator) format(format string, args []value) (value, bool) {
	var parts []string
	for format != "" {
		at := strings.IndexAny(format, "{}")
		if at < 0 {
			parts = append(parts, format)
			break
		}
		parts = append(parts, format[:at])
		mark := format[at:min(at+2, len(format))]
		switch {
		case mark == "{{" || mark == "}}":
			parts = append(parts, mark[:1])
		case mark == "{}" && len(args) > 0 && args[0].kind == tokenText:
			parts, args = append(parts, args[0].text), args[1:]
		case mark[0] == '{' && strings.Contains(format[at:], "}"):
			parts = append(parts, hole)
			at = strings.IndexByte(format[at:], '}') + at - 1
		default:
			return value{}, false
		}
		format = format[at+2:]
	}
	return e.form(parts...)
}

func (e *evaluator) primary(i int) (value, int, bool) {
	t := e.tokens.at(i)
	switch {
	case t.kind == tokenText:
		return e.adjacent(i)
	case t.kind == tokenRegexp:
		return value{kind: tokenRegexp, text: t.text, flags: t.flags}, i + 1, true
	case t.is("re") && e.tokens.at(i+1).is(".") && e.tokens.at(i+2).is("escape") && e.tokens.at(i+3).is("("):
		args, next, ok := e.list(i+4, ")")
		if !ok || len(args) != 1 || args[0].kind != tokenText {
			return value{}, i, false
		}
		return value{kind: tokenText, text: escape(args[0].text)}, next, true
	case t.kind == tokenName:
		for e.tokens.at(i+1).is(".") && e.tokens.at(i+2).kind == tokenName && !method(e.tokens.at(i+2).text) {
			i += 2
		}
		v, ok := e.known[e.tokens.at(i).text]
		return v, i + 1, ok
	case t.is("("):
		return e.parenthesis(i)
	case t.is("["):
		items, next, ok := e.list(i+1, "]")
		return gather(items, next, ok)
	}
	return value{}, i, false
}

// escape does what Python's re.escape does.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		if strings.ContainsRune("()[]{}?*+-|^$\\.&~# \t\n\r\v\f", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

func method(name string) bool { return name == "source" || name == "join" || name == "format" }

// adjacent reads a text and, in Python, those that stand right behind it.
func (e *evaluator) adjacent(i int) (value, int, bool) {
	parts := []string{e.tokens[i].text}
	for i++; e.python && e.tokens.at(i).kind == tokenText; i++ {
		if t := e.tokens[i]; t.depth == 0 && t.line != e.tokens[i-1].line {
			break
		}
		parts = append(parts, e.tokens[i].text)
	}
	v, ok := e.form(parts...)
	return v, i, ok
}

// parenthesis reads an expression in parentheses, or a tuple.
func (e *evaluator) parenthesis(i int) (value, int, bool) {
	items, next, ok := e.list(i+1, ")")
	if ok && len(items) == 1 && !e.tokens.at(next-2).is(",") {
		return items[0], next, true
	}
	if !e.python {
		return value{}, i, false
	}
	return gather(items, next, ok)
}

func (e *evaluator) list(i int, end string) (items []value, next int, ok bool) {
	for !e.tokens.at(i).is(end) {
		var v value
		if v, i, ok = e.sum(i); !ok {
			return nil, i, false
		}
		items = append(items, v)
		if e.tokens.at(i).is(",") {
			i++
		} else if !e.tokens.at(i).is(end) {
			return nil, i, false
		}
	}
	return items, i + 1, true
}

func gather(items []value, next int, ok bool) (value, int, bool) {
	v := value{list: []string{}}
	for _, item := range items {
		if item.kind != tokenText {
			return value{}, next, false
		}
		v.list = append(v.list, item.text)
	}
	return v, next, ok
}
