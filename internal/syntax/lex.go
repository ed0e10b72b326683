package syntax

// TokenKind says what a token is.
type TokenKind uint8

// The kinds of tokens. Words are names, keywords and literals such as true.
const (
	Operator TokenKind = iota
	Word
	Numeral
	Text    // a string, with its quotes
	Pattern // a regular expression, with its slashes and flags
	Remark  // a comment
)

// Token is one token of a text, in bytes, End excluded.
type Token struct {
	Kind       TokenKind
	Start, End uint32
}

// Of is the token's text.
func (t Token) Of(source []byte) []byte { return source[t.Start:t.End] }

// Lex reads the tokens of any text, comments among them, without a grammar: in one pass, whatever the text. It is made
// for whole files that are too large to parse, for languages without a grammar (Unknown), and for fragments, such as the
// lines of a patch: a string that isn't closed ends with its line.
func Lex(lang Language, source []byte) []Token {
	l := lexer{lang: lang, src: source, out: make([]Token, 0, len(source)/4+1)}
	for l.at < len(source) {
		l.next()
	}
	return l.out
}

type lexer struct {
	lang Language
	src  []byte
	at   int
	out  []Token
	// stray is where the search for the end of a string or a regular expression last gave up: before it, none is begun.
	// It keeps the work linear in texts made of quotes.
	stray int
}

func (l *lexer) peek(ahead int) byte {
	if l.at+ahead < len(l.src) {
		return l.src[l.at+ahead]
	}
	return 0
}

// emit ends a token at end.
func (l *lexer) emit(kind TokenKind, end int) {
	l.out = append(l.out, Token{kind, uint32(l.at), uint32(end)})
	l.at = end
}

func (l *lexer) next() {
	c := l.src[l.at]
	switch {
	case c <= ' ' || c == 0x7f:
		l.at++
	case isDigit(c):
		l.emit(Numeral, l.scan(l.at+1, isNumberByte))
	case isWordByte(c):
		if end := l.prefixedString(); end > 0 {
			l.emit(Text, end)
			return
		}
		l.emit(Word, l.scan(l.at+1, isWordByte))
	case l.comment(c):
	case c == '"' || c == '\'' || c == '`':
		l.emit(l.quoted(c))
	case c == '/' && l.regexMayStart():
		if end := l.regexEnd(); end > 0 {
			l.emit(Pattern, end)
			return
		}
		l.emit(Operator, l.at+1)
	default:
		l.emit(Operator, l.at+operatorLength(c, l.peek(1), l.peek(2)))
	}
}

func (l *lexer) scan(from int, in func(byte) bool) int {
	for from < len(l.src) && in(l.src[from]) {
		from++
	}
	return from
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isNumberByte(c byte) bool {
	return isDigit(c) || c == '.' || c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
func isWordByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' || isDigit(c) || c >= 0x80
}

// comment reads a comment, if one starts here.
func (l *lexer) comment(c byte) bool {
	slashes := l.lang != Python
	hash := l.lang == Python || l.lang == PHP || l.lang == Unknown
	switch {
	case slashes && c == '/' && l.peek(1) == '/':
		l.emit(Remark, l.lineEnd(l.at))
	case slashes && c == '/' && l.peek(1) == '*':
		l.emit(Remark, l.find(l.at+2, "*/"))
	case hash && c == '#' && (l.lang != PHP || l.peek(1) != '['):
		l.emit(Remark, l.lineEnd(l.at))
	case c == '<' && l.peek(1) == '!' && l.peek(2) == '-' && l.peek(3) == '-' && (l.lang == Unknown || l.lang == PHP):
		l.emit(Remark, l.find(l.at+4, "-->"))
	default:
		return false
	}
	return true
}

func (l *lexer) lineEnd(from int) int {
	for from < len(l.src) && l.src[from] != '\n' {
		from++
	}
	return from
}

// find is where the first mark after from ends, or the end of the text.
func (l *lexer) find(from int, mark string) int {
	for ; from+len(mark) <= len(l.src); from++ {
		if string(l.src[from:from+len(mark)]) == mark {
			return from + len(mark)
		}
	}
	return len(l.src)
}

// quoted reads a string that starts here with the quote c. A quote of a lifetime ('a) or an apostrophe, which nothing on
// the line closes, is an operator.
func (l *lexer) quoted(c byte) (TokenKind, int) {
	if c != '`' && l.peek(1) == c && l.peek(2) == c && (l.lang == Python || l.lang == Java && c == '"') {
		return Text, l.find(l.at+3, string([]byte{c, c, c}))
	}
	if l.at < l.stray {
		return Operator, l.at + 1
	}
	lines := c == '`' || l.lang == PHP || l.lang == Rust && c == '"'
	for at := l.at + 1; at < len(l.src); at++ {
		switch ch := l.src[at]; {
		case ch == c:
			return Text, at + 1
		case ch == '\\' && (c != '`' || l.lang != Go):
			at++
		case ch == '\n' && !lines:
			return l.unclosed(c, at)
		case at-l.at > maxString:
			l.stray = at
			return Operator, l.at + 1
		}
	}
	if lines {
		l.stray = len(l.src)
		return Operator, l.at + 1
	}
	return l.unclosed(c, len(l.src))
}

// maxString keeps a stray quote from swallowing a file, and many of them from costing its length each.
const maxString = 1 << 12

func (l *lexer) unclosed(c byte, end int) (TokenKind, int) {
	if c == '\'' {
		l.stray = end
		return Operator, l.at + 1
	}
	return Text, end
}

// prefixedString reads a string such as r"..", b'..' or f".." and returns where it ends, or 0.
func (l *lexer) prefixedString() int {
	if l.lang != Python && l.lang != Rust {
		return 0
	}
	n := 0
	for n < 3 && isStringPrefix(l.peek(n)) {
		n++
	}
	if c := l.peek(n); n == 0 || n == 3 || c != '"' && c != '\'' {
		return 0
	}
	start := l.at
	l.at += n
	kind, end := l.quoted(l.src[l.at])
	l.at = start
	if kind != Text {
		return 0
	}
	return end
}

func isStringPrefix(c byte) bool {
	switch c | 0x20 {
	case 'r', 'b', 'f', 'u':
		return true
	}
	return false
}

// regexMayStart says whether a slash here can begin a regular expression rather than divide.
func (l *lexer) regexMayStart() bool {
	if l.lang != JavaScript && l.lang != TypeScript && l.lang != TSX && l.lang != Unknown {
		return false
	}
	for i := len(l.out) - 1; i >= 0; i-- {
		last := l.out[i]
		switch last.Kind {
		case Remark:
			continue
		case Operator:
			c := l.src[last.End-1]
			return c != ')' && c != ']' && c != '}'
		case Word:
			switch string(last.Of(l.src)) {
			case "return", "typeof", "case", "in", "of", "delete", "void", "throw", "do", "else", "yield", "await", "instanceof":
				return true
			}
			return false
		default:
			return false
		}
	}
	return true
}

// regexEnd is where the regular expression that starts here ends with its flags, or 0 where the line doesn't close it.
func (l *lexer) regexEnd() int {
	inClass := false
	if l.at < l.stray {
		return 0
	}
	at := l.at + 1
	for ; at < len(l.src) && at-l.at <= maxString; at++ {
		switch c := l.src[at]; {
		case c == '\n':
			l.stray = at
			return 0
		case c == '\\':
			at++
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case c == '/' && !inClass:
			return l.scan(at+1, isWordByte)
		}
	}
	l.stray = at
	return 0
}

// operatorLength is the length of the operator that begins with a and is followed by b and c.
func operatorLength(a, b, c byte) int {
	switch a {
	case '=', '!':
		if b == '=' {
			return 2 + one(c == '=')
		}
		return 1 + one(a == '=' && b == '>')
	case '<', '>':
		if b == a {
			return 2 + one(c == '=' || c == '>' && a == '>')
		}
		return 1 + one(b == '=')
	case '&', '|', '?', '*', '+', '-':
		if b == a {
			return 2 + one(c == '=' && a != '+' && a != '-')
		}
		return 1 + one(b == '=' || a == '-' && b == '>' || a == '?' && b == '.')
	case '%', '^', '/', '~':
		return 1 + one(b == '=')
	case ':':
		return 1 + one(b == ':' || b == '=')
	case '.':
		if b == '.' {
			return 2 + one(c == '.')
		}
	}
	return 1
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
