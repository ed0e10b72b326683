package advisory

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"deps.dev/util/semver"

	"crisol"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// Options choose where a record leaves a choice.
type Options struct {
	// Package chooses among several affected packages by name, or is the purl of the vulnerable version.
	Package string
	// Reference is the purl of the fixed version; "" takes the record's.
	Reference string
	// Versions lists what the registry has of a package; nil asks nobody.
	Versions func(ctx context.Context, ecosystem, name string) ([]string, error)
}

// ecosystem is how a kind of package is named in records and purls, and how its versions are ordered.
type ecosystem struct {
	purl   string
	system semver.System
}

var ecosystems = map[string]ecosystem{
	"npm": {"npm", semver.NPM}, "PyPI": {"pypi", semver.PyPI}, "Go": {"golang", semver.Go}, "Maven": {"maven", semver.Maven},
}

// Start returns what a scenario about the record begins with, and its id.
func (r *Record) Start(ctx context.Context, o Options) (id string, begin scenario.NewOptions, err error) {
	if r.Withdrawn != nil {
		err := crisol.Errorf(crisol.KindInput, "%s was withdrawn on %s", r.ID, r.Withdrawn.Format(time.DateOnly))
		return "", begin, crisol.WithHint(err, "there is nothing to show: choose an advisory that stands")
	}
	p, err := r.choose(o)
	if err != nil {
		return "", begin, err
	}
	vulnerable, fixed, err := p.versions(ctx, o)
	if err != nil {
		return "", begin, fmt.Errorf("%s: %w", r.ID, err)
	}
	begin = scenario.NewOptions{
		Package: vulnerable, Reference: fixed, Title: r.title(), CWE: r.weaknesses(), Severity: r.severity(p.entries), Type: r.class(),
	}
	if scenario.IsAlias(r.ID) {
		begin.Advisories = []string{r.ID}
	}
	for _, name := range append([]string{r.ID}, r.Aliases...) {
		switch {
		case begin.CVE == "" && cveForm.MatchString(name):
			begin.CVE = name
		case scenario.IsAlias(name) && !slices.Contains(begin.Aliases, name):
			begin.Aliases = append(begin.Aliases, name)
		}
	}
	if begin.CVE != "" {
		return begin.CVE, begin, nil
	}
	return r.ID, begin, nil
}

var (
	cveForm = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,}$`)
	cweForm = regexp.MustCompile(`^CWE-[0-9]{1,5}$`)
)

func (r *Record) weaknesses() (list []string) {
	for _, cwe := range r.Specific.CWE {
		if cweForm.MatchString(cwe) {
			list = append(list, cwe)
		}
	}
	return list
}

// affected is one package with all that the record says of it.
type affected struct {
	kind    ecosystem
	name    string
	entries []Affected
}

// choose returns the package that the scenario is about.
func (r *Record) choose(o Options) (affected, error) {
	packages := map[string]affected{}
	var others []string
	for _, a := range r.Affected {
		kind, ok := ecosystems[a.Package.Ecosystem]
		if !ok || kind.purl == "golang" && !strings.Contains(a.Package.Name, ".") { // the toolchain and its library
			if other := strings.TrimSpace(a.Package.Ecosystem + " " + a.Package.Name); other != "" {
				others = append(others, other)
			}
			continue
		}
		p := packages[kind.purl+" "+a.Package.Name]
		p.kind, p.name, p.entries = kind, a.Package.Name, append(p.entries, a)
		packages[kind.purl+" "+a.Package.Name] = p
	}
	if len(packages) == 0 {
		if len(others) == 0 {
			return affected{}, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s: affected names no package", r.file), "%s", hintRecord)
		}
		slices.Sort(others)
		err := crisol.Errorf(crisol.KindInput, "%s affects no package that a scenario can be started for: %s", r.ID, some(slices.Compact(others)))
		return affected{}, crisol.WithHint(err, "those of npm, PyPI, Go and Maven can; for others copy a scenario of the library")
	}
	return pick(r.ID, packages, o.Package)
}

// some names the first few of many.
func some(names []string) string {
	const few = 12
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
}

// pick chooses by name or purl; of one package there is nothing to choose.
func pick(id string, packages map[string]affected, wanted string) (affected, error) {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(packages)) {
		p := packages[key]
		if purl, err := target.ParsePackage(wanted); err == nil {
			if purl.Ecosystem == p.kind.purl && samePackage(p, purl.Name) {
				return p, nil
			}
		} else if strings.EqualFold(wanted, p.name) || wanted == "" && len(packages) == 1 {
			return p, nil
		}
		names = append(names, p.name)
	}
	if wanted == "" {
		err := crisol.Errorf(crisol.KindInput, "%s affects %d packages: %s", id, len(packages), some(names))
		return affected{}, crisol.WithHint(err, "choose one with --package NAME")
	}
	err := crisol.Errorf(crisol.KindInput, "%s doesn't affect %s, but %s", id, wanted, some(names))
	return affected{}, crisol.WithHint(err, "name the package, or its purl with the vulnerable version, with --package")
}

// samePackage compares a record's name with that of a purl, which is normalised.
func samePackage(p affected, name string) bool {
	parsed, err := target.ParsePackage(p.purl("1.0.0"))
	return strings.EqualFold(p.name, name) || err == nil && parsed.Name == name
}

// purl names a version of the package.
func (p affected) purl(version string) string {
	name := p.name
	switch p.kind.purl {
	case "maven":
		name = strings.ReplaceAll(name, ":", "/")
	case "npm":
		name = strings.Replace(name, "@", "%40", 1)
	}
	return "pkg:" + p.kind.purl + "/" + name + "@" + p.written(version)
}

// versions returns the purls of the highest affected version and of the one that fixes it.
func (p affected) versions(ctx context.Context, o Options) (vulnerable, fixed string, err error) {
	if purl, err := target.ParsePackage(o.Package); err == nil {
		fixed, err := p.fixOf(purl.Version, o.Reference)
		return o.Package, fixed, err
	}
	spans := p.spans()
	if len(spans) == 0 {
		return "", "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "the record names no version of %s that is affected", p.name), "%s", p.hint())
	}
	last := spans[len(spans)-1]
	for _, s := range spans {
		if s.fixed != "" && o.Reference == "" {
			last = s // the highest that has a fix
		}
	}
	found, known, err := p.within(ctx, last, o)
	if err != nil {
		return "", "", err
	}
	switch {
	case o.Reference != "":
		return p.purl(found), o.Reference, nil
	case last.fixed == "":
		err := crisol.Errorf(crisol.KindInput, "no version of %s fixes it, as far as the record knows", p.name)
		return "", "", crisol.WithHint(err, "a scenario needs a fix: name one with --reference pkg:%s/...@VERSION", p.kind.purl)
	}
	return p.purl(found), p.purl(p.published(last.fixed, known)), nil
}

// fixOf returns the purl of the fix for a version that was named.
func (p affected) fixOf(version, reference string) (string, error) {
	if reference != "" {
		return reference, nil
	}
	for _, s := range p.spans() {
		if s.fixed != "" && p.compare(version, s.fixed) < 0 {
			return p.purl(s.fixed), nil
		}
	}
	err := crisol.Errorf(crisol.KindInput, "the record names no fix for version %s of %s", version, p.name)
	return "", crisol.WithHint(err, "name one with --reference")
}

func (p affected) hint() string {
	return "name the vulnerable version yourself: --package " + p.purl("VERSION")
}

// span is a line of versions from introduced on, until fixed or through last.
type span struct{ introduced, fixed, last string }

// spans lists what is affected, the lowest first. Ranges of commits say nothing of versions.
func (p affected) spans() (list []span) {
	for _, a := range p.entries {
		for _, r := range a.Ranges {
			if r.Type == "GIT" {
				continue
			}
			open := -1
			for _, e := range r.Events {
				switch {
				case e.Introduced != "":
					list, open = append(list, span{introduced: e.Introduced}), len(list)
				case open >= 0 && e.Fixed != "":
					list[open].fixed = e.Fixed
				case open >= 0 && e.LastAffected != "":
					list[open].last = e.LastAffected
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b span) int { return p.compare(lowest(a.introduced), lowest(b.introduced)) })
	return list
}

// lowest is what "0" stands for in a record: before every version.
func lowest(introduced string) string {
	if introduced == "0" {
		return "0.0.0-0"
	}
	return introduced
}

// compare orders two versions, as records or registries write them.
func (p affected) compare(a, b string) int { return p.kind.system.Compare(p.written(a), p.written(b)) }

// written is a version as the ecosystem's order wants it: records leave out the v of a Go version.
func (p affected) written(version string) string {
	if p.kind.purl == "golang" {
		return "v" + strings.TrimPrefix(version, "v")
	}
	return version
}

func (p affected) has(s span, version string) bool {
	if _, err := target.ParsePackage(p.purl(version)); err != nil {
		return false // no version that could be fetched
	}
	return (s.introduced == "0" || p.compare(version, s.introduced) >= 0) &&
		(s.fixed == "" || p.compare(version, s.fixed) < 0) &&
		(s.last == "" || p.compare(version, s.last) <= 0)
}

var lastKnown = regexp.MustCompile(`^<= ?(\S+)$`)

// within returns the highest version in the span: of those that the record lists, else the last that it knows, else of
// those that the registry has, which are returned too.
func (p affected) within(ctx context.Context, s span, o Options) (version string, known []string, err error) {
	var listed []string
	for _, a := range p.entries {
		listed = append(listed, a.Versions...)
		if m := lastKnown.FindStringSubmatch(a.Specific.LastKnown); m != nil {
			listed = append(listed, m[1])
		}
	}
	listed = append(listed, s.last)
	if version := p.highest(s, listed); version != "" {
		return version, nil, nil
	}
	err = crisol.Errorf(crisol.KindInput, "the record lists no version of %s that is affected", p.name)
	if o.Versions == nil {
		return "", nil, crisol.WithHint(err, "%s", p.hint())
	}
	known, err = o.Versions(ctx, p.kind.purl, p.name)
	if err != nil {
		return "", nil, crisol.WithHint(fmt.Errorf("the record lists no version of %s that is affected, and its registry's could not be had: %w", p.name, err), "%s", p.hint())
	}
	if version := p.highest(s, known); version != "" {
		return version, known, nil
	}
	err = crisol.Errorf(crisol.KindInput, "of the %d versions of %s that the registry has none is affected", len(known), p.name)
	return "", nil, crisol.WithHint(err, "%s", p.hint())
}

// highest returns the highest version in the span; a prerelease only where there is nothing else.
func (p affected) highest(s span, versions []string) (best string) {
	early := true
	for _, v := range versions {
		if !p.has(s, v) {
			continue
		}
		parsed, err := p.kind.system.Parse(p.written(v))
		pre := err != nil || parsed.IsPrerelease()
		if best == "" || early && !pre || early == pre && p.compare(v, best) > 0 {
			best, early = v, pre
		}
	}
	return best
}

// published is the fixed version if the registry has it, else the next above it. Where nobody asked the registry, the
// record is believed.
func (p affected) published(fixed string, known []string) string {
	next := ""
	for _, v := range known {
		if c := p.compare(v, fixed); c == 0 || c > 0 && (next == "" || p.compare(v, next) < 0) {
			next = v
		}
	}
	if next == "" {
		return fixed
	}
	return next
}
