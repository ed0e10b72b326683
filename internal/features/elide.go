package features

import (
	"bytes"
	"slices"

	"crisol/internal/syntax"
)

// maxUnit is the largest function that is kept whole around a change, in bytes.
const maxUnit = 6 << 10

// block is a stretch of source between braces, or the body of a Python definition.
type block struct {
	open, close int // of the braces; of Python, where the body begins and ends
	function    bool
	line        int // where the line that it begins on starts
}

// elide leaves out of a source what is far from the changed stretches at runs: comments, and the bodies of blocks that
// hold no change and are in no changed function. What is left is as well-formed as the source was, and it returns where
// the runs are in it. A source that stays too long is cut to the lines around its changes, and scraps says so.
func elide(lang syntax.Language, src []byte, tokens []syntax.Token, runs []span) (kept []byte, mapped []span, scraps bool) {
	var blocks []block
	filler := ""
	if lang == syntax.Python {
		blocks, filler = definitions(src, tokens), "pass\n"
	} else {
		blocks = braces(src, tokens)
	}
	cuts := append(bodies(src, blocks, runs), remarks(tokens, runs)...)
	slices.SortStableFunc(cuts, func(a, b cut) int { return a.start - b.start })
	out, mapped := apply(src, cuts, runs, filler)
	if len(out) > maxTree {
		out, mapped = around(out, mapped)
		return out, mapped, true
	}
	return out, mapped, false
}

// cut is a stretch that is left out.
type cut struct {
	span
	remark bool
}

// remarks are the comments that no run touches.
func remarks(tokens []syntax.Token, runs []span) []cut {
	var out []cut
	next := 0
	for _, t := range tokens {
		if t.Kind != syntax.Remark {
			continue
		}
		for next < len(runs) && runs[next].end < int(t.Start) {
			next++
		}
		if next < len(runs) && runs[next].start <= int(t.End) {
			continue
		}
		out = append(out, cut{span{int(t.Start), int(t.End)}, true})
	}
	return out
}

// bodies are the insides of blocks that can go.
func bodies(src []byte, blocks []block, runs []span) []cut {
	touched := func(b block) bool {
		i, _ := slices.BinarySearchFunc(runs, b.line, func(r span, at int) int { return r.end - at })
		return i < len(runs) && runs[i].start <= b.close
	}
	whole := units(blocks, runs)
	var out []cut
	end, unit := 0, 0
	for _, b := range blocks {
		if b.open < end {
			continue
		}
		for unit < len(whole) && whole[unit].end < b.open {
			unit++
		}
		if unit < len(whole) && whole[unit].start <= b.open && b.close <= whole[unit].end || b.close-b.open < 40 || touched(b) {
			continue
		}
		if whole, ok := declaration(src, b); ok {
			out = append(out, cut{whole, true})
		} else {
			out = append(out, cut{span: span{b.open + 1, b.close}})
		}
		end = b.close
	}
	return out
}

// declaration is the whole of a block that declares a function by itself, and so can go without a trace.
func declaration(src []byte, b block) (span, bool) {
	if !b.function || !bytes.HasPrefix(bytes.TrimLeft(src[b.line:b.open], " \t"), []byte("function ")) {
		return span{}, false
	}
	end := b.close + 1
	for end < len(src) && (src[end] == ' ' || src[end] == '\t' || src[end] == '\r') {
		end++
	}
	return span{b.line, b.close + 1}, end == len(src) || src[end] == '\n'
}

// maxPairs bounds the search for units.
const maxPairs = 1 << 20

// units are the functions that stay whole: for each run the largest one around it that is not too large, or the
// smallest of all.
func units(blocks []block, runs []span) []span {
	if len(runs)*len(blocks) > maxPairs {
		return nil
	}
	var out []span
	for _, run := range runs {
		best := span{-1, -1}
		for _, b := range blocks {
			if b.line > run.end {
				break
			}
			if !b.function || b.close < run.start {
				continue
			}
			// Blocks come outer ones first: take one that is small enough and stop at the first such.
			best = span{b.line, b.close}
			if b.close-b.open <= maxUnit {
				break
			}
		}
		if best.start >= 0 {
			out = append(out, best)
		}
	}
	slices.SortFunc(out, func(a, b span) int { return a.start - b.start })
	return out
}

// apply leaves the cuts out. A comment's place is taken by a space, a body's by the filler.
func apply(src []byte, cuts []cut, runs []span, filler string) ([]byte, []span) {
	out := make([]byte, 0, min(len(src), maxTree))
	mapped := make([]span, len(runs))
	at, nextStart, nextEnd := 0, 0, 0
	copyTo := func(end int) {
		for nextStart < len(runs) && runs[nextStart].start <= end {
			mapped[nextStart].start = len(out) + runs[nextStart].start - at
			nextStart++
		}
		for nextEnd < len(runs) && runs[nextEnd].end <= end {
			mapped[nextEnd].end = len(out) + runs[nextEnd].end - at
			nextEnd++
		}
		out = append(out, src[at:end]...)
		at = end
	}
	for _, c := range cuts {
		if c.start < at {
			continue
		}
		copyTo(c.start)
		if c.remark {
			out = append(out, ' ')
		} else {
			out = append(out, filler...)
		}
		at = c.end
	}
	copyTo(len(src))
	return out, mapped
}

// around keeps forty lines before and after each change, and no more than fits.
func around(src []byte, runs []span) ([]byte, []span) {
	const context = 40
	var out []byte
	mapped := make([]span, len(runs))
	copied := 0
	for i, run := range runs {
		start, end := run.start, run.end
		for n := 0; start > copied && n < context; n++ {
			start = bytes.LastIndexByte(src[:start-1], '\n') + 1
		}
		start = max(start, copied, run.start-maxUnit)
		for n := 0; end < len(src) && n < context; n++ {
			step := bytes.IndexByte(src[end:], '\n')
			if step < 0 {
				end = len(src)
				break
			}
			end += step + 1
		}
		end = max(min(end, run.end+maxUnit), copied)
		if i+1 < len(runs) {
			end = min(end, max(runs[i+1].start, run.end))
		}
		if len(out)+end-start > 4*maxTree { // what is left of the runs is empty
			for ; i < len(runs); i++ {
				mapped[i] = span{len(out), len(out)}
			}
			break
		}
		mapped[i] = span{len(out) + run.start - start, len(out) + run.end - start}
		out = append(out, src[start:end]...)
		copied = end
	}
	return out, mapped
}

// braces finds the blocks between braces, outer ones before those inside.
func braces(src []byte, tokens []syntax.Token) []block {
	var out []block
	var open []int // indices into out
	line, lineToken := 0, 0
	last := 0
	for i, t := range tokens {
		if n := bytes.LastIndexByte(src[last:t.Start], '\n'); n >= 0 {
			line, lineToken = last+n+1, i
		}
		last = int(t.Start)
		if t.Kind != syntax.Operator || t.End-t.Start != 1 {
			continue
		}
		switch src[t.Start] {
		case '{':
			out = append(out, block{open: int(t.Start), close: -1, function: opensFunction(src, tokens[:i], lineToken), line: line})
			open = append(open, len(out)-1)
		case '}':
			if len(open) > 0 {
				out[open[len(open)-1]].close = int(t.Start)
				open = open[:len(open)-1]
			}
		}
	}
	return slices.DeleteFunc(out, func(b block) bool { return b.close < 0 })
}

var control = set("if for while switch catch with synchronized using foreach elseif match else do try finally class struct interface enum namespace impl trait mod union select unless loop unsafe")

// opensFunction says whether a brace after these tokens opens the body of a function. line is the index of the first
// token on the brace's line.
func opensFunction(src []byte, before []syntax.Token, line int) bool {
	for steps := 0; len(before) > 0 && steps < 12; steps++ {
		t := before[len(before)-1]
		text := t.Of(src)
		switch {
		case t.Kind == syntax.Remark:
		case string(text) == "=>":
			return true
		case string(text) == ")":
			return closesParameters(src, before, line)
		case t.Kind == syntax.Word:
			if control[string(text)] || string(text) == "return" {
				return false
			}
		case len(text) == 1 && bytes.IndexByte([]byte(":<>,*&.[]|?"), text[0]) >= 0 || string(text) == "->" || string(text) == "::":
		default:
			return false
		}
		before = before[:len(before)-1]
	}
	return false
}

// closesParameters says whether the bracket that ends these tokens closes a list of parameters.
func closesParameters(src []byte, before []syntax.Token, line int) bool {
	depth := 0
	for i, steps := len(before)-1, 0; i >= 0 && steps < 200; i, steps = i-1, steps+1 {
		if before[i].Kind != syntax.Operator {
			continue
		}
		switch src[before[i].Start] {
		case ')':
			depth++
		case '(':
			if depth--; depth > 0 {
				continue
			}
			if i == 0 {
				return false
			}
			name := string(before[i-1].Of(src))
			if name == "function" || name == "func" || name == "fn" {
				return true
			}
			first := string(before[min(line, i)].Of(src))
			return before[i-1].Kind == syntax.Word && !control[name] && !control[first] && first != "}" || name == "*" || name == "]"
		}
	}
	return false
}

// definitions finds the bodies of Python functions and classes by their indentation.
func definitions(src []byte, tokens []syntax.Token) []block {
	var out []block
	type pending struct{ index, indent int }
	var open []pending
	depth, last := 0, 0
	header := -1 // index of a definition whose colon is still to come
	for i, t := range tokens {
		newLine := i == 0 || bytes.IndexByte(src[last:t.Start], '\n') >= 0
		if newLine && depth == 0 && t.Kind != syntax.Remark {
			start := bytes.LastIndexByte(src[:t.Start], '\n') + 1
			indent := int(t.Start) - start
			for len(open) > 0 && indent <= open[len(open)-1].indent {
				out[open[len(open)-1].index].close = start
				open = open[:len(open)-1]
			}
			if header >= 0 && out[header].open < 0 {
				header = -1
			}
			word := string(t.Of(src))
			if word == "async" && i+1 < len(tokens) {
				word = string(tokens[i+1].Of(src))
			}
			if word == "def" || word == "class" {
				out = append(out, block{open: -1, close: len(src), function: word == "def", line: start})
				open = append(open, pending{len(out) - 1, indent})
				header = len(out) - 1
			}
		}
		last = int(t.End)
		if t.Kind != syntax.Operator {
			continue
		}
		switch src[t.Start] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		case ':':
			if header >= 0 && depth == 0 {
				out[header].open = bodyStart(src, tokens, i)
				header = -1
			}
		}
	}
	return slices.DeleteFunc(out, func(b block) bool { return b.open < 0 || b.close <= b.open })
}

// bodyStart is the byte before the first token after a definition's colon, when that is on a line of its own; the body
// of a definition on one line is not found.
func bodyStart(src []byte, tokens []syntax.Token, colon int) int {
	for _, t := range tokens[colon+1:] {
		if bytes.IndexByte(src[tokens[colon].End:t.Start], '\n') < 0 {
			if t.Kind == syntax.Remark {
				continue
			}
			return -1
		}
		if t.Kind != syntax.Remark {
			return int(t.Start) - 1
		}
	}
	return -1
}
