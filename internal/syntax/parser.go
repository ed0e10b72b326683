package syntax

import (
	"bytes"
	"context"
	"hash/maphash"
	"runtime"
	"unsafe"

	"github.com/maypok86/otter/v2"
)

// Parser reads texts and changes of them, and keeps the trees of the texts: most changes that anybody asks about are of
// the same few. A nil Parser keeps nothing. It may be used by many at once.
type Parser struct {
	seed maphash.Seed
	kept *otter.Cache[name, *Base]
}

// name finds a text's tree: its language and a hash of it. Whether it is that text is for the tree to say.
type name struct {
	lang Language
	hash uint64
}

// Base is a text that was read. It doesn't change.
type Base struct {
	*Tree
	parsed unsafe.Pointer // the C library's tree, freed when nothing holds the Base any more
}

// perNode is about what a node takes in both trees, in bytes.
const perNode = 96

// NewParser makes a parser that keeps about so many bytes of trees.
func NewParser(room int) *Parser {
	return &Parser{seed: maphash.MakeSeed(), kept: otter.Must(&otter.Options[name, *Base]{
		MaximumWeight: uint64(max(room, 0)),
		Weigher:       func(_ name, t *Base) uint32 { return uint32(len(t.Source) + perNode*len(t.Nodes)) },
	})}
}

// Read reads a text, or has read it. The text must not change afterwards. The error is that of Parse, and comes of the
// same limits, but for the time.
func (p *Parser) Read(ctx context.Context, lang Language, text []byte, limits Limits) (*Base, error) {
	_, limits, err := prepare(ctx, lang, limits, text)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return read(lang, text, limits)
	}
	key := name{lang, maphash.Bytes(p.seed, text)}
	if t, ok := p.kept.GetIfPresent(key); ok && bytes.Equal(t.Source, text) {
		if t.Steps > limits.Steps || len(t.Nodes) > limits.Nodes {
			return nil, ErrLimit
		}
		return t, nil
	}
	t, err := read(lang, text, limits)
	if err == nil {
		p.kept.Set(key, t)
	}
	return t, err
}

func read(lang Language, text []byte, limits Limits) (*Base, error) {
	g := grammars[lang]()
	parsed, left, err := parse(g, text, nil, nil, limits)
	if err != nil {
		return nil, err
	}
	tree, err := flatten(parsed, lang, g, text, limits)
	if err != nil {
		free(parsed)
		return nil, err
	}
	tree.Steps = limits.Steps - left
	t := &Base{tree, parsed}
	runtime.AddCleanup(t, free, parsed)
	return t, nil
}

// Edit says that the bytes of a text from Start to OldEnd were replaced by those of the new text from NewStart to NewEnd.
type Edit struct{ Start, OldEnd, NewStart, NewEnd int }

// Both reads a text before and after a change. The second takes over what it can of the first, so that it costs about as
// much as the change is long; in the neighbourhood of an error it may read other than Parse does. The limit on steps is
// for both together, whether the first was kept or not. Outside of edits, which are in the order of the text, both must be
// alike; otherwise, and without any, the change is looked for.
func (p *Parser) Both(ctx context.Context, lang Language, before, after []byte, edits []Edit, limits Limits) (old, changed *Tree, err error) {
	_, limits, err = prepare(ctx, lang, limits, before, after)
	if err != nil {
		return nil, nil, err
	}
	first, err := p.Read(ctx, lang, before, limits)
	if err != nil {
		return nil, nil, err
	}
	limits.Steps -= first.Steps
	changed, err = first.change(after, edits, limits)
	return first.Tree, changed, err
}

// Changed reads a text after a change, and gives the tree that Parse gives. Edits are those of Both.
func (t *Base) Changed(ctx context.Context, after []byte, edits []Edit, limits Limits) (*Tree, error) {
	_, limits, err := prepare(ctx, t.Lang, limits, after)
	if err != nil {
		return nil, err
	}
	if !t.HasError() {
		// What is taken over of a tree without errors, into one without, is what the grammar makes of it: where there are
		// errors, how the parser came to them decides what they are. Steps that were saved count as if they had been taken.
		if tree, err := t.change(after, edits, limits); err == nil && !tree.HasError() && t.Steps+tree.Steps <= limits.Steps {
			return tree, nil
		}
	}
	return Parse(ctx, t.Lang, after, limits)
}

func (t *Base) change(after []byte, edits []Edit, limits Limits) (*Tree, error) {
	parsed, left, err := parse(t.grammar, after, t.parsed, changes(t.Source, after, edits), limits)
	runtime.KeepAlive(t)
	if err != nil {
		return nil, err
	}
	defer free(parsed)
	tree, err := flatten(parsed, t.Lang, t.grammar, after, limits)
	if err != nil {
		return nil, err
	}
	tree.Steps = limits.Steps - left
	return tree, nil
}
