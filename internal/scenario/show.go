package scenario

import (
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"crisol/internal/target"
)

// Summary is one scenario in a list.
type Summary struct {
	ID        string   `json:"id" example:"CVE-2019-10744"`
	Title     string   `json:"title"`
	Ecosystem string   `json:"ecosystem" doc:"npm, pypi, golang, maven, cargo, or dir"`
	Package   string   `json:"package" doc:"The purl of the vulnerable version; of a folder its name"`
	Type      string   `json:"type,omitempty" doc:"The class of the weakness" example:"prototype_pollution"`
	Severity  string   `json:"severity,omitempty"`
	CVE       string   `json:"cve,omitempty"`
	Aliases   []string `json:"aliases,omitempty"`
	CWE       []string `json:"cwe,omitempty"`
	Exploits  int      `json:"exploits" doc:"All of them: the proof and the variants"`
	Variants  int      `json:"variants"`
	Benign    int      `json:"benign"`
	Tests     int      `json:"tests"`
	Verified  string   `json:"verified,omitempty" format:"date" doc:"The day on which its self-test was last seen green"`
	Digest    string   `json:"digest" doc:"The scenario's version"`
	Path      string   `json:"path"`
	Embedded  bool     `json:"embedded" doc:"It is part of the binary"`
}

// Detail is one scenario with all that its manifest says.
type Detail struct {
	Summary
	Advisories []string      `json:"advisories,omitempty"`
	Target     TargetDetail  `json:"target"`
	Kit        string        `json:"kit,omitempty"`
	Inputs     []InputDetail `json:"inputs" nullable:"false"`
	Limits     LimitsDetail  `json:"limits"`
	Locked     []string      `json:"locked" nullable:"false" doc:"The sides that have a lock"`
	Files      []string      `json:"files" nullable:"false" doc:"What is laid at /work"`
}

// TargetDetail is the tree under trial and its fixes.
type TargetDetail struct {
	With       []string       `json:"with,omitempty"`
	Reference  FixDetail      `json:"reference"`
	Incomplete []FixDetail    `json:"incomplete,omitempty"`
	Decoy      *FixDetail     `json:"decoy,omitempty"` // nil where it is generated
	Build      []StepDetail   `json:"build,omitempty"`
	Service    *ServiceDetail `json:"service,omitempty"`
}

// FixDetail is another state of the target; one field is set.
type FixDetail struct {
	Package string `json:"package,omitempty"`
	Patch   string `json:"patch,omitempty"`
	Dir     string `json:"dir,omitempty"`
}

// StepDetail is one command of the build.
type StepDetail struct {
	Run []string `json:"run"`
	Dir string   `json:"dir,omitempty"`
}

// ServiceDetail is the server beside the inputs.
type ServiceDetail struct {
	Run    []string `json:"run"`
	Env    []string `json:"env,omitempty"`
	TCP    string   `json:"tcp"`
	Within string   `json:"within"`
}

// InputDetail is one exploit, benign input or test; oracles are told in words.
type InputDetail struct {
	Role     string   `json:"role"` // exploit, variant, benign, test
	ID       string   `json:"id"`
	Title    string   `json:"title,omitempty"`
	Run      []string `json:"run"`
	Env      []string `json:"env,omitempty"`
	Oracle   string   `json:"oracle"`
	Reached  string   `json:"reached,omitempty"`
	Callback string   `json:"callback,omitempty"`
}

// LimitsDetail are the limits that the manifest sets; "" and 0 stand for the default.
type LimitsDetail struct {
	Timeout   string `json:"timeout,omitempty"`
	Memory    int64  `json:"memory,omitempty"`
	Processes int    `json:"processes,omitempty"`
	Disk      int64  `json:"disk,omitempty"`
}

// Summaries returns the list's form of each scenario.
func Summaries(list []*Scenario) []Summary {
	out := make([]Summary, len(list))
	for i, s := range list {
		out[i] = s.Summary()
	}
	return out
}

// Summary returns the scenario's form in a list.
func (s *Scenario) Summary() Summary {
	v := s.Vulnerability
	out := Summary{
		ID: s.ID, Title: s.Title, Ecosystem: "dir", Package: s.Target.Dir, Type: v.Type, Severity: v.Severity,
		CVE: v.CVE, Aliases: v.Aliases, CWE: v.CWE,
		Exploits: len(s.Exploits), Variants: max(len(s.Exploits)-1, 0), Benign: len(s.Benign), Tests: len(s.Tests),
		Digest: s.Digest, Path: s.Path, Embedded: s.Embedded,
	}
	if ecosystem, err := target.Ecosystem(s.Target.Package); err == nil {
		out.Ecosystem, out.Package = ecosystem, s.Target.Package
	}
	if !s.Verified.IsZero() {
		out.Verified = s.Verified.Format(time.DateOnly)
	}
	return out
}

// Detail returns the scenario with all that its manifest says.
func (s *Scenario) Detail() Detail {
	return Detail{
		Summary: s.Summary(), Advisories: s.Vulnerability.Advisories, Target: s.Target.detail(), Kit: s.Kit, Inputs: s.inputs(),
		Limits: LimitsDetail{Timeout: spoken(s.Limits.Timeout), Memory: s.Limits.Memory, Processes: s.Limits.Processes, Disk: s.Limits.Disk},
		Locked: s.locked(), Files: s.laid(),
	}
}

func spoken(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return short(d)
}

func (t Target) detail() TargetDetail {
	out := TargetDetail{With: t.With, Reference: FixDetail(t.Reference)}
	for _, fix := range t.Incomplete {
		out.Incomplete = append(out.Incomplete, FixDetail(fix))
	}
	if t.Decoy != nil {
		decoy := FixDetail(*t.Decoy)
		out.Decoy = &decoy
	}
	for _, step := range t.Build {
		out.Build = append(out.Build, StepDetail(step))
	}
	if v := t.Service; v != nil {
		out.Service = &ServiceDetail{Run: v.Run, Env: v.Env, TCP: v.Ready.TCP, Within: short(v.Ready.Within)}
	}
	return out
}

func (s *Scenario) inputs() []InputDetail {
	out := []InputDetail{}
	add := func(role string, in Input, byDefault string) *InputDetail {
		oracle := in.Oracle.String()
		if oracle == "" {
			oracle = byDefault
		}
		out = append(out, InputDetail{Role: role, ID: in.ID, Title: in.Title, Run: in.Run, Env: in.Env, Oracle: oracle})
		return &out[len(out)-1]
	}
	healthy := "exit 0"
	if s.Kit != "" {
		healthy = "exit 0, and the kit says that it ran to its end"
	}
	for i, x := range s.Exploits {
		role := "variant"
		if i == 0 {
			role = "exploit"
		}
		d := add(role, x.Input, "the kit's own word (exit 0)")
		d.Reached, d.Callback = x.Reached.String(), x.Callback
	}
	for _, in := range s.Benign {
		add("benign", in, healthy)
	}
	for _, in := range s.Tests {
		add("test", in, "exit 0")
	}
	return out
}

// locked lists the sides that have a lock.
func (s *Scenario) locked() []string {
	sides := []string{}
	entries, err := fs.ReadDir(s.Files, lockDir)
	if err != nil {
		return sides
	}
	for _, e := range entries {
		if e.IsDir() {
			sides = append(sides, e.Name())
		}
	}
	return sides
}

// laid lists what is laid at /work. A folder that can't be read any more lists what could be.
func (s *Scenario) laid() []string {
	files := []string{}
	_ = fs.WalkDir(s.WorkFiles(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, name)
		}
		return err
	})
	return files
}

// WriteList writes the table of `crisol scenario list`.
func WriteList(w io.Writer, list []*Scenario) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tECOSYSTEM\tPACKAGE\tCLASS\tSEVERITY\tEXPLOITS\tVARIANTS\tBENIGN\tTESTS") // Flush tells
	for _, s := range Summaries(list) {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", s.ID, s.Ecosystem, shortPackage(s), dash(s.Type), dash(s.Severity),
			s.Exploits, s.Variants, s.Benign, s.Tests)
	}
	return table.Flush()
}

// shortPackage names the package as its ecosystem's client does.
func shortPackage(s Summary) string {
	if p, err := target.ParsePackage(s.Package); err == nil {
		return p.Name + "@" + p.Version
	}
	return s.Package
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// WritePage writes the page of `crisol scenario show`.
func (s *Scenario) WritePage(w io.Writer) error {
	d := s.Detail()
	p := &page{}
	p.line("%s  %s", d.ID, d.Title)
	p.fact("from", "%s", d.Path)
	p.fact("version", "%s", d.Digest)
	p.fact("verified", "%s", dash(d.Verified))
	p.vulnerability(d)
	p.target(d)
	p.inputs(d)
	p.section("Limits")
	p.fact("timeout", "%s", orDefault(d.Limits.Timeout))
	p.fact("memory", "%s", orDefault(sizeOrEmpty(d.Limits.Memory)))
	p.fact("processes", "%s", orDefault(countOrEmpty(d.Limits.Processes)))
	p.fact("disk", "%s", orDefault(sizeOrEmpty(d.Limits.Disk)))
	p.section("Files at /work")
	for _, name := range d.Files {
		p.line("  %s", shellWord(name))
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

// page gathers the lines of one scenario's page.
type page struct{ text strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

func (p *page) section(title string) { p.line("\n%s", title) }

// fact writes a name and a value; an empty value is left out.
func (p *page) fact(name, format string, args ...any) {
	if value := fmt.Sprintf(format, args...); value != "" {
		p.line("  %-12s%s", name, value)
	}
}

func (p *page) vulnerability(d Detail) {
	p.section("Vulnerability")
	p.fact("cve", "%s", d.CVE)
	p.fact("aliases", "%s", strings.Join(d.Aliases, ", "))
	p.fact("advisories", "%s", strings.Join(d.Advisories, ", "))
	p.fact("class", "%s", strings.TrimSpace(d.Type+" "+strings.Join(d.CWE, " ")))
	p.fact("severity", "%s", d.Severity)
}

func (p *page) target(d Detail) {
	t := d.Target
	p.section("Target")
	if d.Ecosystem == "dir" {
		p.fact("folder", "%s", shellWord(d.Package))
	} else {
		p.fact("package", "%s", d.Package)
	}
	p.fact("with", "%s", strings.Join(t.With, ", "))
	p.fact("locked", "%s", strings.Join(d.Locked, ", "))
	for _, step := range t.Build {
		in := ""
		if step.Dir != "" {
			in = " (in " + step.Dir + ")"
		}
		p.fact("build", "%s%s", CommandLine(step.Run), in)
	}
	if v := t.Service; v != nil {
		p.fact("service", "%s", CommandLine(append(append([]string{}, v.Env...), v.Run...)))
		p.fact("", "ready when %s answers, within %s", v.TCP, v.Within)
	}
	p.fact("reference", "%s", t.Reference)
	for _, fix := range t.Incomplete {
		p.fact("incomplete", "%s", fix)
	}
	if t.Decoy != nil {
		p.fact("decoy", "%s", *t.Decoy)
	} else {
		p.fact("decoy", "generated")
	}
	p.fact("kit", "%s", d.Kit)
}

// String names the fix by the one field that is set.
func (f FixDetail) String() string {
	switch {
	case f.Package != "":
		return f.Package
	case f.Patch != "":
		return shellWord(f.Patch)
	}
	return shellWord(f.Dir) + "/"
}

func (p *page) inputs(d Detail) {
	titles := map[string]string{"exploit": "Exploit", "variant": "Variants", "benign": "Benign inputs", "test": "Tests"}
	role := ""
	for _, in := range d.Inputs {
		if in.Role != role {
			role = in.Role
			p.section(titles[role])
		}
		p.line("  %s", strings.TrimSuffix(in.ID+": "+in.Title, ": "))
		p.line("    run      %s", CommandLine(append(append([]string{}, in.Env...), in.Run...)))
		if in.Callback != "" {
			p.line("    listen   %s", in.Callback)
		}
		p.line("    holds    %s", in.Oracle)
		if in.Reached != "" {
			p.line("    reached  %s", in.Reached)
		}
	}
}

func orDefault(s string) string {
	if s == "" {
		return "default"
	}
	return s
}

func sizeOrEmpty(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return Size(bytes)
}

func countOrEmpty(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
