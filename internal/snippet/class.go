package snippet

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"crisol"
	"crisol/internal/variant"
)

// class is a folder below classes/: what is known of one class of vulnerabilities.
type class struct {
	// Type is the folder's name, as scenario.Vulnerability.Type spells it.
	Type string `json:"-"`
	// Names are other spellings, in any case, with spaces, dashes or underscores.
	Names     []string                 `json:"names"`
	Title     string                   `json:"title"`
	CWE       []string                 `json:"cwe"`
	Languages map[Language]languageKit `json:"languages"`
	Exploits  []input                  `json:"exploits"`
	Benign    []input                  `json:"benign"`
}

// languageKit is what a class knows of one language.
type languageKit struct {
	Kit     string `json:"kit"` // a file of the class's folder
	Example pair   `json:"example"`
}

// pair is two snippets for which a trial can be held.
type pair struct {
	Affected string `json:"affected_code"`
	Patched  string `json:"patch_code"`
}

// input is an exploit or a benign input; its payload is the kit's business.
type input struct {
	ID       string          `json:"id"`
	Title    string          `json:"title"`
	Payload  json.RawMessage `json:"payload"`
	Optional bool            `json:"optional"` // of benign inputs; every exploit is
	// Language is the only one in which the input is tried; empty for all.
	Language Language `json:"language"`
	// Slow, of an exploit, has it judged by the CPU time that it takes at these sizes, ascending.
	Slow []int `json:"slow"`
	// Search names a search of the snippets that makes the payload.
	Search string `json:"search"`
	// Derive, of an exploit whose payload is a list, adds to it what is derived from its first text.
	Derive *derivation `json:"derive"`
}

// derivation asks for variants of a form (see package variant), without some that prove nothing in this class.
type derivation struct {
	Form    string            `json:"form"`
	Hint    map[string]string `json:"hint"`
	Without []string          `json:"without"`
}

// family is a list of payloads with those that are derived from its first.
func (d *derivation) family(payload json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(payload, &list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("derive needs a list of payloads")
	}
	derived, err := variant.Derive(d.Form, list[0], d.Hint)
	if err != nil {
		return nil, err
	}
	for _, v := range derived {
		if !slices.Contains(d.Without, v.ID) {
			list = append(list, v.Payload)
		}
	}
	return variant.Encode(list)
}

// registry holds the classes by the plain form of every name.
type registry struct {
	all    []*class
	byName map[string]*class
}

var classes = sync.OnceValues(func() (*registry, error) {
	sub, err := fs.Sub(embedded, "classes")
	if err != nil {
		return nil, err
	}
	return readClasses(sub)
})

// readClasses reads every folder of fsys.
func readClasses(fsys fs.FS) (*registry, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("list the classes of snippets: %w", err)
	}
	r := &registry{byName: map[string]*class{}}
	for _, entry := range entries {
		k, err := readClass(fsys, entry.Name())
		if err != nil {
			return nil, crisol.Errorf(crisol.KindInternal, "read class %s: %w", entry.Name(), err)
		}
		r.all = append(r.all, k)
		for _, name := range append(k.Names, k.Type, k.Title) {
			if other := r.byName[plain(name)]; other != nil && other != k {
				return nil, crisol.Errorf(crisol.KindInternal, "%q names both %s and %s", name, other.Type, k.Type)
			}
			r.byName[plain(name)] = k
		}
	}
	return r, nil
}

func readClass(fsys fs.FS, name string) (*class, error) {
	text, err := fs.ReadFile(fsys, path.Join(name, "class.json"))
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	k := &class{Type: name}
	if err := decoder.Decode(k); err != nil {
		return nil, err
	}
	return k, k.check(fsys)
}

// check refuses a folder that no trial could be held with.
func (k *class) check(fsys fs.FS) error {
	if k.Title == "" || len(k.CWE) == 0 || len(k.Languages) == 0 || len(k.Exploits) == 0 {
		return fmt.Errorf("it needs a title, a cwe, languages and exploits")
	}
	if !slices.ContainsFunc(k.Benign, func(b input) bool { return !b.Optional }) {
		return fmt.Errorf("it needs a benign input that isn't optional")
	}
	for language, of := range k.Languages {
		if !slices.Contains([]Language{JavaScript, Python, SQL}, language) {
			return fmt.Errorf("%q is no language of snippets", language)
		}
		if _, err := fs.Stat(fsys, path.Join(k.Type, of.Kit)); err != nil {
			return err
		}
		if of.Example.Affected == "" || of.Example.Patched == "" {
			return fmt.Errorf("%s needs an example", language)
		}
	}
	ids := map[string]bool{}
	for _, list := range [][]input{k.Exploits, k.Benign} {
		for i, in := range list {
			if in.Search != "" {
				if searches[in.Search] == nil {
					return fmt.Errorf("input %s: there is no search %q", in.ID, in.Search)
				}
				list[i].Payload = json.RawMessage("[]")
				in.Payload = list[i].Payload
			}
			if in.ID == "" || ids[in.ID] || !json.Valid(in.Payload) {
				return fmt.Errorf("input %d, %q, needs an id of its own and a payload", i+1, in.ID)
			}
			ids[in.ID], list[i].Payload = true, compact(in.Payload)
			if in.Derive == nil {
				continue
			}
			made, err := in.Derive.family(in.Payload)
			if err != nil {
				return fmt.Errorf("input %s: %w", in.ID, err)
			}
			list[i].Payload = made
		}
	}
	return nil
}

// about is the class with the payloads that are made of these snippets.
func (k *class) about(language Language, affected, patched string) (*class, error) {
	made := *k
	var err error
	if made.Exploits, err = searched(k.Exploits, language, affected, patched); err != nil {
		return nil, err
	}
	made.Benign, err = searched(k.Benign, language, affected, patched)
	return &made, err
}

// read decides the language of both texts. In a class that is about expressions, one of them or both may be an expression
// and nothing else.
func (k *class) read(affected, patched string) (string, string, Language, error) {
	if slices.ContainsFunc(k.Exploits, func(x input) bool { return x.Search == "ambiguity" }) {
		a, inA := written(affected)
		b, inB := written(patched)
		if inA != "" && inA == inB {
			return a, b, inA, nil
		}
	}
	language, err := agree(affected, patched)
	return affected, patched, language, err
}

// plain is a name without case and separators.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// ambiguous names what could be several classes.
var ambiguous = map[string]string{
	"rce":                    "command_injection, code_injection or deserialisation",
	"remotecodeexecution":    "command_injection, code_injection or deserialisation",
	"arbitrarycodeexecution": "command_injection, code_injection or deserialisation",
	"injection":              "sql_injection, command_injection or code_injection",
	"cwe74":                  "sql_injection, command_injection, code_injection or xss",
	"cwe913":                 "code_injection, deserialisation or prototype_pollution",
}

// find returns the class of a name in any usual spelling, or of a CWE.
func (r *registry) find(name string) (*class, error) {
	word := plain(name)
	if k := r.byName[word]; k != nil {
		return k, nil
	}
	for _, k := range r.all {
		if slices.ContainsFunc(k.CWE, func(cwe string) bool { return plain(cwe) == word }) {
			return k, nil
		}
	}
	err := crisol.Errorf(crisol.KindInput, "there is no trial for snippets of type %q, only for %s", name, r.names())
	switch {
	case ambiguous[word] != "":
		err = crisol.Errorf(crisol.KindInput, "vulnerability.type %q can mean several classes: say %s", name, ambiguous[word])
	case word == "":
		err = crisol.Errorf(crisol.KindInput, "vulnerability.type is missing: say one of %s", r.names())
	}
	return nil, crisol.WithHint(err, "%s", r.all[0].example(""))
}

func (r *registry) names() string {
	names := make([]string, len(r.all))
	for i, k := range r.all {
		names[i] = k.Type
	}
	return strings.Join(names, ", ")
}

func (k *class) served() string {
	names := make([]string, 0, len(k.Languages))
	for _, language := range slices.Sorted(maps.Keys(k.Languages)) {
		names = append(names, language.String())
	}
	return strings.Join(names, " or ")
}

// example shows a pair that can be tried, in the given language if the class has one there.
func (k *class) example(language Language) string {
	if _, served := k.Languages[language]; !served {
		language = slices.Sorted(maps.Keys(k.Languages))[0]
	}
	shown := struct {
		Vulnerability struct {
			Type     string `json:"type"`
			Affected string `json:"affected_code"`
		} `json:"vulnerability"`
		Patch struct {
			Code string `json:"code"`
		} `json:"patch"`
	}{}
	of := k.Languages[language]
	shown.Vulnerability.Type, shown.Vulnerability.Affected, shown.Patch.Code = k.Type, of.Example.Affected, of.Example.Patched
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(shown) // strings only: can't fail
	return "this can be tried: " + strings.TrimSpace(b.String())
}
