// Package snippet makes a trial out of two pieces of code: the vulnerable one and what is said to fix it, with no
// package around them. In go the class of the vulnerability and both texts; out comes a scenario whose target is the
// vulnerable text, and the tree that holds the other. An ordinary arena judges them, with all its gates. The package
// decides and assembles; it runs nothing.
//
// # How a snippet is run
//
// harness/ holds one program for each language that evaluates a snippet inside the sandbox. Names that a snippet uses
// and doesn't define are given by their role: db, conn and pool are a database handle, req is a request whose every
// parameter is the input, res records what is sent, next and callback are functions that record their arguments. Every
// other unknown name is the input itself, since that is what a snippet leaves out. A constant in capitals that is
// nowhere defined is an error, because it can't be guessed. Functions that the snippet declares, exports or registers
// as routes are then called, their parameters bound by name in the same way.
//
// An exploit counts as having reached its target only if the snippet really ran with the payload: every run of the target
// in an attack must have used its input, and one that ends in a ReferenceError, a NameError or another fault of
// programming says nothing; as a benign input it fails.
//
// # How to add a class
//
// Make one folder, classes/CLASS, named as vulnerability.type spells the class. Nothing else has to be touched. It holds
//
//   - class.json: names (other spellings), title, cwe, the kit and an example for each language that can be tried, the
//     exploits (id, title, payload) in the order in which they are tried as the proof, and the benign inputs. A payload
//     is any JSON value; only the class's kit reads it. Best is a list of payloads of one kind, tried in one process;
//     {derive: {form, hint, without}} adds what package variant makes of the first. An exploit that doesn't succeed
//     against the affected code is left out of the trial; so is a benign input that is optional and doesn't work there.
//     One benign input at least must not be optional: it is what shows that the patch broke nothing. {search} makes the
//     payload of the two snippets: of their expressions, "ambiguity" the families of texts that slow them down, "samples"
//     texts that they match. {language} has an input tried in that language alone.
//   - kit.js, kit.py: what the class knows of the language, by the functions below.
//   - anything else that the kits load. All of the folder but class.json lies at /work/class in the sandbox.
//
// A kit exports
//
//	attack(pair, payload)     run the target with each payload; return that with which the effect was seen, or nothing
//	benign(pair, payload)     throw when the target doesn't do with a harmless input what the affected snippet does
//	slow(pair, payload, t)    for exploits that are judged by CPU time ("slow": [sizes] in class.json): run the target
//	                          with an input of t.size that is hostile, or not, as t.hostile says
//
// and may export
//
//	roles(name, run)          what a name means in this class, before the harness's own roles: {value} in JavaScript,
//	                          a tuple of one in Python; nothing where it means nothing
//	modules(name, run)        JavaScript: {value} for a module that is required, also in place of a real one
//	args(params, run, fn)     JavaScript: the arguments of a call, where their places say more than their names; nothing
//	                          where they don't
//	response(run)             JavaScript: methods of res that mean something in this class, such as sendFile
//	modules(name)             Python: whether the kit stands in for a module that the sandbox doesn't have,
//	lent(module, name, run)   and what is imported of it
//	fakes(run)                Python: names of flask, django and fastapi that mean something, such as send_file
//
// pair.target and pair.affected are the snippet under trial and the vulnerable one. run(value, {control, state, rewrite})
// evaluates one anew with value as its input and returns an outcome: values (what was returned), sent (what went to the
// response), called (arguments of callbacks), declared (the variables at the top level), made (instances, in JavaScript),
// errors, names (of the inputs that were read), proper (false for a fault of programming) and used. control marks a run
// whose reach doesn't matter: to learn what is usual, or of the affected snippet. state is found as run.state by the hooks
// above; its inputs, {name: value}, are those that differ from value. rewrite(source) changes the text first, as to move a
// literal path into the sandbox.
// pair.affected is there to learn from and to compare with; an effect must be the target's.
//
// What the harness can't know is missing(message) of the run, in a hook: the snippet is then said to lack it.
//
// Then write testdata/CLASS.txtar, right and wrong patches with the verdict that each must get, and run
//
//	go test ./internal/snippet -run TestTrials/CLASS
package snippet

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
)

//go:embed all:harness all:classes
var embedded embed.FS

// maxSnippet bounds the text of one snippet.
const maxSnippet = 64 << 10

// Case is a pair of snippets, ready for a trial.
type Case struct {
	// Scenario has the vulnerable snippet as its target. It has no reference fix: none is known.
	Scenario *scenario.Scenario
	// Patched is the tree that replaces the target's.
	Patched fs.FS
	// PatchDigest identifies the patched snippet, in hex.
	PatchDigest string
	Language    Language
	// Example is a pair of snippets of this class and language that can be tried.
	Example string

	touched []diff.Touched
}

// Made says whether a scenario was made of a pair of snippets.
func Made(s *scenario.Scenario) bool { return s.Path == "snippet" }

// Touched is the snippet before and after the patch.
func (c *Case) Touched() []diff.Touched { return c.touched }

// Wrap makes a case of two snippets. An error says why it can't, and its hint shows a snippet for which it can.
func Wrap(class, affected, patched string) (*Case, error) {
	known, err := classes()
	if err != nil {
		return nil, err
	}
	k, err := known.find(class)
	if err != nil {
		return nil, err
	}
	affected, patched, language, err := k.read(affected, patched)
	if err != nil {
		return nil, crisol.WithHint(err, "%s", k.example(language))
	}
	of, served := k.Languages[language]
	if !served {
		err := crisol.Errorf(crisol.KindInput, "a snippet of %s can't be tried for %s, only one of %s", language, k.Type, k.served())
		return nil, crisol.WithHint(err, "%s", k.example(""))
	}
	for which, text := range map[string]string{"affected_code": affected, "patch.code": patched} {
		if len(text) > maxSnippet {
			return nil, crisol.Errorf(crisol.KindInput, "%s has %d bytes, at most %d can be tried", which, len(text), maxSnippet)
		}
	}
	return assemble(k, language, of, affected, patched)
}

// harnessName is the harness of each language; SQL text is run by Python, whose standard library holds SQLite.
var harnessName = map[Language]string{JavaScript: "run.js", Python: "run.py", SQL: "run.py"}

func assemble(k *class, language Language, of languageKit, affected, patched string) (*Case, error) {
	name := "snippet." + language.ext()
	files := fstest.MapFS{}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	put("app/"+name, affected)
	put("affected/"+name, affected)
	if err := copyTree(files, "harness", "harness"); err != nil {
		return nil, err
	}
	if err := copyTree(files, path.Join("classes", k.Type), "class"); err != nil {
		return nil, err
	}
	delete(files, "class/class.json")
	made, err := k.about(language, affected, patched)
	if err != nil {
		return nil, err
	}
	s := &scenario.Scenario{Files: files, Path: "snippet", Manifest: made.manifest(language, of)}
	if language == SQL {
		put("decoy/"+name, gone)
		s.Target.Decoy = &scenario.Fix{Dir: "decoy"}
	}
	manifest, err := json.Marshal(s.Manifest)
	if err != nil {
		return nil, fmt.Errorf("encode the scenario of a snippet: %w", err)
	}
	s.Digest = digest(manifest, files)
	tree := fstest.MapFS{name: {Data: []byte(patched), Mode: 0o644}}
	return &Case{Scenario: s, Patched: tree, PatchDigest: digest([]byte(k.Type), tree), Language: language, Example: k.example(language),
		touched: []diff.Touched{{Path: name, Before: []byte(affected), After: []byte(patched)}}}, nil
}

// gone is the decoy of a query: it takes no input and finds nothing.
const gone = "SELECT 'crisol decoy: the feature is gone' WHERE 0\n"

func copyTree(into fstest.MapFS, from, to string) error {
	return fs.WalkDir(embedded, from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(name, "__pycache__") {
			return err
		}
		text, err := fs.ReadFile(embedded, name)
		into[to+strings.TrimPrefix(name, from)] = &fstest.MapFile{Data: text, Mode: 0o644}
		return err
	})
}

// digest identifies a text and every file of a tree, each preceded by its length.
func digest(text []byte, files fstest.MapFS) string {
	h := sha256.New()
	fmt.Fprintf(h, "crisol snippet 1\n%d\n%s", len(text), text)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%d %s %d\n%s", len(name), name, len(files[name].Data), files[name].Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// manifest is the scenario of a class in a language.
func (k *class) manifest(language Language, of languageKit) scenario.Manifest {
	m := scenario.Manifest{
		Schema: scenario.Schema, ID: path.Join("snippet", k.Type, string(language)),
		Title:         k.Title + " in a snippet of " + language.String(),
		Vulnerability: scenario.Vulnerability{CWE: k.CWE, Type: k.Type, Severity: "high"},
		Target:        scenario.Target{Dir: "app"}, Kit: "python",
		Limits: scenario.Limits{Timeout: 20 * time.Second, Memory: 512 << 20, Processes: 64, Disk: 64 << 20},
	}
	program := "python3"
	if language == JavaScript {
		m.Kit, program = "node", "node"
	}
	input := func(mode string, in input) scenario.Input {
		return scenario.Input{
			ID: in.ID, Title: in.Title, Optional: in.Optional, Payload: in.Payload,
			Run: []string{program, "harness/" + harnessName[language], mode, "class/" + of.Kit, "snippet." + language.ext()},
		}
	}
	elsewhere := func(only Language) bool { return only != "" && only != language }
	for _, x := range k.Exploits {
		if elsewhere(x.Language) {
			continue
		}
		attack := scenario.Exploit{Input: input("attack", x)}
		if len(x.Slow) > 0 {
			attack.Input = input("slow", x)
			attack.Oracle = &scenario.Oracle{Slow: &scenario.Slow{Sizes: x.Slow}}
		}
		attack.Optional = true
		m.Exploits = append(m.Exploits, attack)
	}
	for _, b := range k.Benign {
		if !elsewhere(b.Language) {
			m.Benign = append(m.Benign, input("benign", b))
		}
	}
	return m
}

// compact returns JSON on one line.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
