package mutate

import (
	"strings"
	"unicode/utf8"
)

// Kind is a class of tokens.
type Kind byte

// The kinds.
const (
	Word Kind = iota
	Number
	String // with its quotes; a template or a raw string too
	Regexp // a literal of JavaScript
	Comment
	Punct
)

// Token is a piece of a text. Blanks are no tokens.
type Token struct {
	Kind       Kind
	Start, End int
	Text       string
}

// Scan cuts a text into tokens. It never fails: what it doesn't know is punctuation.
func Scan(l Language, text string) []Token {
	s := scanner{lang: l, text: text}
	for s.at < len(text) {
		if c := text[s.at]; c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' {
			s.at++
			continue
		}
		start := s.at
		kind := s.next()
		s.at = min(max(s.at, start+1), len(text))
		s.tokens = append(s.tokens, Token{kind, start, s.at, text[start:s.at]})
	}
	return s.tokens
}

type scanner struct {
	lang   Language
	text   string
	at     int
	tokens []Token
}

func (s *scanner) rest() string { return s.text[s.at:] }

func (s *scanner) next() Kind {
	c := s.text[s.at]
	switch {
	case s.comment():
		return Comment
	case wordByte(c):
		return s.word()
	case c >= '0' && c <= '9':
		s.run(func(c byte) bool { return wordByte(c) || c >= '0' && c <= '9' || c == '.' })
		return Number
	case c == '"' || c == '\'' || c == '`':
		return s.quoted()
	case c == '/' && s.lang == JavaScript && s.regexpHere():
		return s.regexp()
	}
	s.punct()
	return Punct
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func (s *scanner) run(in func(byte) bool) {
	for s.at < len(s.text) && in(s.text[s.at]) {
		s.at++
	}
}

func (s *scanner) word() Kind {
	start := s.at
	s.run(func(c byte) bool { return wordByte(c) || c >= '0' && c <= '9' })
	if s.lang == Python && s.at-start <= 2 && s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') &&
		strings.Trim(strings.ToLower(s.text[start:s.at]), "rbuf") == "" {
		return s.quoted()
	}
	return Word
}

// comment steps over a comment if one begins here.
func (s *scanner) comment() bool {
	rest := s.rest()
	switch {
	case s.lang == Python || s.lang == PHP && rest[0] == '#' && !strings.HasPrefix(rest, "#["):
		if rest[0] != '#' {
			return false
		}
		s.line()
	case s.at == 0 && strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "//"):
		s.line()
	case strings.HasPrefix(rest, "/*"):
		end := strings.Index(rest[2:], "*/")
		if s.at += end + 4; end < 0 {
			s.at = len(s.text)
		}
	default:
		return false
	}
	return true
}

func (s *scanner) line() {
	if end := strings.IndexByte(s.rest(), '\n'); end >= 0 {
		s.at += end
		return
	}
	s.at = len(s.text)
}

func (s *scanner) quoted() Kind {
	quote := s.text[s.at]
	if s.lang == Python {
		if triple := strings.Repeat(string(quote), 3); strings.HasPrefix(s.rest(), triple) {
			s.at += 3
			if end := strings.Index(s.rest(), triple); end >= 0 {
				s.at += end + 3
			} else {
				s.at = len(s.text)
			}
			return String
		}
	}
	if s.lang == Rust && quote == '\'' && !s.char() {
		s.at++
		return Punct // a lifetime
	}
	if quote == '`' && s.lang == JavaScript {
		s.template()
		return String
	}
	raw := quote == '`' && s.lang == Go
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && !raw:
			s.at++
		case c == quote:
			s.at++
			return String
		case c == '\n' && !raw && s.lang != PHP && s.lang != Rust:
			return String
		}
	}
	return String
}

// char says whether a character literal of Rust begins here.
func (s *scanner) char() bool {
	rest := s.rest()[1:]
	if strings.HasPrefix(rest, `\`) {
		return true
	}
	_, n := utf8.DecodeRuneInString(rest)
	return strings.HasPrefix(rest[n:], "'")
}

// template steps over a template of JavaScript, with what is nested in it.
func (s *scanner) template() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch rest := s.rest(); {
		case rest[0] == '\\':
			s.at++
		case rest[0] == '`':
			s.at++
			return
		case strings.HasPrefix(rest, "${"):
			s.at += 2
			for depth := 1; s.at < len(s.text); s.at++ {
				switch s.text[s.at] {
				case '{':
					depth++
				case '}':
					depth--
				case '`':
					s.template()
					s.at--
				}
				if depth == 0 {
					break
				}
			}
		}
	}
}

// regexpHere says whether a slash begins a regular expression: it does where a value can't have ended just before.
func (s *scanner) regexpHere() bool {
	for i := len(s.tokens) - 1; i >= 0; i-- {
		t := s.tokens[i]
		switch t.Kind {
		case Comment:
			continue
		case Word:
			switch t.Text {
			case "return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else", "instanceof", "yield", "await":
				return true
			}
			return false
		case Punct:
			return t.Text != ")" && t.Text != "]" && t.Text != "}" && t.Text != "++" && t.Text != "--"
		}
		return false
	}
	return true
}

func (s *scanner) regexp() Kind {
	class := false
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\':
			i++
		case c == '\n':
			s.at++
			return Punct
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			s.at = i + 1
			s.run(wordByte)
			return Regexp
		}
	}
	s.at++
	return Punct
}

// puncts are operators of more than one character, the longest first.
var puncts = []string{
	">>>=", "===", "!==", "**=", "<<=", ">>=", ">>>", "...", "&&=", "||=", "??=", "&^=",
	"==", "!=", "<=", ">=", "&&", "||", "??", "?.", "=>", "->", "::", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
	"<<", ">>", "**", ":=", "<-", "..", "//",
}

func (s *scanner) punct() {
	rest := s.rest()
	for _, p := range puncts {
		if strings.HasPrefix(rest, p) {
			s.at += len(p)
			return
		}
	}
	_, n := utf8.DecodeRuneInString(rest)
	s.at += n
}

// Balanced says whether every bracket of a text is closed by its own, strings and comments aside.
func Balanced(l Language, text string) bool {
	var open []byte
	for _, t := range Scan(l, text) {
		if t.Kind != Punct || len(t.Text) != 1 {
			continue
		}
		switch c := t.Text[0]; c {
		case '(', '[', '{':
			open = append(open, c)
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != map[byte]byte{')': '(', ']': '[', '}': '{'}[c] {
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0
}

// Code returns a text's lines without comments and, where they mean nothing, without blanks. A line that holds nothing
// else is "".
func Code(l Language, text string) []string {
	starts := lineStarts(text)
	lines := make([]strings.Builder, len(starts))
	at := 0
	for _, t := range Scan(l, text) {
		for at+1 < len(starts) && starts[at+1] <= t.Start {
			at++
		}
		if t.Kind == Comment {
			continue
		}
		b := &lines[at]
		if b.Len() == 0 && l == Python {
			b.WriteString(text[starts[at]:t.Start])
		}
		for i, piece := range strings.Split(t.Text, "\n") { // a long string goes on over several lines
			if at+i < len(lines) {
				lines[at+i].WriteString(piece)
				lines[at+i].WriteByte(' ')
			}
		}
	}
	out := make([]string, len(lines))
	for i := range lines {
		out[i] = lines[i].String()
	}
	return out
}

// lineStarts are the offsets at which the lines of a text begin. A text that ends with a newline has no line after it.
func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) - 1 {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}
