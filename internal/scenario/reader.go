package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"crisol/internal/spelling"
)

// maxManifest bounds a manifest in bytes.
const maxManifest = 1 << 20

// reader walks the nodes of one manifest. Whatever is wrong is noted with its place and reading goes on, so that all
// problems are told at once.
type reader struct {
	file     string // the manifest's name in messages
	folder   folder
	problems Problems

	// Facts that later parts of the manifest are checked against.
	target  Target
	kit     string
	kitLays map[string]bool // the kit's files
}

// report notes a problem at a node.
func (r *reader) report(n *yaml.Node, format string, args ...any) {
	r.reportNear(n, "", format, args...)
}

func (r *reader) reportNear(n *yaml.Node, near, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: max(n.Line, 1), Column: n.Column, Message: fmt.Sprintf(format, args...), Nearest: near,
	})
}

// parse turns the manifest into its one document's root node, or nil when it isn't one plain tree.
func (r *reader) parse(text []byte) *yaml.Node {
	top := &yaml.Node{Line: 1}
	if len(text) > maxManifest {
		r.report(top, "the manifest has %d bytes, %d are allowed", len(text), maxManifest)
		return nil
	}
	if at := invalidUTF8(text); at >= 0 {
		r.report(&yaml.Node{Line: 1 + bytes.Count(text[:at], []byte("\n"))}, "not valid UTF-8")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) || err == nil && len(document.Content) != 1 {
		r.report(top, "the manifest is empty")
		return nil
	} else if err != nil {
		r.syntax(err)
		return nil
	}
	var more yaml.Node
	if err := decoder.Decode(&more); err == nil {
		r.report(&more, "a second document begins here: a manifest is one document")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	r.plain(document.Content[0])
	if len(r.problems) > 0 {
		return nil
	}
	return document.Content[0]
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func (r *reader) syntax(err error) {
	var at *yaml.LoadError
	if errors.As(err, &at) {
		message := at.Message
		if strings.HasPrefix(message, "mapping values are not allowed") {
			message += ": a text with a colon and a space in it must be quoted"
		}
		r.report(&yaml.Node{Line: at.Mark.Line, Column: at.Mark.Column}, "not YAML: %s", message)
		return
	}
	r.report(&yaml.Node{Line: 1}, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// plain refuses what makes a tree more than a tree: anchors and aliases (with which a short text expands without
// bound) and tags.
func (r *reader) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.report(n, "aliases are not supported: write %s out", quote("*"+n.Value))
		return
	case n.Anchor != "":
		r.report(n, "anchors are not supported: %s", quote("&"+n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		r.report(n, "tags are not supported: %s", quote(n.Tag))
	}
	for _, c := range n.Content {
		r.plain(c)
	}
}

// key is one key that a mapping may have.
type key struct {
	name string
	must bool
	read func(n *yaml.Node, where string)
}

// field reads a key into dst.
func field[T any](name string, dst *T, read func(*yaml.Node, string) T) key {
	return key{name: name, read: func(n *yaml.Node, where string) { *dst = read(n, where) }}
}

// must is field for a key that may not be left out.
func must[T any](name string, dst *T, read func(*yaml.Node, string) T) key {
	k := field(name, dst, read)
	k.must = true
	return k
}

// mapping reads a mapping with the given keys, in the order given here and not in the manifest's, and returns the
// nodes of the values that it has.
func (r *reader) mapping(n *yaml.Node, where string, keys ...key) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		r.wrongType(n, where, "a mapping of "+strings.Join(keyNames(keys), ", "))
		return nil
	}
	values := r.entries(n, where)
	known := keyNames(keys)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := n.Content[i]; name.Kind == yaml.ScalarNode && !slices.Contains(known, name.Value) {
			r.unknownKey(name, known)
		}
	}
	for _, k := range keys {
		value, ok := values[k.name]
		if ok {
			k.read(value, inside(where, k.name))
		} else if k.must && !mistyped(n, k.name, known) {
			r.report(n, "%smissing key %q", prefix(where), k.name)
		}
	}
	return values
}

// mistyped holds when a mapping has an unknown key that was told to be meant for name: one problem is enough.
func mistyped(n *yaml.Node, name string, known []string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && !slices.Contains(known, k.Value) && spelling.Nearest(k.Value, known) == name {
			return true
		}
	}
	return false
}

// entries returns the values of a mapping by key, refusing duplicates, keys that aren't text and values that are empty.
func (r *reader) entries(n *yaml.Node, where string) map[string]*yaml.Node {
	values := map[string]*yaml.Node{}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		switch line, twice := lines[name.Value]; {
		case name.Kind != yaml.ScalarNode:
			r.report(name, "%sa key must be text", prefix(where))
			continue
		case twice:
			r.report(name, "duplicate key %s: it is already on line %d", quote(name.Value), line)
			continue
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			r.report(name, "%s is empty: give it a value or leave the key out", quote(name.Value))
		default:
			values[name.Value] = value
		}
		lines[name.Value] = name.Line
	}
	return values
}

func (r *reader) unknownKey(name *yaml.Node, known []string) {
	if near := spelling.Nearest(name.Value, known); near != "" {
		r.reportNear(name, near, "unknown key %s", quote(name.Value))
		return
	}
	r.report(name, "unknown key %s: the keys here are %s", quote(name.Value), strings.Join(known, ", "))
}

func keyNames(keys []key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// inside names a key below where; prefix begins a message about where.
func inside(where, name string) string {
	if where == "" {
		return name
	}
	return where + "." + name
}

func prefix(where string) string {
	if where == "" {
		return ""
	}
	return where + ": "
}

func (r *reader) wrongType(n *yaml.Node, where, want string) {
	if where == "" {
		where = "the manifest"
	}
	r.report(n, "%s must be %s, not %s", where, want, kindOf(n))
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	case "!!bool":
		return "the truth value " + quote(n.Value)
	case "!!timestamp":
		return "the date " + quote(n.Value)
	case "!!null":
		return "nothing"
	}
	return "the text " + quote(n.Value)
}

// list reads a list with one reading for each item.
func list[T any](r *reader, read func(*yaml.Node, string) T) func(*yaml.Node, string) []T {
	return func(n *yaml.Node, where string) []T {
		if n.Kind != yaml.SequenceNode {
			r.wrongType(n, where, "a list")
			return nil
		}
		var items []T // nil when the list is empty, as when it isn't given
		for i, c := range n.Content {
			at := fmt.Sprintf("%s[%d]", where, i)
			if c.Tag == "!!null" {
				r.report(c, "%s is empty", at)
				continue
			}
			items = append(items, read(c, at))
		}
		return items
	}
}

// text reads one line of text. A number or a date must be quoted: YAML may have changed it already.
func (r *reader) text(n *yaml.Node, where string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.wrongType(n, where, "text")
		return ""
	}
	if strings.TrimSpace(n.Value) == "" {
		r.report(n, "%s is empty", where)
	}
	if i := strings.IndexFunc(n.Value, invisible); i >= 0 {
		r.report(n, "%s has a control character or a line break at character %d", where, utf8.RuneCountInString(n.Value[:i])+1)
		return ""
	}
	return n.Value
}

// invisible holds for what could rewrite a terminal's line or turn its text around.
func invisible(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029'
}

// verbatim reads a scalar as it is written, whatever YAML takes it for: an argument, something to look for.
func (r *reader) verbatim(n *yaml.Node, where string) string {
	if n.Kind != yaml.ScalarNode {
		r.wrongType(n, where, "text")
		return ""
	}
	if strings.ContainsRune(n.Value, 0) {
		r.report(n, "%s has a NUL character", where)
		return ""
	}
	return n.Value
}

// filled is verbatim for something to look for, where "" would be found everywhere.
func (r *reader) filled(n *yaml.Node, where string) string {
	s := r.verbatim(n, where)
	if n.Kind == yaml.ScalarNode && n.Value == "" {
		r.report(n, "%s is empty", where)
	}
	return s
}

// integer reads a whole number between least and most.
func (r *reader) integer(least, most int) func(*yaml.Node, string) int {
	return func(n *yaml.Node, where string) int {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
			r.wrongType(n, where, "a whole number")
			return least
		}
		i, err := strconv.Atoi(n.Value)
		if err != nil || strconv.Itoa(i) != n.Value { // 012 and 0x10 are numbers too, but of another kind than they seem
			r.report(n, "%s must be a plain whole number, not %s", where, quote(n.Value))
			return least
		}
		if i < least || i > most {
			r.report(n, "%s must be from %d to %d, not %d", where, least, most, i)
			return least
		}
		return i
	}
}

// isTruth holds for true and false; truth tells which.
func isTruth(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!bool" }

func truth(n *yaml.Node) bool { return strings.EqualFold(n.Value, "true") }

// choice reads one of some words.
func (r *reader) choice(of ...string) func(*yaml.Node, string) string {
	return func(n *yaml.Node, where string) string {
		s := r.text(n, where)
		if s != "" && !slices.Contains(of, s) {
			if near := spelling.Nearest(s, of); near != "" {
				r.reportNear(n, near, "%s: unknown value %s", where, quote(s))
			} else {
				r.report(n, "%s: unknown value %s, choose one of %s", where, quote(s), strings.Join(of, ", "))
			}
			return ""
		}
		return s
	}
}
