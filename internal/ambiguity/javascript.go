package ambiguity

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// javascriptLiterals collects what is written between slashes or given to RegExp.
func javascriptLiterals(ts tokens) []Literal {
	e := &evaluator{tokens: ts, known: map[string]value{}}
	var found []Literal
	for i, t := range ts {
		switch {
		case t.kind == tokenRegexp:
			found = append(found, Literal{Line: t.line, Pattern: t.text, Flags: t.flags})
		case t.is("RegExp") && ts.at(i+1).is("("):
			v, next, ok := e.sum(i + 2)
			if !ok || v.kind != tokenText || v.hollow() || !e.ends(next) {
				continue
			}
			flags := ""
			if f, end, ok := e.sum(next + 1); ts.at(next).is(",") && ok && f.kind == tokenText && !f.hollow() && e.ends(end) {
				flags = f.text
			}
			found = append(found, literal(t.line, v.text, flags))
		default:
			e.learn(i)
		}
	}
	return found
}

// javascriptLexer divides a source into tokens. It never fails: what it can't read becomes punctuation.
type javascriptLexer struct {
	src    []byte
	pos    int
	line   int
	out    tokens
	opened []bracket
	wasted int // bytes read for the end of expressions that were none
}

// bracket is an opened bracket. A slash behind the parentheses of if, for, while or with begins an expression.
type bracket struct {
	mark     byte
	heads    bool // belongs to if, for, while or with
	template bool // a substitution: a template goes on behind its end
	raw      bool // of String.raw
}

func lexJavaScript(src []byte) tokens {
	l := &javascriptLexer{src: src, line: 1}
	if bytes.HasPrefix(src, []byte("#!")) {
		l.skipLine()
	}
	for l.pos < len(l.src) {
		l.next()
	}
	return l.out
}

func (l *javascriptLexer) emit(kind tokenKind, text string) {
	l.out = append(l.out, token{kind: kind, text: text, line: l.line, depth: len(l.opened)})
}

func (l *javascriptLexer) peek(i int) byte {
	if l.pos+i < len(l.src) {
		return l.src[l.pos+i]
	}
	return 0
}

func (l *javascriptLexer) skipLine() {
	if end := bytes.IndexByte(l.src[l.pos:], '\n'); end >= 0 {
		l.pos += end
	} else {
		l.pos = len(l.src)
	}
}

func (l *javascriptLexer) next() {
	c := l.src[l.pos]
	switch {
	case c == '\n':
		l.line++
		l.pos++
	case c == ' ' || c == '\t' || c == '\r':
		l.pos++
	case c == '/' && l.peek(1) == '/':
		l.skipLine()
	case c == '/' && l.peek(1) == '*':
		l.skipComment()
	case c == '/' && l.expectsValue() && l.regexp():
	case c == '"' || c == '\'':
		l.quoted(c)
	case c == '`':
		l.pos++
		l.template(l.tagged(), true)
	case isNameByte(c) && (c < '0' || c > '9'):
		l.emit(tokenName, l.word())
	case c >= '0' && c <= '9':
		l.emit(tokenNumber, l.word())
	default:
		l.mark(c)
	}
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || (c|0x20 >= 'a' && c|0x20 <= 'z') || (c >= '0' && c <= '9')
}

func (l *javascriptLexer) word() string {
	start := l.pos
	for l.pos < len(l.src) && isNameByte(l.src[l.pos]) {
		l.pos++
	}
	return string(l.src[start:l.pos])
}

func (l *javascriptLexer) skipComment() {
	comment := l.src[l.pos:]
	if end := bytes.Index(comment[2:], []byte("*/")); end >= 0 {
		comment = comment[:end+4]
	}
	l.line += bytes.Count(comment, []byte("\n"))
	l.pos += len(comment)
}

// mark takes one character of punctuation and keeps account of brackets.
func (l *javascriptLexer) mark(c byte) {
	if (c == '+' || c == '-') && l.peek(1) == c {
		l.pos += 2
		l.emit(tokenMark, string([]byte{c, c}))
		return
	}
	l.pos++
	switch c {
	case '(', '[', '{':
		last := l.out.at(len(l.out) - 1)
		heads := c == '(' && last.kind == tokenName && slices.Contains([]string{"if", "for", "while", "with"}, last.text)
		l.emit(tokenMark, string(c))
		l.opened = append(l.opened, bracket{mark: c, heads: heads})
	case ')', ']', '}':
		l.closeBracket(c)
	default:
		l.emit(tokenMark, string(c))
	}
}

func (l *javascriptLexer) closeBracket(c byte) {
	var b bracket
	if n := len(l.opened); n > 0 {
		b = l.opened[n-1]
		l.opened = l.opened[:n-1]
	}
	if b.template && c == '}' {
		l.emit(tokenMark, ")")
		l.emit(tokenMark, "+")
		l.template(b.raw, false)
		return
	}
	l.emit(tokenMark, string(c))
	if b.heads {
		l.out[len(l.out)-1].flags = "heads"
	}
}

// before names the words that a value follows.
var before = strings.Fields("return typeof case in of delete void throw new else do instanceof yield await default")

// expectsValue tells whether a slash here begins an expression rather than divides. After a brace it is taken for the
// beginning, as a block's end is more frequent than the division of an object.
func (l *javascriptLexer) expectsValue() bool {
	last := l.out.at(len(l.out) - 1)
	switch last.kind {
	case tokenName:
		return slices.Contains(before, last.text) && !l.out.at(len(l.out)-2).is(".")
	case tokenText, tokenRegexp, tokenNumber, tokenUnknown:
		return false
	}
	switch last.text {
	case ")":
		return last.flags == "heads"
	case "]", "++", "--":
		return false
	}
	return true
}

// regexp reads a literal; without an end on its line it isn't one.
func (l *javascriptLexer) regexp() bool {
	class := false
	for i := l.pos + 1; i < len(l.src) && l.src[i] != '\n' && l.wasted < 4*maxSource; i++ {
		l.wasted++
		switch c := l.src[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			pattern := string(l.src[l.pos+1 : i])
			l.wasted -= i - l.pos
			l.pos = i + 1
			l.emit(tokenRegexp, pattern)
			l.out[len(l.out)-1].flags = l.word()
			return true
		}
	}
	return false
}

// quoted reads a string. A line's end that isn't escaped ends it, which real sources don't have.
func (l *javascriptLexer) quoted(quote byte) {
	var text strings.Builder
	line := l.line
	for l.pos++; l.pos < len(l.src) && l.src[l.pos] != quote && l.src[l.pos] != '\n'; {
		l.char(&text)
	}
	if l.peek(0) == quote {
		l.pos++
	}
	l.emit(tokenText, text.String())
	l.out[len(l.out)-1].line = line
}

// char reads one character of a string, escaped or not.
func (l *javascriptLexer) char(text *strings.Builder) {
	c := l.src[l.pos]
	l.pos++
	if c == '\n' {
		l.line++
	}
	if c != '\\' || l.pos >= len(l.src) {
		text.WriteByte(c)
		return
	}
	c = l.src[l.pos]
	l.pos++
	switch c {
	case '\r':
		if l.peek(0) == '\n' {
			l.pos++
		}
		l.line++
	case '\n':
		l.line++
	case 'n', 't', 'r', 'f', 'v':
		text.WriteRune(controls[rune(c)])
	case 'b':
		text.WriteByte('\b')
	case '0':
		text.WriteByte(0)
	case 'x':
		l.code(text, 2)
	case 'u':
		l.code(text, 4)
	default:
		text.WriteByte(c)
	}
}

// code reads the number of a character: so many digits, or any in braces.
func (l *javascriptLexer) code(text *strings.Builder, count int) {
	number := l.src[l.pos:min(l.pos+count, len(l.src))]
	skip := len(number)
	if l.peek(0) == '{' {
		if end := bytes.IndexByte(l.src[l.pos:min(l.pos+10, len(l.src))], '}'); end > 0 {
			number, skip = l.src[l.pos+1:l.pos+end], end+1
		}
	}
	n, err := strconv.ParseUint(string(number), 16, 32)
	if err != nil || n > utf8.MaxRune {
		return
	}
	text.WriteRune(rune(n))
	l.pos += skip
}

// tagged drops String.raw before a template and tells whether it was there.
func (l *javascriptLexer) tagged() bool {
	n := len(l.out)
	if !l.out.at(n-1).is("raw") || !l.out.at(n-2).is(".") || !l.out.at(n-3).is("String") {
		return false
	}
	l.out = l.out[:n-3]
	return true
}

// template reads a template up to its end or its next substitution. `a${b}c` becomes ("a"+(b)+"c").
func (l *javascriptLexer) template(raw, first bool) {
	var text strings.Builder
	if first {
		l.emit(tokenMark, "(")
	}
	for l.pos < len(l.src) && l.src[l.pos] != '`' {
		if l.src[l.pos] == '$' && l.peek(1) == '{' {
			l.pos += 2
			l.emit(tokenText, text.String())
			l.emit(tokenMark, "+")
			l.emit(tokenMark, "(")
			l.opened = append(l.opened, bracket{mark: '{', template: true, raw: raw})
			return
		}
		l.templateChar(raw, &text)
	}
	l.pos++
	l.emit(tokenText, text.String())
	l.emit(tokenMark, ")")
}

func (l *javascriptLexer) templateChar(raw bool, text *strings.Builder) {
	start := l.pos
	if !raw {
		l.char(text)
		return
	}
	var decoded strings.Builder
	l.char(&decoded)
	text.Write(l.src[start:min(l.pos, len(l.src))])
}
