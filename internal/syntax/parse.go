// Package syntax reads source code: what language it is in, its tree, its tokens.
//
// In goes the text of a file with bounds on size, work, time and nodes. Out comes a Tree, a flat slice of nodes in the
// order of the text, copied out of the C library that parsed it: everything afterwards is Go, and nothing has to be
// closed. What is too large, too deep or takes too long is ErrLimit, and in a language without a grammar ErrLanguage;
// Lex reads the tokens of any text all the same.
//
// Grammars are tree-sitter's (github.com/tree-sitter). A grammar can be older than the language: an error in the tree is
// not proof that the text is wrong.
//
// The package knows nothing of patches and vulnerabilities, and reads no file.
package syntax

/*
#include "shim.h"
*/
import "C"

import (
	"bytes"
	"context"
	"errors"
	"time"
	"unsafe"

	_ "github.com/tree-sitter/go-tree-sitter" // compiles the C library that shim.c calls
)

// Limits bound the reading of one text. A zero field takes the value of DefaultLimits.
type Limits struct {
	Bytes    int           // of the text
	Steps    int           // hundreds of operations of the parser: the bound that is the same on every machine
	Nodes    int           // of the tree
	Duration time.Duration // of CPU, a net below Steps: what it cuts off depends on the machine
}

// DefaultLimits read a file of several thousand lines and give up on most minified bundles.
var DefaultLimits = Limits{Bytes: 1 << 20, Steps: 20_000, Nodes: 500_000, Duration: time.Second}

func (l Limits) or(d Limits) Limits {
	if l.Bytes == 0 {
		l.Bytes = d.Bytes
	}
	if l.Steps == 0 {
		l.Steps = d.Steps
	}
	if l.Nodes == 0 {
		l.Nodes = d.Nodes
	}
	if l.Duration == 0 {
		l.Duration = d.Duration
	}
	return l
}

// The two reasons why there is no tree.
var (
	ErrLanguage = errors.New("no grammar for the language")
	ErrLimit    = errors.New("source exceeds the limits")
)

// Parse reads source. The tree keeps it. The error is ErrLanguage, ErrLimit or the context's.
func Parse(ctx context.Context, lang Language, source []byte, limits Limits) (*Tree, error) {
	g, limits, err := prepare(ctx, lang, limits, source)
	if err != nil {
		return nil, err
	}
	parsed, left, err := parse(g, source, nil, nil, limits)
	if err != nil {
		return nil, err
	}
	defer free(parsed)
	tree, err := flatten(parsed, lang, g, source, limits)
	if err != nil {
		return nil, err
	}
	tree.Steps = limits.Steps - left
	return tree, nil
}

func prepare(ctx context.Context, lang Language, limits Limits, sources ...[]byte) (*grammar, Limits, error) {
	limits = limits.or(DefaultLimits)
	if err := ctx.Err(); err != nil {
		return nil, limits, err
	}
	if lang == Unknown || lang >= languages {
		return nil, limits, ErrLanguage
	}
	for _, source := range sources {
		if len(source) > limits.Bytes {
			return nil, limits, ErrLimit
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		limits.Duration = max(min(limits.Duration, time.Until(deadline)), 0)
	}
	return grammars[lang](), limits, nil
}

func parse(g *grammar, source []byte, old unsafe.Pointer, edits []edit, limits Limits) (tree unsafe.Pointer, left int, err error) {
	text := source
	if len(text) == 0 {
		text = []byte{0}
	}
	var first *C.syntax_edit
	if len(edits) > 0 {
		first = (*C.syntax_edit)(unsafe.Pointer(&edits[0]))
	}
	budget := C.syntax_budget{steps: C.uint64_t(limits.Steps), nanoseconds: C.uint64_t(limits.Duration)}
	tree = C.syntax_parse(g.language, (*C.char)(unsafe.Pointer(&text[0])), C.uint32_t(len(source)), old, first, C.uint32_t(len(edits)), &budget)
	if tree == nil {
		return nil, 0, ErrLimit
	}
	return tree, int(budget.steps), nil
}

func flatten(parsed unsafe.Pointer, lang Language, g *grammar, source []byte, limits Limits) (*Tree, error) {
	count := int(C.syntax_count(parsed))
	if count > limits.Nodes {
		return nil, ErrLimit
	}
	nodes := make([]Node, count)
	n := int(C.syntax_flatten(parsed, (*C.syntax_node)(unsafe.Pointer(&nodes[0])), C.uint32_t(count)))
	nodes = nodes[:n]
	for i := range nodes {
		node := &nodes[i]
		if int(node.Kind) < len(g.roles) && node.Flags&Named != 0 {
			node.Role = g.roles[node.Kind]
		}
		node.Field = g.fields[node.Field]
	}
	return &Tree{Lang: lang, Source: source, Nodes: nodes, grammar: g}, nil
}

// edit is one change of a text, in bytes and in rows and columns. It has the layout of syntax_edit in shim.h.
type edit struct {
	start, oldEnd, newEnd       uint32
	startAt, oldEndAt, newEndAt point
}

type point struct{ row, column uint32 }

// changes are the edits for the C side, last first: each is then told in bytes that those before it don't move.
func changes(before, after []byte, edits []Edit) []edit {
	if !cover(before, after, edits) {
		edits = difference(before, after)
	}
	out := make([]edit, len(edits))
	at, counted := point{}, 0
	for i, e := range edits {
		at = advance(at, before[counted:e.Start])
		end := advance(at, before[e.Start:e.OldEnd])
		out[len(edits)-1-i] = edit{
			start: uint32(e.Start), oldEnd: uint32(e.OldEnd), newEnd: uint32(e.Start + e.NewEnd - e.NewStart),
			startAt: at, oldEndAt: end, newEndAt: advance(at, after[e.NewStart:e.NewEnd]),
		}
		at, counted = end, e.OldEnd
	}
	return out
}

// cover says whether there are edits and both texts are alike outside of them.
func cover(before, after []byte, edits []Edit) bool {
	i, j := 0, 0
	for _, e := range edits {
		if e.Start < i || e.OldEnd < e.Start || e.OldEnd > len(before) || e.NewStart < j || e.NewEnd < e.NewStart || e.NewEnd > len(after) ||
			!bytes.Equal(before[i:e.Start], after[j:e.NewStart]) {
			return false
		}
		i, j = e.OldEnd, e.NewEnd
	}
	return len(edits) > 0 && bytes.Equal(before[i:], after[j:])
}

// difference is the one stretch outside of which two texts are alike, widened to whole characters; none if they are alike
// throughout.
func difference(before, after []byte) []Edit {
	if bytes.Equal(before, after) {
		return nil
	}
	start := commonPrefix(before, after)
	end := 0
	for limit := min(len(before), len(after)) - start; end < limit && before[len(before)-1-end] == after[len(after)-1-end]; end++ {
	}
	for start > 0 && start < len(before) && before[start]&0xc0 == 0x80 {
		start--
	}
	for end > 0 && before[len(before)-end]&0xc0 == 0x80 {
		end--
	}
	return []Edit{{start, len(before) - end, start, len(after) - end}}
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func advance(from point, text []byte) point {
	rows := bytes.Count(text, []byte{'\n'})
	if rows == 0 {
		return point{from.row, from.column + uint32(len(text))}
	}
	return point{from.row + uint32(rows), uint32(len(text) - 1 - bytes.LastIndexByte(text, '\n'))}
}

func free(parsed unsafe.Pointer) { C.syntax_free(parsed) }

func ready() { C.syntax_init() }

// tables reads the names of a grammar's kinds and fields.
func tables(language unsafe.Pointer) (kinds []string, fields []Field) {
	kinds = make([]string, C.syntax_kinds(language))
	for i := range kinds {
		kinds[i] = C.GoString(C.syntax_kind_name(language, C.uint16_t(i)))
	}
	fields = make([]Field, C.syntax_fields(language)+1)
	for i := 1; i < len(fields); i++ {
		fields[i] = fieldOf[C.GoString(C.syntax_field_name(language, C.uint16_t(i)))]
	}
	return kinds, fields
}
