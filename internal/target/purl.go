package target

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"crisol"
)

// Ecosystems lists the purl types that can be prepared.
var Ecosystems = []string{"npm", "pypi", "golang", "maven", "cargo"}

const purlExample = "pkg:npm/lodash@4.17.11"

// Package is one exact version of one package.
type Package struct {
	Ecosystem string // npm, pypi, golang, maven, cargo
	// Name as the ecosystem's client takes it: lodash, @babel/core, jinja2, github.com/x/y, group:artifact.
	Name string
	// Version is exact: a range or a tag ("latest") never parses.
	Version string
	purl    string
}

// String returns the package's canonical purl.
func (p Package) String() string { return p.purl }

// Ecosystem returns the ecosystem of a versioned purl: npm, pypi, golang, maven or cargo.
func Ecosystem(purl string) (string, error) {
	p, err := ParsePackage(purl)
	return p.Ecosystem, err
}

// grammar is what a name and a version look like. They become arguments and paths, so what is allowed is listed.
type grammar struct{ name, version *regexp.Regexp }

var (
	exactSemver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	grammars    = map[string]grammar{
		"npm": {regexp.MustCompile(`^(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*$`), exactSemver},
		"pypi": {regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`),
			regexp.MustCompile(`^([0-9]+!)?[0-9]+(\.[0-9]+)*([._-]?(a|b|c|rc|alpha|beta|pre|post|rev|r|dev)[._-]?[0-9]*)*(\+[a-z0-9.]+)?$`)},
		"maven": {regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*$`),
			regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)},
		"cargo": {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`), exactSemver},
	}
)

// ParsePackage reads a versioned purl. Its error says what is wrong with it.
func ParsePackage(purl string) (Package, error) {
	p, err := parsePackage(strings.TrimSpace(purl))
	if err == nil {
		return p, nil
	}
	err = crisol.Errorf(crisol.KindInput, "package %q: %w", purl, err)
	return Package{}, crisol.WithHint(err, "write a package URL with an exact version, as in %s; types: %s",
		purlExample, strings.Join(Ecosystems, ", "))
}

func parsePackage(purl string) (Package, error) {
	if !strings.HasPrefix(purl, "pkg:") {
		return Package{}, fmt.Errorf("not a package URL")
	}
	typ, _, _ := strings.Cut(strings.TrimLeft(purl[len("pkg:"):], "/"), "/")
	typ = strings.ToLower(typ)
	if !slices.Contains(Ecosystems, typ) {
		return Package{}, fmt.Errorf("type %q is not supported", typ)
	}
	u, err := packageurl.FromString(keepCase(purl, typ))
	if err != nil {
		return Package{}, err
	}
	u.Type = typ
	switch {
	case u.Version == "":
		return Package{}, fmt.Errorf("the version is missing")
	case u.Subpath != "":
		return Package{}, fmt.Errorf("subpath %q is not supported", u.Subpath)
	case len(u.Qualifiers) > 0:
		return Package{}, fmt.Errorf("qualifier %q is not supported", u.Qualifiers[0].Key)
	}
	p := Package{Ecosystem: typ, Name: clientName(u), Version: u.Version, purl: u.ToString()}
	return p, checkNames(p)
}

// keepCase hides the type of a Go module: packageurl lowers the case of its path, and the proxy minds it.
func keepCase(purl, typ string) string {
	if typ != "golang" {
		return purl
	}
	_, rest, _ := strings.Cut(strings.TrimLeft(purl[len("pkg:"):], "/"), "/")
	return "pkg:generic/" + rest
}

func clientName(u packageurl.PackageURL) string {
	if u.Namespace == "" {
		return u.Name
	}
	if u.Type == "maven" {
		return u.Namespace + ":" + u.Name
	}
	return u.Namespace + "/" + u.Name
}

func checkNames(p Package) error {
	if p.Ecosystem == "golang" {
		if err := module.Check(p.Name, p.Version); err != nil {
			return err
		}
		if semver.Canonical(p.Version)+semver.Build(p.Version) != p.Version {
			return fmt.Errorf("version %q is not exact", p.Version)
		}
		return nil
	}
	g := grammars[p.Ecosystem]
	if !g.name.MatchString(p.Name) {
		return fmt.Errorf("%q is not a name that %s knows", p.Name, p.Ecosystem)
	}
	if !g.version.MatchString(p.Version) {
		return fmt.Errorf("%q is not an exact version", p.Version)
	}
	return nil
}

// parseAll reads a spec's packages, the target first. All are of one ecosystem, and none is named twice.
func parseAll(spec Spec) ([]Package, error) {
	var all []Package
	for _, purl := range append([]string{spec.Package}, spec.With...) {
		p, err := ParsePackage(purl)
		if err != nil {
			return nil, err
		}
		for _, q := range all {
			if q.Ecosystem != p.Ecosystem {
				return nil, crisol.Errorf(crisol.KindInput, "package %q: not of the ecosystem of %s", purl, q)
			}
			if q.Name == p.Name {
				return nil, crisol.Errorf(crisol.KindInput, "package %q: named twice", purl)
			}
		}
		all = append(all, p)
	}
	return all, nil
}
