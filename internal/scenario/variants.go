package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"

	"crisol"
	"crisol/internal/variant"
)

// Variants is variants.json: what became of every variant that was derived from a scenario's exploits. It is part of the
// scenario's version.
type Variants struct {
	// Exploits maps the id of an exploit that asks for variants to those that count: they succeeded on the vulnerable
	// side and were blocked by the reference. Evasions only do the latter: they are marked, and run on patched sides.
	Exploits map[string][]variant.Variant `json:"exploits"`
	// LeftOut maps the same ids to the variants that don't count, each with the reason.
	LeftOut map[string]map[string]string `json:"left_out,omitempty"`
}

// maxVariants bounds variants.json in bytes.
const maxVariants = 4 << 20

// derivedID names an exploit derived from another.
func derivedID(exploit, variant string) string { return exploit + "@" + variant }

// addVariants appends the recorded variants to the manifest's exploits.
func (s *Scenario) addVariants(files fs.FS, at string) Problems {
	recorded, err := readVariants(files)
	file := path.Join(at, variantsName)
	if err != nil {
		return Problems{{File: file, Line: 1, Message: err.Error()}}
	}
	var problems Problems
	report := func(format string, args ...any) {
		problems = append(problems, Problem{File: file, Line: 1, Message: fmt.Sprintf(format, args...)})
	}
	own := slices.Clone(s.Exploits)
	known := map[string]bool{}
	for _, x := range own {
		known[x.ID] = true
	}
	for id := range recorded.Exploits {
		if !slices.ContainsFunc(own, func(x Exploit) bool { return x.ID == id && x.Derive != nil }) {
			report("no exploit %s asks for variants", quote(id))
		}
	}
	for _, x := range own {
		for _, v := range recorded.Exploits[x.ID] {
			derived := x
			derived.ID, derived.Title, derived.Payload = derivedID(x.ID, v.ID), v.Title, v.Payload
			derived.Derive, derived.DerivedFrom, derived.Evasion = nil, x.ID, v.Evasion
			switch {
			case !idForm.MatchString(derived.ID):
				report("%s is not an id", quote(v.ID))
			case known[derived.ID]:
				report("duplicate id %s", quote(derived.ID))
			case !json.Valid(v.Payload):
				report("variant %s has no payload", quote(v.ID))
			}
			known[derived.ID] = true
			s.Exploits = append(s.Exploits, derived)
		}
	}
	return problems
}

// ReadVariants returns what is recorded beside the manifest; nothing where there is no record.
func (s *Scenario) ReadVariants() (Variants, error) { return readVariants(s.Files) }

func readVariants(files fs.FS) (Variants, error) {
	text, err := fs.ReadFile(files, variantsName)
	if errors.Is(err, fs.ErrNotExist) {
		return Variants{}, nil
	}
	if err != nil {
		return Variants{}, err
	}
	if len(text) > maxVariants {
		return Variants{}, fmt.Errorf("%d bytes, %d are allowed", len(text), maxVariants)
	}
	var v Variants
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return Variants{}, fmt.Errorf("not a record of variants: %w; crisol scenario derive writes it anew", err)
	}
	return v, nil
}

// WriteVariants writes variants.json to a scenario's folder, or takes it away when no exploit asks for variants.
func WriteVariants(folder string, v Variants) error {
	name := filepath.Join(folder, variantsName)
	if len(v.Exploits) == 0 && len(v.LeftOut) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return crisol.Errorf(crisol.KindInfrastructure, "remove the record of variants: %w", err)
		}
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the variants: %w", err)
	}
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "write the record of variants: %w", err)
	}
	return nil
}

// payload reads any YAML value as JSON.
func (r *reader) payload(n *yaml.Node, where string) json.RawMessage {
	var value any
	if err := n.Decode(&value); err != nil {
		r.report(n, "%s: %s", where, err)
		return nil
	}
	text, err := variant.Encode(value)
	if err != nil {
		r.report(n, "%s can't be written as JSON: %s", where, err)
		return nil
	}
	return text
}

// derive reads a form's name, or a mapping of it and its hints.
func (r *reader) derive(n *yaml.Node, where string) *Derive {
	d := &Derive{}
	if n.Kind == yaml.ScalarNode {
		d.Form = r.choice(variant.Forms()...)(n, where)
		return orNone(d)
	}
	keys := []key{must("form", &d.Form, r.choice(variant.Forms()...))}
	for _, name := range variant.Hints() {
		keys = append(keys, key{name: name, read: func(n *yaml.Node, where string) {
			if text := r.text(n, where); text != "" {
				if d.Hint == nil {
					d.Hint = map[string]string{}
				}
				d.Hint[name] = text
			}
		}})
	}
	r.mapping(n, where, keys...)
	return orNone(d)
}

func orNone(d *Derive) *Derive {
	if d.Form == "" {
		return nil
	}
	return d
}
