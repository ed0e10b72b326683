// Package variant makes other attacks out of one: the same vulnerability by another key, encoding, separator or length.
//
// In goes a payload that works and the form that it has; out come payloads of the same intent, in a fixed order, each
// with an id. The package runs nothing and doesn't know whether a variant works: one counts only where a trial shows
// that it succeeds on the vulnerable target and is blocked by the reference fix.
package variant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"crisol"
)

// Variant is one derived payload.
type Variant struct {
	ID      string          `json:"id"` // unique within its form
	Title   string          `json:"title,omitempty"`
	Payload json.RawMessage `json:"payload"` // any JSON value, of the kind that the form has
	// Evasion is set for a payload that is made for a filter: what it gets past may only come with a patch, so it need
	// not succeed before.
	Evasion bool `json:"evasion,omitempty"`
}

// made is a variant before its payload is encoded.
type made struct {
	id, title string
	payload   any
}

// form is one way in which payloads are varied.
type form struct {
	about  string
	hints  []string
	evades []string // the ids of evasions
	derive func(base any, hint map[string]string) ([]made, error)
}

var forms = map[string]form{
	"object":   {"an object with __proto__ or constructor.prototype in it, to be merged", nil, []string{"nested-word", "nested-word-constructor"}, objects},
	"keys":     {"a path of keys through __proto__ or constructor.prototype: text or a list", []string{"separator"}, []string{"nested-word", "nested-word-constructor", "list-nested-word", "list-in-list", "spaced"}, keys},
	"query":    {"a query string that sets a key of __proto__", nil, []string{"nested-word", "encoded"}, queries},
	"path":     {"a path that leaves a folder", []string{"absolute", "sibling"}, []string{"doubled", "doubled-inside", "encoded", "encoded-twice", "backslash", "null-byte"}, paths},
	"shell":    {"text that ends a shell's command and begins another", []string{"command", "option"}, []string{"single-quote", "double-quote", "backslashed-quote", "substitution", "newline"}, shells},
	"script":   {"JavaScript that gets at what it must not", []string{"code"}, nil, scripts},
	"sql":      {"text that ends a literal of an SQL statement", []string{"union", "stacked"}, []string{"doubled-quote", "backslash", "backslash-doubled", "hash-comment"}, statements},
	"html":     {"markup that runs a script", []string{"script"}, []string{"script-nested", "double-quote", "single-quote", "javascript-control", "text-backslash"}, markups},
	"url":      {"the URL of an internal address", nil, nil, urls},
	"redirect": {"the URL of a foreign site, where a local path is expected", []string{"host"}, []string{"user-slashes", "tab", "slash-backslash"}, redirects},
	"xml":      {"a document with an external entity", []string{"file"}, nil, documents},
	"pump":     {"{prefix, pump, suffix}: a text that grows, for a slow regular expression", nil, nil, pumps},
}

// Forms lists the forms, sorted.
func Forms() []string { return slices.Sorted(maps.Keys(forms)) }

// About says in a few words what a form is.
func About(name string) string { return forms[name].about }

// Hints lists what any of the forms may be told besides, sorted: what a payload alone doesn't say.
func Hints() []string {
	var names []string
	for _, f := range forms {
		names = append(names, f.hints...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Derive makes the variants of a payload of the named form. An error says why the payload isn't of that form.
func Derive(name string, base json.RawMessage, hint map[string]string) ([]Variant, error) {
	f, known := forms[name]
	if !known {
		return nil, crisol.Errorf(crisol.KindInput, "there is no form %q: choose one of %s", name, strings.Join(Forms(), ", "))
	}
	for key := range hint {
		if !slices.Contains(f.hints, key) {
			return nil, crisol.Errorf(crisol.KindInput, "the form %s takes no %s", name, key)
		}
	}
	var value any
	if err := json.Unmarshal(base, &value); err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the payload: %w", err)
	}
	list, err := f.derive(value, hint)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "the payload isn't of the form %s (%s): %w", name, f.about, err)
	}
	own, err := Encode(value)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{string(own): true}
	var out []Variant
	for _, m := range list {
		payload, err := Encode(m.payload)
		if err != nil {
			return nil, err
		}
		if !seen[string(payload)] {
			seen[string(payload)] = true
			out = append(out, Variant{ID: m.id, Title: m.title, Payload: payload, Evasion: slices.Contains(f.evades, m.id)})
		}
	}
	return out, nil
}

// Encode writes a value as compact JSON, its signs unescaped and its keys sorted.
func Encode(value any) (json.RawMessage, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode a payload: %w", err)
	}
	return bytes.TrimSpace(text.Bytes()), nil
}

// text reads a payload that must be a text.
func text(base any) (string, error) {
	s, ok := base.(string)
	if !ok || s == "" {
		return "", fmt.Errorf("it must be a text")
	}
	return s, nil
}
