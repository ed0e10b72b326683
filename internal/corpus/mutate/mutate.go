// Package mutate edits source texts: it makes mutants of a fix, rewrites that keep its meaning, guards of its own, and
// edits that mean nothing.
//
// In goes a file before and after a fix; out come edited texts with a word on what was done. Places are found on the
// syntax tree; whether the edited text still parses is for Parses to say. The package is pure, and it doesn't know whether
// an edit is right: only a trial tells.
package mutate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"crisol/internal/syntax"
)

// limits let large libraries through. The time is no bound: what is made must not depend on the machine.
var limits = syntax.Limits{Bytes: 2 << 20, Steps: 2_000_000, Nodes: 3_000_000, Duration: time.Minute}

// Source is one file that a fix touches.
type Source struct {
	Lang syntax.Language
	Text string // of the file that is edited
	tree *syntax.Tree
	// spans are the stretches of Text that edits are wanted in, in bytes: what a fix added, or the functions that it
	// touched.
	spans []span
}

type span struct{ start, end int }

// Edited is a text that came of a Source. It is put together when it is asked for: there may be many of a large file.
type Edited struct {
	Note   string
	source *Source
	edits  []replacement // in the order of the text, none over another
}

// Text is the edited text. It need not parse.
func (e Edited) Text() string {
	var b strings.Builder
	at := 0
	for _, r := range e.edits {
		b.WriteString(e.source.Text[at:r.start])
		b.WriteString(r.by)
		at = r.end
	}
	b.WriteString(e.source.Text[at:])
	return b.String()
}

// Open reads a file. lines are those, from 0, that edits are wanted in. Where the language has no grammar, or the text
// doesn't parse, there is nothing to edit: ok is false.
func Open(path, text string, lines []int) (s *Source, ok bool) {
	lang := syntax.Detect(path, []byte(text))
	tree, err := syntax.Parse(context.Background(), lang, []byte(text), limits)
	if err != nil {
		return nil, false
	}
	s = &Source{Lang: lang, Text: text, tree: tree}
	starts := lineStarts(text)
	for _, line := range lines {
		if line < 0 || line >= len(starts) {
			continue
		}
		end := len(text)
		if line+1 < len(starts) {
			end = starts[line+1]
		}
		if n := len(s.spans); n > 0 && s.spans[n-1].end == starts[line] {
			s.spans[n-1].end = end
			continue
		}
		s.spans = append(s.spans, span{starts[line], end})
	}
	return s, true
}

// Parses says whether a text has no syntax errors, or none more than before it was edited. What has no grammar passes.
func Parses(path, before, after string) bool {
	lang := syntax.Detect(path, []byte(after))
	tree, err := syntax.Parse(context.Background(), lang, []byte(after), limits)
	if err != nil || !tree.HasError() {
		return true
	}
	old, err := syntax.Parse(context.Background(), lang, []byte(before), limits)
	return err == nil && before != "" && old.HasError()
}

// Code returns a text's lines without comments and, where they mean nothing, without blanks. A docstring is a comment.
func Code(path, text string) []string {
	lang := syntax.Detect(path, []byte(text))
	starts := lineStarts(text)
	lines := make([]strings.Builder, len(starts))
	at := 0
	tokens := syntax.Lex(lang, []byte(text))
	for k, t := range tokens {
		for at+1 < len(starts) && starts[at+1] <= int(t.Start) {
			at++
		}
		if t.Kind == syntax.Remark || lang == syntax.Python && docstring(text, tokens, k) {
			continue
		}
		if b := &lines[at]; b.Len() == 0 && lang == syntax.Python {
			b.WriteString(text[starts[at]:t.Start])
		}
		for i, piece := range strings.Split(text[t.Start:t.End], "\n") { // a long string goes on over several lines
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

// docstring says whether a token is a string in three quotes that stands as a statement.
func docstring(text string, tokens []syntax.Token, k int) bool {
	t := tokens[k]
	if t.Kind != syntax.Text || !strings.Contains(text[t.Start:min(int(t.End), int(t.Start)+5)], `"""`) && !strings.Contains(text[t.Start:min(int(t.End), int(t.Start)+5)], "'''") {
		return false
	}
	for k--; k >= 0 && tokens[k].Kind == syntax.Remark; k-- {
	}
	if k < 0 {
		return true
	}
	before := text[tokens[k].Start:tokens[k].End]
	return strings.Contains(text[tokens[k].End:t.Start], "\n") && !strings.ContainsAny(before, "(,=[{+%\\")
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

// within says whether a node lies in one of the spans.
func (s *Source) within(i int) bool {
	n := s.tree.Nodes[i]
	return slices.ContainsFunc(s.spans, func(p span) bool { return p.start <= int(n.Start) && int(n.End) <= p.end })
}

// begins says whether a node begins in one of the spans.
func (s *Source) begins(i int) bool {
	at := int(s.tree.Nodes[i].Start)
	return slices.ContainsFunc(s.spans, func(p span) bool { return p.start <= at && at < p.end })
}

// inside lists the nodes of a role that lie in the spans.
func (s *Source) inside(role syntax.Role) (list []int) {
	for _, i := range s.tree.All(role) {
		if s.within(i) {
			list = append(list, i)
		}
	}
	return list
}

// replacement is an edit under way: bytes that are replaced.
type replacement struct {
	start, end int
	by         string
}

// edit returns the text with some bytes replaced; nothing where that can't be or changes nothing.
func (s *Source) edit(note string, all ...replacement) []Edited {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b replacement) int { return cmp.Compare(a.start, b.start) })
	at, changes := 0, false
	for _, r := range all {
		if r.start < at || r.end < r.start || r.end > len(s.Text) {
			return nil
		}
		at, changes = r.end, changes || s.Text[r.start:r.end] != r.by
	}
	if !changes {
		return nil
	}
	return []Edited{{note, s, all}}
}

// swap replaces a node.
func (s *Source) swap(note string, i int, by string) []Edited { return s.edit(note, s.put(i, by)) }

func (s *Source) put(i int, by string) replacement {
	n := s.tree.Nodes[i]
	return replacement{int(n.Start), int(n.End), by}
}

// at names a node's line, for notes.
func (s *Source) at(i int) string { return fmt.Sprintf("line %d", s.tree.Nodes[i].Row+1) }

// indent is the white space before a node on its line; what stands before it is none is "".
func (s *Source) indent(i int) string {
	start := int(s.tree.Nodes[i].Start)
	line := start
	for line > 0 && s.Text[line-1] != '\n' {
		line--
	}
	if lead := s.Text[line:start]; strings.TrimSpace(lead) == "" {
		return lead
	}
	lead := s.Text[line:start]
	return lead[:len(lead)-len(strings.TrimLeft(lead, " \t"))]
}

// words are a language's ways to say what all have.
type words struct{ not, and, or, end string }

func (s *Source) words() words {
	if s.Lang == syntax.Python {
		return words{"not ", "and", "or", ""}
	}
	return words{"!", "&&", "||", ";"}
}

// negate returns the text of a condition's opposite.
func (s *Source) negate(text string) string { return s.words().not + "(" + text + ")" }

// condition returns the node of an if's or a loop's condition, without the parentheses around it.
func (s *Source) condition(i int) int {
	c := s.tree.Child(i, syntax.FieldCondition)
	for c >= 0 && s.tree.Nodes[c].Role == syntax.Parenthesized {
		children := s.tree.NamedChildren(c)
		if len(children) != 1 {
			return -1
		}
		c = children[0]
	}
	return c
}

// operator returns the node of a binary expression's operator.
func (s *Source) operator(i int) int {
	if op := s.tree.Child(i, syntax.FieldOperator); op >= 0 {
		return op
	}
	for child := s.tree.FirstChild(i); child >= 0; child = s.tree.NextSibling(child) {
		if s.tree.Nodes[child].Flags&syntax.Named == 0 {
			return child
		}
	}
	return -1
}

// operands returns the two sides of a binary expression.
func (s *Source) operands(i int) (left, right int, ok bool) {
	children := s.tree.NamedChildren(i)
	if len(children) != 2 {
		return 0, 0, false
	}
	return children[0], children[1], true
}

// A Mutator makes edits in a source's spans.
type Mutator struct {
	Name string
	Make func(*Source) []Edited
}
