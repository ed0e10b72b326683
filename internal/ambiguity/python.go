package ambiguity

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// calls are the functions of Python's re that take a pattern, with the flags that come of how they use it.
var calls = map[string]string{"compile": "", "search": "", "match": "y", "fullmatch": "yZ", "sub": "", "subn": "", "split": "", "findall": "", "finditer": ""}

// pythonFlags are the names of flags.
var pythonFlags = map[string]string{"I": "i", "IGNORECASE": "i", "S": "s", "DOTALL": "s", "M": "m", "MULTILINE": "m", "X": "x", "VERBOSE": "x"}

// pythonScan collects the patterns that are given to the module re.
type pythonScan struct {
	*evaluator
	modules map[string]bool
	direct  map[string]string // names imported from the module, and what they are there
	found   []Literal
	named   map[string][]int // compiled expressions by the name that they were given
}

func pythonLiterals(ts tokens) []Literal {
	s := &pythonScan{
		evaluator: &evaluator{tokens: ts, python: true, known: map[string]value{}},
		modules:   map[string]bool{"re": true, "regex": true}, direct: map[string]string{}, named: map[string][]int{},
	}
	for i, t := range ts {
		switch {
		case t.is("import"):
			s.imports(i)
		case t.kind == tokenName && ts.at(i+1).is("("):
			s.called(i)
		default:
			s.learn(i)
		}
	}
	s.used()
	return s.found
}

// imports reads "import re as x" and "from re import compile as y".
func (s *pythonScan) imports(i int) {
	line := s.tokens[i].line
	from := s.tokens.at(i-2).is("from") && s.modules[s.tokens.at(i-1).text]
	end := i + farAhead
	for i++; i < end && s.tokens.at(i).kind != 0 && (s.tokens[i].line == line || s.tokens[i].depth > 0); i++ {
		name := s.tokens[i].text
		alias := name
		if s.tokens.at(i + 1).is("as") {
			alias = s.tokens.at(i + 2).text
		}
		if _, call := calls[name]; from && call {
			s.direct[alias] = name
		} else if !from && (name == "re" || name == "regex") {
			s.modules[alias] = true
		}
	}
}

// called looks at the call of the name at i.
func (s *pythonScan) called(i int) {
	begin := i
	function := s.direct[s.tokens[i].text]
	if s.tokens.at(i - 1).is(".") {
		if function = ""; s.modules[s.tokens.at(i-2).text] {
			function, begin = s.tokens[i].text, i-2
		}
	}
	flags, known := calls[function]
	if !known {
		return
	}
	v, next, ok := s.sum(i + 2)
	if !ok || v.kind != tokenText || v.hollow() || !s.ends(next) {
		return
	}
	flags = "P" + flags + s.flags(next, s.tokens[i+1].depth)
	if s.tokens.at(begin-1).is("=") && function == "compile" {
		name := s.tokens.at(begin - 2).text
		s.named[name] = append(s.named[name], len(s.found))
	}
	s.found = append(s.found, literal(s.tokens[i].line, v.text, flags))
}

// flags collects the flags among the other arguments of a call.
func (s *pythonScan) flags(i, depth int) string {
	flags := ""
	for end := i + farAhead; i < end && s.tokens.at(i).kind != 0 && s.tokens[i].depth > depth; i++ {
		if f := pythonFlags[s.tokens[i].text]; s.tokens[i].kind == tokenName && !strings.Contains(flags, f) {
			flags += f
		}
	}
	return flags
}

// used looks at how compiled expressions are used: one that only ever matches at the beginning is never searched for.
func (s *pythonScan) used() {
	uses := map[string][]string{}
	for i, t := range s.tokens {
		method := s.tokens.at(i + 2).text
		if _, call := calls[method]; t.kind == tokenName && call && s.tokens.at(i+1).is(".") && s.tokens.at(i+3).is("(") {
			uses[t.text] = append(uses[t.text], method)
		}
	}
	for name, literals := range s.named {
		methods := uses[name]
		if len(methods) == 0 {
			continue
		}
		flags := calls[methods[0]]
		if slices.ContainsFunc(methods, func(m string) bool { return calls[m] != flags }) {
			continue
		}
		for _, i := range literals {
			s.found[i].Flags += flags
		}
	}
}

// pythonLexer divides a source into tokens. It never fails: what it can't read becomes punctuation.
type pythonLexer struct {
	src   []byte
	pos   int
	line  int
	depth int
	out   tokens
}

func lexPython(src []byte) tokens {
	l := &pythonLexer{src: src, line: 1}
	for l.pos < len(l.src) {
		l.next()
	}
	return l.out
}

func (l *pythonLexer) emit(kind tokenKind, text string, line int) {
	l.out = append(l.out, token{kind: kind, text: text, line: line, depth: l.depth})
}

func (l *pythonLexer) next() {
	c := l.src[l.pos]
	switch {
	case c == '\n':
		l.line++
		l.pos++
	case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\\':
		l.pos++
	case c == '#':
		for l.pos < len(l.src) && l.src[l.pos] != '\n' {
			l.pos++
		}
	case c == '"' || c == '\'':
		l.quoted("")
	case isNameByte(c) && c != '$':
		l.word()
	default:
		l.mark(c)
	}
}

func (l *pythonLexer) mark(c byte) {
	l.pos++
	if strings.IndexByte(")]}", c) >= 0 && l.depth > 0 {
		l.depth--
	}
	l.emit(tokenMark, string(c), l.line)
	if strings.IndexByte("([{", c) >= 0 {
		l.depth++
	}
}

var stringPrefixes = strings.Fields("r u b f br rb fr rf ur")

func (l *pythonLexer) word() {
	start := l.pos
	for l.pos < len(l.src) && isNameByte(l.src[l.pos]) {
		l.pos++
	}
	word := string(l.src[start:l.pos])
	quote := l.pos < len(l.src) && (l.src[l.pos] == '"' || l.src[l.pos] == '\'')
	switch {
	case quote && slices.Contains(stringPrefixes, strings.ToLower(word)):
		l.quoted(strings.ToLower(word))
	case word[0] >= '0' && word[0] <= '9':
		l.emit(tokenNumber, word, l.line)
	default:
		l.emit(tokenName, word, l.line)
	}
}

// quoted reads a string with its prefix: its body first, up to the quotes that no backslash stands before.
func (l *pythonLexer) quoted(prefix string) {
	quote := l.src[l.pos : l.pos+1]
	if triple := bytes.Repeat(quote, 3); bytes.HasPrefix(l.src[l.pos:], triple) {
		quote = triple
	}
	line := l.line
	l.pos += len(quote)
	start := l.pos
	for l.pos < len(l.src) && !bytes.HasPrefix(l.src[l.pos:], quote) {
		if l.src[l.pos] == '\\' && l.pos+1 < len(l.src) {
			l.pos++
		}
		if l.src[l.pos] == '\n' {
			if len(quote) == 1 && l.src[l.pos-1] != '\\' {
				break
			}
			l.line++
		}
		l.pos++
	}
	body := string(l.src[start:min(l.pos, len(l.src))])
	if bytes.HasPrefix(l.src[min(l.pos, len(l.src)):], quote) {
		l.pos += len(quote)
	}
	decode := unescape
	if strings.Contains(prefix, "r") {
		decode = func(s string) string { return s }
	}
	if strings.Contains(prefix, "f") {
		l.formatted(body, decode, line)
		return
	}
	l.emit(tokenText, decode(body), line)
}

// formatted turns f"a{b}c" into ("a"+b+"c"). A substitution that is more than a name can't be told.
func (l *pythonLexer) formatted(body string, decode func(string) string, line int) {
	l.emit(tokenMark, "(", line)
	l.depth++
	text := ""
	for body != "" {
		at := strings.IndexAny(body, "{}")
		if at < 0 {
			break
		}
		text += body[:at]
		if mark := body[at:min(at+2, len(body))]; mark == "{{" || mark == "}}" {
			text, body = text+mark[:1], body[at+2:]
			continue
		}
		name, rest, _ := strings.Cut(body[at+1:], "}")
		l.emit(tokenText, decode(text), line)
		l.emit(tokenMark, "+", line)
		kind := tokenUnknown
		if isName(name) {
			kind = tokenName
		}
		l.emit(kind, name, line)
		l.emit(tokenMark, "+", line)
		text, body = "", rest
	}
	l.emit(tokenText, decode(text+body), line)
	l.depth--
	l.emit(tokenMark, ")", line)
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || !isNameByte(byte(r)) })
}

// unescape decodes the escapes of a plain string. An unknown one keeps its backslash, as Python has it.
func unescape(s string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		out.WriteString(before)
		if !found || after == "" {
			return out.String()
		}
		s = after[1:]
		switch c := after[0]; c {
		case '\n':
		case '\\', '\'', '"':
			out.WriteByte(c)
		case 'n', 't', 'r', 'f', 'v':
			out.WriteRune(controls[rune(c)])
		case 'a', 'b':
			out.WriteByte(c - 'a' + '\a')
		case 'x', 'u', 'U':
			count := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if n, err := strconv.ParseUint(s[:min(count, len(s))], 16, 32); err == nil && n <= maxRune {
				out.WriteRune(rune(n))
				s = s[min(count, len(s)):]
			}
		case '0', '1', '2', '3', '4', '5', '6', '7':
			size := 1
			for size < min(3, len(after)) && after[size] >= '0' && after[size] <= '7' {
				size++
			}
			n, _ := strconv.ParseUint(after[:size], 8, 32)
			out.WriteRune(rune(n))
			s = after[size:]
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
}
