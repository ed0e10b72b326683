package corpus

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"crisol"
)

// Stats counts a corpus.
type Stats struct {
	Total Count `json:"total"`
	// Scenarios, Vulnerabilities and Groups are those that have a label. A group is what shares a package or a CVE.
	Scenarios       int     `json:"scenarios"`
	Vulnerabilities int     `json:"vulnerabilities"`
	Groups          int     `json:"groups"`
	Operators       []Row   `json:"operators"`
	Types           []Row   `json:"types"`
	Ecosystems      []Row   `json:"ecosystems"`
	Seconds         float64 `json:"seconds"` // of all trials together
}

// Row counts the candidates that share a name.
type Row struct {
	Name string `json:"name"`
	Count
}

// Count counts candidates by what came of them.
type Count struct {
	All          int `json:"all"`
	Fixed        int `json:"fixed"`
	NotFixed     int `json:"not_fixed"`
	Broken       int `json:"broken"`
	Inconclusive int `json:"inconclusive"`
	Failed       int `json:"error"`
}

// Labels is how many candidates have a label.
func (c Count) Labels() int { return c.Fixed + c.NotFixed + c.Broken }

func (c *Count) add(v crisol.Verdict) {
	c.All++
	switch v {
	case crisol.Fixed:
		c.Fixed++
	case crisol.NotFixed:
		c.NotFixed++
	case crisol.Broken:
		c.Broken++
	case Failed:
		c.Failed++
	default:
		c.Inconclusive++
	}
}

// brief is what counting needs of a candidate.
type brief struct {
	operator, kind, ecosystem, scenario, pkg, cve string
	verdict                                       crisol.Verdict
}

// Summarise counts the candidates. Of a patch that occurs again, because it could not be tried or its scenario is another
// version by now, the last line counts.
func Summarise(candidates iter.Seq2[Candidate, error]) (Stats, error) {
	last := map[string]brief{}
	var s Stats
	for c, err := range candidates {
		if err != nil {
			return Stats{}, err
		}
		s.Seconds += c.Seconds
		last[c.Scenario+" "+c.PatchDigest] = brief{c.Operator, cmp.Or(c.Type, "other"), c.Ecosystem, c.Scenario, c.Ecosystem + "/" + c.Package, c.CVE, c.Verdict}
	}
	operators, types, ecosystems := map[string]*Count{}, map[string]*Count{}, map[string]*Count{}
	scenarios, vulnerabilities, groups := map[string]bool{}, map[string]bool{}, union{}
	for _, b := range last {
		s.Total.add(b.verdict)
		for name, counts := range map[string]map[string]*Count{b.operator: operators, b.kind: types, b.ecosystem: ecosystems} {
			if counts[name] == nil {
				counts[name] = &Count{}
			}
			counts[name].add(b.verdict)
		}
		if _, labelled := (Candidate{Verdict: b.verdict}).Label(); labelled {
			scenarios[b.scenario] = true
			vulnerabilities[cmp.Or(b.cve, b.scenario)] = true
			groups.join("package "+b.pkg, "vulnerability "+cmp.Or(b.cve, b.scenario))
		}
	}
	s.Scenarios, s.Vulnerabilities, s.Groups = len(scenarios), len(vulnerabilities), groups.sets()
	s.Operators, s.Types, s.Ecosystems = rows(operators), rows(types), rows(ecosystems)
	return s, nil
}

// rows sorts counts by size.
func rows(counts map[string]*Count) (list []Row) {
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, Row{name, *counts[name]})
	}
	slices.SortStableFunc(list, func(a, b Row) int { return cmp.Compare(b.All, a.All) })
	return list
}

// union is a forest of disjoint sets of names.
type union map[string]string

func (u union) root(name string) string {
	for u[name] != "" && u[name] != name {
		name = u[name]
	}
	u[name] = name
	return name
}

func (u union) join(a, b string) { u[u.root(a)] = u.root(b) }

func (u union) sets() (n int) {
	for name, parent := range u {
		if name == parent {
			n++
		}
	}
	return n
}
