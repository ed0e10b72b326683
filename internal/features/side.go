package features

import (
	"bytes"
	"context"
	"strings"
	"time"

	"crisol/internal/diff"
	"crisol/internal/syntax"
)

// span is a stretch of bytes, end excluded.
type span struct{ start, end int }

// side is what is looked at of one file, before or after the patch: its source without the parts that are far from any
// change, or the lines that the patch shows.
type side struct {
	lang   syntax.Language
	src    []byte
	tokens []syntax.Token // without comments
	// firsts has for each byte the index of the first token at or after it; the trees ask for thousands.
	firsts []int32
	// changed tells of each token whether the patch removes it (before) or adds it (after).
	changed []bool
	// upTo counts the changed tokens before each token, and all of them at the end.
	upTo []int
	// runs are the changed lines; those of the two sides belong together, one by one.
	runs []span
	tree *syntax.Tree // nil when only tokens are known
	// scraps is set when src is but the lines around the changes.
	scraps bool
	// The whole source and its tokens, comments among them; the same as src without one.
	fullSrc []byte
	full    []syntax.Token
}

// file is a touched file.
type file struct {
	path          string
	lang          syntax.Language
	hunks         int
	source        bool // the source was at hand, and the patch fits it
	before, after *side
	// changed lines: added and removed ones with a token, and those with none
	added, removed, remarks int
}

// The bounds within which Compute works. Bytes are of source.
const (
	maxFiles    = 60
	maxSource   = 3 << 19 // of one file; a larger one counts as not at hand
	maxSources  = 3 << 20 // of all files
	maxFragment = 96 << 10
	maxTree     = 64 << 10 // of one side of a file, for its tree
	maxSteps    = 1200     // of parsing, for all files; see syntax.Limits
	maxNodes    = 60_000
	// parseTime is a net below maxSteps, far above what that many take.
	parseTime = 60 * time.Millisecond
)

// budget is what is left of the bounds.
type budget struct {
	source, fragment, steps int
	parser                  *syntax.Parser
}

func newBudget(p *syntax.Parser) *budget { return &budget{maxSources, maxFragment, maxSteps, p} }

// open makes both sides of a file of the patch.
func open(f diff.File, before []byte, left *budget) *file {
	out := &file{path: f.Path(), lang: syntax.Detect(f.Path(), before), hunks: len(f.Hunks)}
	if f.Op == diff.Create {
		before = []byte{}
	}
	if before != nil && len(before) <= min(maxSource, left.source) {
		left.source -= len(before)
		if old, changed, runs, ok := place(f.Hunks, before); ok && len(changed) <= maxSource {
			out.source = true
			out.before, out.after = newSide(out.lang, old, runs.old), newSide(out.lang, changed, runs.new)
		}
	}
	if !out.source {
		hunks := within(f.Hunks, &left.fragment)
		out.before, out.after = fragment(hunks, out.lang)
		// A fragment's tokens come with it.
	} else {
		out.parse(left)
	}
	align(out.before, out.after)
	out.countLines()
	return out
}

// within takes hunks as long as the budget for fragments lasts.
func within(hunks []diff.Hunk, left *int) []diff.Hunk {
	for i, h := range hunks {
		for _, line := range h.Lines {
			*left -= len(line.Text) + 1
		}
		if *left < 0 {
			*left = 0
			return hunks[:i]
		}
	}
	return hunks
}

// newSide keeps of a source what lies near its changes.
func newSide(lang syntax.Language, src []byte, runs []span) *side {
	tokens := syntax.Lex(lang, src)
	kept, mapped, scraps := elide(lang, src, tokens, runs)
	return &side{lang: lang, src: kept, runs: mapped, scraps: scraps, fullSrc: src, full: tokens}
}

// parse makes the trees of both sides where a grammar, the budget and the text allow it, and their tokens.
func (f *file) parse(left *budget) {
	if left.steps > 0 && len(f.before.src) <= maxTree && len(f.after.src) <= maxTree && plausible(f.before.src) && plausible(f.after.src) {
		limits := syntax.Limits{Bytes: maxTree, Steps: left.steps, Nodes: maxNodes, Duration: parseTime}
		old, changed, err := left.parser.Both(context.Background(), f.lang, f.before.src, f.after.src, f.edits(), limits)
		if err == nil {
			f.before.tree, f.after.tree = old, changed
			left.steps -= old.Steps + changed.Steps
		} else { // all of them, or nearly: a text that can't be parsed is not tried twice
			left.steps -= min(left.steps, maxSteps/2)
		}
	}
	for _, s := range []*side{f.before, f.after} {
		s.lex(nil)
	}
}

// edits are the runs in the parser's terms.
func (f *file) edits() []syntax.Edit {
	out := make([]syntax.Edit, len(f.before.runs))
	for i, old := range f.before.runs {
		now := f.after.runs[i]
		out[i] = syntax.Edit{Start: old.start, OldEnd: old.end, NewStart: now.start, NewEnd: now.end}
	}
	return out
}

// plausible says whether a text is like what people write: valid UTF-8 for the most part, without zero bytes, not nested
// beyond all measure. A grammar spends far more time on anything else.
func plausible(src []byte) bool {
	depth, odd := 0, 0
	for _, c := range src {
		switch {
		case c == 0:
			return false
		case c == '(' || c == '[' || c == '{':
			if depth++; depth > 400 {
				return false
			}
		case c == ')' || c == ']' || c == '}':
			depth = max(depth-1, 0)
		case c >= 0xf8 || c == 0xc0 || c == 0xc1:
			odd++
		}
	}
	return odd <= len(src)/256
}

// lex fills in the tokens, comments left out. skip tells the tokens that are of a comment though they don't look it.
func (s *side) lex(skip func(syntax.Token) bool) {
	all := syntax.Lex(s.lang, s.src)
	s.tokens = all[:0]
	for _, t := range all {
		if t.Kind != syntax.Remark && (skip == nil || !skip(t)) {
			s.tokens = append(s.tokens, t)
		}
	}
	s.changed = make([]bool, len(s.tokens))
	s.firsts = make([]int32, len(s.src)+1)
	at := 0
	for i, t := range s.tokens {
		for ; at <= int(t.Start); at++ {
			s.firsts[at] = int32(i)
		}
	}
	for ; at < len(s.firsts); at++ {
		s.firsts[at] = int32(len(s.tokens))
	}
}

// text is a token's text.
func (s *side) text(t syntax.Token) []byte { return s.src[t.Start:t.End] }

// from is the index of the first token at or after a byte.
func (s *side) from(at int) int {
	return int(s.firsts[at])
}

// changedIn counts the changed tokens from one byte to another, and all tokens there.
func (s *side) changedIn(start, end int) (changed, all int) {
	i, j := s.from(start), s.from(end)
	return s.upTo[j] - s.upTo[i], j - i
}

// runs of both sides, one for one.
type runs struct{ old, new []span }

// place puts hunks on a source. It returns the source before and after, and where the changed lines lie; not ok if a
// hunk isn't where it says, nor near.
func place(hunks []diff.Hunk, source []byte) (before, after []byte, at runs, ok bool) {
	lines := lineStarts(source)
	var out bytes.Buffer
	out.Grow(len(source) + 1024)
	copied, drift, floor := 0, 0, 0 // bytes written; lines that hunks were moved by; lines that are settled
	for _, h := range hunks {
		start, found := locate(h, source, lines, drift, floor)
		if !found {
			return nil, nil, runs{}, false
		}
		drift = start - index(h)
		line := start
		for i := 0; i < len(h.Lines); {
			if h.Lines[i].Op == ' ' {
				line++
				i++
				continue
			}
			from := lines[line]
			out.Write(source[copied:from])
			begin := out.Len()
			for ; i < len(h.Lines) && h.Lines[i].Op != ' '; i++ {
				if h.Lines[i].Op == '-' {
					line++
					continue
				}
				if out.Len() > 0 && out.Bytes()[out.Len()-1] != '\n' {
					out.WriteByte('\n')
				}
				out.WriteString(h.Lines[i].Text)
				if !h.Lines[i].NoEOL {
					out.WriteByte('\n')
				}
			}
			copied = lines[line]
			at.old, at.new = append(at.old, span{from, copied}), append(at.new, span{begin, out.Len()})
		}
		floor = line
	}
	out.Write(source[copied:])
	return source, out.Bytes(), at, true
}

// lineStarts is where each line begins, and the end of the text.
func lineStarts(source []byte) []int {
	starts := make([]int, 0, len(source)/32+2)
	for at := 0; at < len(source); {
		starts = append(starts, at)
		n := bytes.IndexByte(source[at:], '\n')
		if n < 0 {
			break
		}
		at += n + 1
	}
	return append(starts, len(source))
}

// index is the line, from 0, that a hunk says it begins at.
func index(h diff.Hunk) int {
	for _, line := range h.Lines {
		if line.Op != '+' {
			return max(h.OldStart-1, 0)
		}
	}
	return h.OldStart
}

// maxDrift is how many lines away from where it says a hunk is looked for.
const maxDrift = 200

func locate(h diff.Hunk, source []byte, lines []int, drift, floor int) (int, bool) {
	guess := index(h) + drift
	for away := 0; away <= maxDrift; away++ {
		for _, at := range []int{guess + away, guess - away} {
			if at >= floor && fits(h, source, lines, at) {
				return at, true
			}
		}
	}
	return 0, false
}

func fits(h diff.Hunk, source []byte, lines []int, at int) bool {
	for _, line := range h.Lines {
		if line.Op == '+' {
			continue
		}
		if at+1 >= len(lines) {
			return false
		}
		have := bytes.TrimRight(source[lines[at]:lines[at+1]], "\r\n")
		if string(have) != strings.TrimRight(line.Text, "\r\n") {
			return false
		}
		at++
	}
	return at < len(lines)
}

// fragment makes the two sides of hunks alone: the lines of each hunk after those of the one before it.
func fragment(hunks []diff.Hunk, lang syntax.Language) (before, after *side) {
	before, after = &side{lang: lang}, &side{lang: lang}
	for _, h := range hunks {
		for i := 0; i < len(h.Lines); {
			if h.Lines[i].Op == ' ' {
				before.line(h.Lines[i].Text)
				after.line(h.Lines[i].Text)
				i++
				continue
			}
			old, changed := len(before.src), len(after.src)
			for ; i < len(h.Lines) && h.Lines[i].Op != ' '; i++ {
				if h.Lines[i].Op == '-' {
					before.line(h.Lines[i].Text)
				} else {
					after.line(h.Lines[i].Text)
				}
			}
			before.runs, after.runs = append(before.runs, span{old, len(before.src)}), append(after.runs, span{changed, len(after.src)})
		}
	}
	before.lexFragment()
	after.lexFragment()
	before.fullSrc, before.full, after.fullSrc, after.full = before.src, before.tokens, after.src, after.tokens
	return before, after
}

func (s *side) line(text string) {
	s.src = append(append(s.src, text...), '\n')
}

// lexFragment reads lines that may begin in the middle of a comment: one that begins with a star and goes on with a
// space, a slash or nothing is taken for a comment's.
func (s *side) lexFragment() {
	if s.lang == syntax.Python || !bytes.Contains(s.src, []byte("*")) {
		s.lex(nil)
		return
	}
	end := -1
	s.lex(func(t syntax.Token) bool {
		if int(t.Start) < end {
			return true
		}
		if s.src[t.Start] != '*' || !s.first(int(t.Start)) {
			return false
		}
		if next := int(t.End); next < len(s.src) && s.src[next] != ' ' && s.src[next] != '\n' && s.src[next] != '/' && s.src[next] != '*' {
			return false
		}
		end = len(s.src)
		if n := bytes.IndexByte(s.src[t.Start:], '\n'); n >= 0 {
			end = int(t.Start) + n
		}
		return true
	})
}

// first says whether nothing but white space stands before a byte on its line.
func (s *side) first(at int) bool {
	for at--; at >= 0 && s.src[at] != '\n'; at-- {
		if s.src[at] != ' ' && s.src[at] != '\t' {
			return false
		}
	}
	return true
}

// countLines counts the changed lines with and without tokens.
func (f *file) countLines() {
	for _, s := range []*side{f.before, f.after} {
		for _, run := range s.runs {
			lines := bytes.Count(s.src[run.start:run.end], []byte{'\n'})
			if run.end > run.start && s.src[run.end-1] != '\n' {
				lines++
			}
			full := 0
			for i, last := s.from(run.start), -1; i < len(s.tokens) && int(s.tokens[i].Start) < run.end; i++ {
				if start := int(s.tokens[i].Start); last < 0 || bytes.IndexByte(s.src[last:start], '\n') >= 0 {
					full++
				}
				last = int(s.tokens[i].Start)
			}
			f.remarks += max(lines-full, 0)
			if s == f.before {
				f.removed += full
			} else {
				f.added += full
			}
		}
	}
}

// alike says whether two tokens mean the same: quotes don't matter where the language has two kinds of them, and one
// version number is like another.
func alike(a *side, x syntax.Token, b *side, y syntax.Token) bool {
	if x.Kind != y.Kind {
		return false
	}
	s, t := a.text(x), b.text(y)
	if bytes.Equal(s, t) {
		return true
	}
	if x.Kind != syntax.Text {
		return false
	}
	if len(s) >= 2 && len(t) >= 2 && a.lang != syntax.PlainC && a.lang != syntax.PHP && bytes.Equal(s[1:len(s)-1], t[1:len(t)-1]) && s[0] != '`' && t[0] != '`' {
		return true
	}
	return isVersion(s) && isVersion(t)
}

// isVersion says whether a string is a version of three numbers, such as '1.2.3-rc1'.
func isVersion(s []byte) bool {
	s = bytes.TrimPrefix(bytes.Trim(s, "'\"`"), []byte("v"))
	dots := 0
	for i, c := range s {
		switch {
		case '0' <= c && c <= '9':
		case c == '.' && i > 0:
			dots++
		case dots == 2 && (c == '-' || c == '+'):
			return true
		default:
			return false
		}
	}
	return dots == 2 && len(s) >= 5
}

// maxTable bounds the table of an alignment.
const maxTable = 1 << 16

// align finds the tokens that differ within each pair of runs.
func align(before, after *side) {
	for i, run := range before.runs {
		old, changed := before.within(run), after.within(after.runs[i])
		old, changed = trim(before, old, after, changed)
		differ(before, old, after, changed)
	}
	before.sum()
	after.sum()
}

// within are the indices of the tokens of a run. Semicolons of scripts are left out: they may be absent.
func (s *side) within(run span) []int {
	var out []int
	script := isScript(s.lang)
	for i := s.from(run.start); i < len(s.tokens) && int(s.tokens[i].Start) < run.end; i++ {
		if !script || s.src[s.tokens[i].Start] != ';' {
			out = append(out, i)
		}
	}
	return out
}

func isScript(l syntax.Language) bool {
	return l == syntax.JavaScript || l == syntax.TypeScript || l == syntax.TSX
}

func trim(a *side, x []int, b *side, y []int) (p, q []int) {
	for len(x) > 0 && len(y) > 0 && alike(a, a.tokens[x[0]], b, b.tokens[y[0]]) {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && alike(a, a.tokens[x[len(x)-1]], b, b.tokens[y[len(y)-1]]) {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return x, y
}

// differ marks the tokens that are not in a longest common subsequence, or, for long runs, in one found greedily.
func differ(a *side, x []int, b *side, y []int) {
	if (len(x)+1)*(len(y)+1) > maxTable {
		differGreedily(a, x, b, y)
		return
	}
	width := len(y) + 1
	table := make([]uint16, (len(x)+1)*width)
	same := make([]bool, len(x)*len(y))
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			best := max(table[(i+1)*width+j], table[i*width+j+1])
			if alike(a, a.tokens[x[i]], b, b.tokens[y[j]]) {
				same[i*len(y)+j] = true
				best = max(best, table[(i+1)*width+j+1]+1)
			}
			table[i*width+j] = best
		}
	}
	i, j := 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case same[i*len(y)+j] && table[i*width+j] == table[(i+1)*width+j+1]+1:
			i, j = i+1, j+1
		case table[(i+1)*width+j] >= table[i*width+j+1]:
			a.changed[x[i]] = true
			i++
		default:
			b.changed[y[j]] = true
			j++
		}
	}
	for ; i < len(x); i++ {
		a.changed[x[i]] = true
	}
	for ; j < len(y); j++ {
		b.changed[y[j]] = true
	}
}

// differGreedily pairs each token with the next alike one that is near.
func differGreedily(a *side, x []int, b *side, y []int) {
	const near = 64
	j := 0
	for _, i := range x {
		found := -1
		for k := j; k < min(len(y), j+near); k++ {
			if alike(a, a.tokens[i], b, b.tokens[y[k]]) {
				found = k
				break
			}
		}
		if found < 0 {
			a.changed[i] = true
			continue
		}
		for ; j < found; j++ {
			b.changed[y[j]] = true
		}
		j = found + 1
	}
	for ; j < len(y); j++ {
		b.changed[y[j]] = true
	}
}

func (s *side) sum() {
	s.upTo = make([]int, len(s.tokens)+1)
	for i, changed := range s.changed {
		s.upTo[i+1] = s.upTo[i]
		if changed {
			s.upTo[i+1]++
		}
	}
}

// changedTokens are the indices of the changed tokens.
func (s *side) changedTokens() []int {
	var out []int
	for i, changed := range s.changed {
		if changed {
			out = append(out, i)
		}
	}
	return out
}
