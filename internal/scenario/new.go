package scenario

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"

	"crisol"
	"crisol/internal/target"
)

// The files of each kind of starter are templates between [[ and ]]; their suffix keeps compilers away from them.
//
//go:embed all:starter
var starters embed.FS

const starterSuffix = ".tmpl"

// Kinds lists what New can start with: the ecosystems, and "dir", a web application of one's own.
var Kinds = []string{"npm", "pypi", "golang", "maven", "dir"}

// NewOptions say what New begins with.
type NewOptions struct {
	// Kind is one of Kinds; "" follows from Package, and is npm without one.
	Kind string
	// Package is the purl of the vulnerable version; "" leaves an example to be replaced.
	Package string
	// Reference is the purl of the version that fixes it; "" leaves an example.
	Reference string

	// The rest is what an advisory says; without a Title the starter leaves it to be filled in.
	Title, CVE, Severity     string
	Aliases, CWE, Advisories []string
	// Type is one of Types: the exploit begins as one of that class, where there is a sketch of it; "" is none.
	Type string
}

// examples stand where no package was given.
var examples = map[string][2]string{
	"npm":    {"pkg:npm/example@1.0.0", "pkg:npm/example@1.0.1"},
	"pypi":   {"pkg:pypi/example@1.0.0", "pkg:pypi/example@1.0.1"},
	"golang": {"pkg:golang/example.org/module@v1.0.0", "pkg:golang/example.org/module@v1.0.1"},
	"maven":  {"pkg:maven/org.example/artifact@1.0.0", "pkg:maven/org.example/artifact@1.0.1"},
}

// judges are what decides from outside for the sketches of a class; of the others the exploit's own word decides.
var judges = map[string]string{
	"redos":             "oracle: {slow: {sizes: [10000, 20000, 40000]}}",
	"command_injection": "oracle: {file: {exists: marker}}",
	"code_injection":    "oracle: {file: {exists: marker}}",
	"deserialization":   "oracle: {file: {exists: marker}}",
	"ssrf":              "callback: 127.0.0.1:9099\n    oracle: {callback: {contains: GET /inner}}",
}

// New writes a commented scenario to begin with into dir, which must be absent or empty. It loads as it is.
func New(dir, id string, o NewOptions) error {
	values, err := o.values(dir, id)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return crisol.Errorf(crisol.KindInput, "start a scenario: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "start a scenario: %w", err)
	}
	if len(entries) > 0 {
		err := crisol.Errorf(crisol.KindInput, "start a scenario: %s is not empty", dir)
		return crisol.WithHint(err, "name a folder that doesn't exist yet")
	}
	if err := values.write(dir); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "start a scenario: %w", err)
	}
	if _, err := Load(os.DirFS(dir), dir); err != nil {
		return crisol.Errorf(crisol.KindInternal, "the scenario that was started doesn't load: %w", err)
	}
	return nil
}

// starter is what the templates see.
type starter struct {
	kind               string
	ID                 string // as YAML
	Folder             string // as a shell takes it
	Package, Reference string // purls
	Name               string // of the package, as its ecosystem's client takes it
	Import             string // what source code imports, as far as the name tells
	Advisory           string // title and vulnerability as YAML; "" leaves them to be filled in
	Judge              string // of the exploit, as YAML, where its class has one
	Class              string // of the weakness; "" leaves it to be filled in
}

// values checks the options.
func (o NewOptions) values(dir, id string) (starter, error) {
	none := starter{}
	if !idForm.MatchString(id) || len(id) > 128 {
		err := crisol.Errorf(crisol.KindInput, "start a scenario: %s can't be an id", quote(id))
		return none, crisol.WithHint(err, "an id begins with a letter or digit and goes on with letters, digits, '.', '_', '@' and '-'")
	}
	kind, err := o.kind()
	if err != nil {
		return none, err
	}
	text, err := yaml.Marshal(id)
	if err != nil {
		return none, crisol.Errorf(crisol.KindInternal, "start a scenario: %w", err)
	}
	v := starter{kind: kind, ID: strings.TrimSpace(string(text)), Folder: shellWord(folderWord(dir)), Class: o.Type}
	if o.Type != "" && !slices.Contains(Types, o.Type) {
		err := crisol.Errorf(crisol.KindInput, "start a scenario: there is no class %s", quote(o.Type))
		return none, crisol.WithHint(err, "choose one of %s", strings.Join(Types, ", "))
	}
	if kind == "dir" {
		return v, nil
	}
	if v.Advisory, err = o.advisory(); err != nil {
		return none, err
	}
	pkg, fixed, err := o.packages(kind)
	if err != nil {
		return none, err
	}
	v.Package, v.Reference = asWritten(o.Package, pkg), asWritten(o.Reference, fixed)
	v.Name, v.Import, v.Judge = pkg.Name, importName(pkg), judges[o.Type]
	return v, nil
}

// IsAlias says whether a name can stand among a manifest's aliases and advisories.
func IsAlias(name string) bool {
	switch {
	case strings.HasPrefix(name, "GHSA-"):
		return ghsaForm.MatchString(name)
	case strings.HasPrefix(name, "CVE-"):
		return cveForm.MatchString(name)
	}
	return aliasForm.MatchString(name)
}

// advisory renders what an advisory says as the beginning of a manifest.
func (o NewOptions) advisory() (string, error) {
	if o.Title == "" {
		return "", nil
	}
	type vulnerability struct {
		CVE        string   `yaml:"cve,omitempty"`
		Aliases    []string `yaml:"aliases,omitempty,flow"`
		CWE        []string `yaml:"cwe,omitempty,flow"`
		Severity   string   `yaml:"severity,omitempty"`
		Type       string   `yaml:"type,omitempty"`
		Advisories []string `yaml:"advisories,omitempty,flow"`
	}
	text, err := yaml.Marshal(struct {
		Title         string
		Vulnerability vulnerability
	}{o.Title, vulnerability{o.CVE, o.Aliases, o.CWE, o.Severity, o.Type, o.Advisories}})
	if err != nil {
		return "", crisol.Errorf(crisol.KindInternal, "start a scenario: %w", err)
	}
	manifest := strings.ReplaceAll(string(text), "\n    ", "\n  ")
	if len(o.CWE) == 0 {
		manifest += "  # cwe: [CWE-94]                                         # <- the advisory names none\n"
	}
	if o.Severity == "" {
		manifest += "  # severity: high                                        # <- low, medium, high, critical: the advisory doesn't say\n"
	}
	return manifest, nil
}

var plainPurl = regexp.MustCompile(`^[A-Za-z0-9:/@._~+%!-]+$`)

// asWritten keeps a purl as it was given, which reads better than its canonical form (pkg:npm/%40scope/name).
func asWritten(purl string, p target.Package) string {
	if plainPurl.MatchString(purl) {
		return purl
	}
	return p.String()
}

// folderWord names a folder so that it is never taken for an id of the library.
func folderWord(dir string) string {
	if strings.ContainsAny(dir, `/\`) {
		return dir
	}
	return "./" + dir
}

func (o NewOptions) kind() (string, error) {
	kind := o.Kind
	if o.Package != "" {
		ecosystem, err := target.Ecosystem(o.Package)
		if err != nil {
			return "", fmt.Errorf("start a scenario: %w", err)
		}
		if kind != "" && kind != ecosystem {
			return "", crisol.Errorf(crisol.KindInput, "start a scenario: %s is not of the kind %s", o.Package, kind)
		}
		kind = ecosystem
	}
	if kind == "" {
		kind = "npm"
	}
	if !slices.Contains(Kinds, kind) {
		err := crisol.Errorf(crisol.KindInput, "start a scenario: there is no kind %s", quote(kind))
		return "", crisol.WithHint(err, "choose one of %s", strings.Join(Kinds, ", "))
	}
	return kind, nil
}

// packages reads the two versions, or gives the examples.
func (o NewOptions) packages(kind string) (vulnerable, fixed target.Package, err error) {
	purls := examples[kind]
	if o.Package != "" {
		purls = [2]string{o.Package, o.Reference}
		if o.Reference == "" {
			err := crisol.Errorf(crisol.KindInput, "start a scenario: no version that fixes %s is given", o.Package)
			return vulnerable, fixed, crisol.WithHint(err, "a manifest needs a reference fix: give the purl of the fixed version")
		}
	} else if o.Reference != "" {
		return vulnerable, fixed, crisol.Errorf(crisol.KindInput, "start a scenario: a reference is given, but no package")
	}
	if vulnerable, err = target.ParsePackage(purls[0]); err == nil {
		fixed, err = target.ParsePackage(purls[1])
	}
	switch {
	case err != nil:
		return vulnerable, fixed, fmt.Errorf("start a scenario: %w", err)
	case vulnerable.Ecosystem != fixed.Ecosystem || vulnerable.Name != fixed.Name:
		return vulnerable, fixed, crisol.Errorf(crisol.KindInput, "start a scenario: %s is another package than %s", fixed, vulnerable)
	case vulnerable.Version == fixed.Version:
		return vulnerable, fixed, crisol.Errorf(crisol.KindInput, "start a scenario: %s can't fix itself", vulnerable)
	}
	return vulnerable, fixed, nil
}

// importName guesses what source code calls the package.
func importName(p target.Package) string {
	switch p.Ecosystem {
	case "pypi":
		return strings.NewReplacer("-", "_", ".", "_").Replace(p.Name)
	case "maven":
		group, _, _ := strings.Cut(p.Name, ":")
		return group
	}
	return p.Name
}

// write renders every file of the kind.
func (v starter) write(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	from, err := fs.Sub(starters, path.Join("starter", v.kind))
	if err != nil {
		return err
	}
	sketches, err := fs.Sub(starters, path.Join("starter", "sketches", v.kind))
	if err != nil {
		return err
	}
	return fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		source, file := from, name
		if sketch := v.Class + path.Ext(strings.TrimSuffix(name, starterSuffix)) + starterSuffix; strings.HasPrefix(name, "exploit.") {
			if _, err := fs.Stat(sketches, sketch); err == nil {
				source, file = sketches, sketch
			}
		}
		text, err := v.render(source, file)
		if err != nil {
			return err
		}
		local := filepath.FromSlash(strings.TrimSuffix(name, starterSuffix))
		if err := root.MkdirAll(filepath.Dir(local), 0o755); err != nil {
			return err
		}
		return writeFile(root, local, text)
	})
}

func (v starter) render(from fs.FS, name string) ([]byte, error) {
	text, err := fs.ReadFile(from, name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
