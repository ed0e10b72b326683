// Package static decides about patches that need neither a model nor a trial.
//
// In go the touched files, whole, before and after the patch. Out comes a verdict with its reason, or none: a file that
// parsed before and no longer does is broken, and a patch is not_fixed if it changes comments and formatting only, or no
// file that a program loads. It never says fixed. Whatever isn't plain is left open: a language without a grammar here,
// a file that had an error before, words that may be newer than the grammar, directives in comments.
//
// The package reads nothing and knows nothing of vulnerabilities. Known limits: a program that reads its own comments
// (Function.prototype.toString), and one that loads its tests or documents.
package static

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/syntax"
)

// Decision is a verdict with its reason; an empty Verdict leaves it open, and Reason says why.
type Decision struct {
	Verdict crisol.Verdict
	Reason  string
}

// Decided says whether there is a verdict.
func (d Decision) Decided() bool { return d.Verdict != "" }

// limits bound the reading of one file. The time is a net far above what the steps take.
var limits = syntax.Limits{Bytes: 2 << 20, Steps: 20_000, Nodes: 1 << 20, Duration: 2 * time.Second}

// Gate decides. The zero value reads every file anew.
type Gate struct {
	// Parser reads the files; it may have read those before the patch.
	Parser *syntax.Parser
}

// Decide decides about a patch by the files that it touches. Their bytes must not change afterwards.
func (g Gate) Decide(ctx context.Context, files []diff.Touched) Decision {
	if len(files) == 0 {
		return Decision{crisol.NotFixed, "the patch changes no file"}
	}
	idle, remarks := "", ""
	for _, f := range files {
		if why := neverLoaded(f); why != "" {
			idle = fmt.Sprintf("%s is %s", f.Path, why)
			continue
		}
		p := g.compare(ctx, f)
		switch {
		case p.broken:
			return Decision{crisol.Broken, fmt.Sprintf("%s parsed before the patch and no longer does: line %d, near %q", f.Path, p.line, p.near)}
		case p.same:
			remarks = f.Path
		default:
			return Decision{Reason: fmt.Sprintf("%s: %s", f.Path, p.why)}
		}
	}
	if remarks != "" {
		return Decision{crisol.NotFixed, fmt.Sprintf("the patch changes comments or formatting only, as in %s, or files that nothing loads", remarks)}
	}
	return Decision{crisol.NotFixed, "the patch changes nothing that a program loads: " + idle}
}

// finding is what comes of comparing both sides of a file.
type finding struct {
	same, broken bool
	line         int    // of the error, from 1
	near         string // its text
	why          string // where it is left open
}

// compare parses both sides of a file.
func (g Gate) compare(ctx context.Context, f diff.Touched) finding {
	if f.Before == nil || f.After == nil {
		return finding{why: "the file is new or gone"}
	}
	if sameManifest(f) {
		return finding{same: true}
	}
	lang := syntax.Detect(f.Path, f.Before)
	before, err := g.Parser.Read(ctx, lang, f.Before, limits)
	if err != nil {
		return finding{why: err.Error()}
	}
	if before.HasError() {
		return finding{why: "the grammar finds an error in it before the patch"}
	}
	after, err := before.Changed(ctx, f.After, edits(f), limits)
	switch {
	case err != nil:
		return finding{why: err.Error()}
	case after.HasError():
		return broken(after, changed(f.Before, f.After))
	case !sameCode(before.Tree, after):
		return finding{why: "its code changes"}
	case directives(before.Tree, after):
		return finding{why: "a comment that tools read changes"}
	}
	return finding{same: true}
}

// edits are what differs, in the parser's terms.
func edits(f diff.Touched) []syntax.Edit {
	found := diff.Edits(f.Before, f.After)
	out := make([]syntax.Edit, len(found))
	for i, e := range found {
		out[i] = syntax.Edit{Start: e.Old, OldEnd: e.OldEnd, NewStart: e.New, NewEnd: e.NewEnd}
	}
	return out
}

// stretch is a stretch of bytes, end excluded.
type stretch struct{ start, end int }

// changed is the stretch of the text after the patch outside of which both texts are alike.
func changed(before, after []byte) stretch {
	start, end := 0, 0
	for start < min(len(before), len(after)) && before[start] == after[start] {
		start++
	}
	for end < min(len(before), len(after))-start && before[len(before)-1-end] == after[len(after)-1-end] {
		end++
	}
	return stretch{start, len(after) - end}
}

// broken looks for an error that begins in the changed stretch and that no newer grammar would read: in a language
// without a preprocessor, and without words there that are keywords in some places only.
func broken(after *syntax.Tree, in stretch) finding {
	open := finding{why: "the grammar finds an error in it after the patch, which may be the grammar's"}
	if after.Lang == syntax.PlainC || after.Lang == syntax.CPP {
		return open
	}
	line := lineStart(after.Source, in.start)
	for i, n := range after.Nodes {
		if n.Flags&(syntax.Error|syntax.Missing) == 0 {
			continue
		}
		if int(n.Start) < line || int(n.Start) > in.end {
			return open // the change makes itself felt elsewhere, perhaps by what the grammar doesn't know
		}
		end := lineEnd(after.Source, max(int(n.End), in.end))
		if mayBeNewer(after.Source[line:end]) {
			return open
		}
		text := after.Text(i)
		if len(text) > 40 {
			text = text[:40]
		}
		return finding{broken: true, line: int(n.Row) + 1, near: text}
	}
	return open
}

func lineStart(source []byte, at int) int { return bytes.LastIndexByte(source[:at], '\n') + 1 }

func lineEnd(source []byte, at int) int {
	if n := bytes.IndexByte(source[at:], '\n'); n >= 0 {
		return at + n
	}
	return len(source)
}

// newer are words that some version of a language gives a meaning which the grammars may not know, and signs of dialects.
var newer = []string{
	"using", "accessor", "defer", "type", "match", "when", "yield", "record", "sealed", "permits", "enum", "satisfies", "declare", "abstract", "import", "export",
	"await", "async", "static", "readonly", "component", "hook", "asserts", "out", "source", "module", "except", "lazy", "gen", "become", "@", "#", "|>", "``",
}

// mayBeNewer says whether a text has one of them, as a word.
func mayBeNewer(text []byte) bool {
	for _, t := range syntax.Lex(syntax.Unknown, text) {
		for _, word := range newer {
			if string(t.Of(text)) == word || t.Kind == syntax.Remark && strings.HasPrefix(string(t.Of(text)), "#") {
				return true
			}
		}
	}
	return false
}

// sameCode says whether two trees are alike but for comments and the white space between tokens.
func sameCode(before, after *syntax.Tree) bool {
	i, j := 0, 0
	deep, deeper := depths(before), depths(after)
	for {
		i, j = skipComments(before, i), skipComments(after, j)
		if i == len(before.Nodes) || j == len(after.Nodes) {
			return i == len(before.Nodes) && j == len(after.Nodes) && onlySpace(before) && onlySpace(after)
		}
		a, b := before.Nodes[i], after.Nodes[j]
		if a.Kind != b.Kind || a.Flags != b.Flags {
			return false
		}
		if whole(a) || whole(b) || leaf(before, i) || leaf(after, j) {
			if !bytes.Equal(token(before, i), token(after, j)) || deep[i] != deeper[j] {
				return false
			}
			i, j = before.Next(i), after.Next(j)
			continue
		}
		i, j = i+1, j+1
	}
}

// depths are how many nodes each node lies in.
func depths(t *syntax.Tree) []int32 {
	out := make([]int32, len(t.Nodes))
	for i, n := range t.Nodes {
		if n.Parent >= 0 {
			out[i] = out[n.Parent] + 1
		}
	}
	return out
}

func skipComments(t *syntax.Tree, i int) int {
	for i < len(t.Nodes) && t.Nodes[i].Role == syntax.Comment {
		i = t.Next(i)
	}
	return i
}

// whole says whether a node is compared as a whole: white space in it has a meaning.
func whole(n syntax.Node) bool {
	return n.Role == syntax.String || n.Role == syntax.Template || n.Role == syntax.Regex
}

func leaf(t *syntax.Tree, i int) bool { return t.Nodes[i].Size == 1 }

// token is a node's text. Some tokens, such as the end of a line, are white space: any is like another.
func token(t *syntax.Tree, i int) []byte {
	if len(bytes.TrimSpace(t.Bytes(i))) == 0 {
		return nil
	}
	return t.Bytes(i)
}

// onlySpace says whether nothing but white space lies between the tokens of a tree: a grammar could leave out what has a
// meaning.
func onlySpace(t *syntax.Tree) bool {
	at := 0
	for i := 0; i < len(t.Nodes); {
		n := t.Nodes[i]
		if !leaf(t, i) && !whole(n) && n.Role != syntax.Comment {
			i++
			continue
		}
		if int(n.Start) > at && len(bytes.TrimSpace(t.Source[at:n.Start])) > 0 {
			return false
		}
		at = max(at, int(n.End))
		i = t.Next(i)
	}
	return len(bytes.TrimSpace(t.Source[at:])) == 0
}

// directiveSigns begin or mark comments that compilers and loaders read.
var directiveSigns = []string{"#!", "//go:", "// +build", "//export", "#cgo", "#include", "coding:", "coding=", "@jsx", "type:", "sourceMappingURL"}

// directives says whether comments with a directive differ.
func directives(before, after *syntax.Tree) bool {
	a, b := directivesOf(before), directivesOf(after)
	return strings.Join(a, "\x00") != strings.Join(b, "\x00")
}

func directivesOf(t *syntax.Tree) []string {
	cgo := t.Lang == syntax.Go && bytes.Contains(t.Source, []byte(`import "C"`))
	var out []string
	for _, i := range t.Comments() {
		text := t.Text(i)
		for _, sign := range directiveSigns {
			if cgo || strings.Contains(text, sign) {
				out = append(out, text)
				break
			}
		}
	}
	return out
}
