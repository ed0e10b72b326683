package scenario

import (
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"crisol/internal/kit"
	"crisol/internal/target"
	"crisol/internal/variant"
)

// Severities and Types are the words that vulnerability.severity and vulnerability.type may be.
var (
	Severities = []string{"low", "medium", "high", "critical"}
	Types      = []string{
		"prototype_pollution", "redos", "command_injection", "code_injection", "path_traversal", "sql_injection", "xss",
		"ssrf", "csrf", "unrestricted_upload", "xxe", "memory_corruption", "deserialization", "open_redirect", "other",
	}
)

// The keys of mappings of which one of several, or one under a condition, may not be left out.
var (
	targetKeys  = []string{"package", "dir", "with", "reference", "incomplete", "decoy", "build", "service"}
	fixKeys     = []string{"package", "patch", "dir"}
	exploitKeys = []string{"id", "title", "run", "env", "payload", "derive", "callback", "oracle", "reached"}
)

// manifest reads the whole document. What later parts are checked against is read first.
func (r *reader) manifest(n *yaml.Node) Manifest {
	m := Manifest{}
	values := r.mapping(n, "",
		must("schema", &m.Schema, r.schema),
		must("id", &m.ID, r.id),
		must("title", &m.Title, r.text),
		field("verified", &m.Verified, r.day),
		field("vulnerability", &m.Vulnerability, r.vulnerability),
		must("target", &m.Target, r.targetOf),
		field("kit", &m.Kit, r.kitName),
		must("exploits", &m.Exploits, list(r, r.exploit)),
		field("benign", &m.Benign, list(r, r.benign)),
		field("tests", &m.Tests, list(r, r.test)),
		field("limits", &m.Limits, r.limits))
	if v := values["exploits"]; v != nil && v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		r.report(v, "exploits is empty: without an exploit nothing can be shown")
	}
	for _, name := range []string{"exploits", "benign", "tests"} {
		r.unique(values[name])
	}
	return m
}

func (r *reader) schema(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s != "" && s != Schema {
		r.reportNear(n, Schema, "%s %s is not known", where, quote(s))
	}
	return s
}

// unique refuses an id that two inputs of one list share.
func (r *reader) unique(n *yaml.Node) {
	if n == nil {
		return
	}
	lines := map[string]int{}
	for _, item := range n.Content {
		for i := 0; item.Kind == yaml.MappingNode && i+1 < len(item.Content); i += 2 {
			if item.Content[i].Value != "id" {
				continue
			}
			id := item.Content[i+1]
			if line, twice := lines[id.Value]; twice {
				r.report(id, "duplicate id %s: it is already on line %d", quote(id.Value), line)
			} else {
				lines[id.Value] = id.Line
			}
			break
		}
	}
}

func (r *reader) vulnerability(n *yaml.Node, where string) Vulnerability {
	v := Vulnerability{}
	r.mapping(n, where,
		field("cve", &v.CVE, r.formed(cveForm, "CVE-2019-10744")),
		field("aliases", &v.Aliases, list(r, r.alias)),
		field("cwe", &v.CWE, list(r, r.formed(cweForm, "CWE-1321"))),
		field("severity", &v.Severity, r.choice(Severities...)),
		field("type", &v.Type, r.choice(Types...)),
		field("advisories", &v.Advisories, list(r, r.alias)))
	return v
}

func (r *reader) targetOf(n *yaml.Node, where string) Target {
	t := Target{}
	values := r.mapping(n, where,
		field("package", &t.Package, r.purl),
		field("dir", &t.Dir, r.dir),
		key{name: "with", read: func(n *yaml.Node, where string) { t.With = list(r, r.companion(t))(n, where) }},
		key{name: "reference", must: true, read: func(n *yaml.Node, where string) { t.Reference = r.fix(t, true)(n, where) }},
		key{name: "incomplete", read: func(n *yaml.Node, where string) { t.Incomplete = list(r, r.fix(t, false))(n, where) }},
		key{name: "decoy", read: func(n *yaml.Node, where string) { t.Decoy = pointer(r.fix(t, false))(n, where) }},
		key{name: "build", read: func(n *yaml.Node, where string) { t.Build = list(r, r.step(t))(n, where) }},
		key{name: "service", read: func(n *yaml.Node, where string) { t.Service = r.service(t)(n, where) }})
	if values != nil {
		if values["package"] != nil && values["dir"] != nil {
			r.report(values["dir"], "%s has both a package and a dir: give one", where)
		} else if values["package"] == nil && values["dir"] == nil && !mistyped(n, "package", targetKeys) && !mistyped(n, "dir", targetKeys) {
			r.report(n, "%s: missing key \"package\" (or \"dir\")", where)
		}
	}
	r.target = t
	r.unhidden(n)
	return t
}

// companion reads a package that is installed beside the target's.
func (r *reader) companion(t Target) func(*yaml.Node, string) string {
	return func(n *yaml.Node, where string) string {
		s := r.purl(n, where)
		if t.Dir != "" && t.Package == "" {
			r.report(n, "%s: only beside a package can others be installed", where)
			return s
		}
		with, err := target.Ecosystem(s)
		if main, mainErr := target.Ecosystem(t.Package); err == nil && mainErr == nil && with != main {
			r.report(n, "%s: %s is of another ecosystem than %s", where, s, t.Package)
		}
		return s
	}
}

// fix reads one state of the target: a version of the same package, a diff or a folder.
func (r *reader) fix(t Target, mends bool) func(*yaml.Node, string) Fix {
	return func(n *yaml.Node, where string) Fix {
		f := Fix{}
		values := r.mapping(n, where, field("package", &f.Package, r.purl), field("patch", &f.Patch, r.patch), field("dir", &f.Dir, r.dir))
		if values == nil {
			return f
		}
		given := 0
		for _, name := range fixKeys {
			if values[name] != nil {
				given++
			}
		}
		if given == 0 && !slices.ContainsFunc(fixKeys, func(name string) bool { return mistyped(n, name, fixKeys) }) {
			r.report(n, "%s: missing key \"package\" (or \"patch\", or \"dir\")", where)
		} else if given > 1 {
			r.report(n, "%s must have exactly one of package, patch and dir", where)
		}
		if v := values["package"]; v != nil && f.Package != "" {
			r.version(v, where, f.Package, t, mends)
		}
		if v := values["dir"]; v != nil && f.Dir != "" && t.Dir != "" && overlap(f.Dir, t.Dir) {
			r.report(v, "%s: the folders %s and %s overlap", where, quote(f.Dir), quote(t.Dir))
		}
		return f
	}
}

func overlap(a, b string) bool {
	return strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")
}

// version checks that a package is another version of the one under trial.
func (r *reader) version(n *yaml.Node, where, purl string, t Target, mends bool) {
	if t.Dir != "" && t.Package == "" {
		r.report(n, "%s: the target is a folder, so no version of a package can mend it: give a patch or a dir", where)
		return
	}
	got, err := target.ParsePackage(purl)
	want, wantErr := target.ParsePackage(t.Package)
	switch {
	case err != nil || wantErr != nil: // told where it stands
	case got.Ecosystem != want.Ecosystem || got.Name != want.Name:
		r.report(n, "%s: %s is another package than the target's, %s", where, purl, t.Package)
	case got.Version == want.Version && mends:
		r.report(n, "%s: %s is the vulnerable version itself", where, purl)
	case got.Version == want.Version:
		r.report(n, "%s: %s is the target's own version", where, purl)
	case !mends && purl == t.Reference.Package:
		r.report(n, "%s: %s is the reference itself", where, purl)
	}
}

// step reads one command of the build: an argv, or {run, dir}.
func (r *reader) step(t Target) func(*yaml.Node, string) Step {
	return func(n *yaml.Node, where string) Step {
		s := Step{}
		if n.Kind == yaml.SequenceNode {
			s.Run = r.program(inTarget(t))(n, where)
			return s
		}
		r.mapping(n, where,
			field("dir", &s.Dir, r.inSandbox),
			key{name: "run", must: true, read: func(n *yaml.Node, where string) {
				in := inTarget(t)
				if s.Dir != "" {
					in = runsIn{dir: strings.TrimPrefix(strings.TrimPrefix(s.Dir, "/work"), "/"), ours: true}
				}
				s.Run = r.program(in)(n, where)
			}})
		return s
	}
}

func (r *reader) service(t Target) func(*yaml.Node, string) *Service {
	return func(n *yaml.Node, where string) *Service {
		s := &Service{}
		r.mapping(n, where,
			must("run", &s.Run, r.program(inTarget(t))),
			field("env", &s.Env, list(r, r.environment)),
			must("ready", &s.Ready, r.ready))
		return s
	}
}

func (r *reader) ready(n *yaml.Node, where string) Ready {
	y := Ready{Within: 10 * time.Second}
	r.mapping(n, where, must("tcp", &y.TCP, r.loopback), field("within", &y.Within, r.duration(maxTimeout)))
	return y
}

func (r *reader) kitName(n *yaml.Node, where string) string {
	name := r.choice(kit.Names()...)(n, where)
	if name == "" {
		return ""
	}
	r.kit = name
	r.kitLays = kitPaths(name)
	for _, file := range r.folder.names {
		if r.kitLays[file] {
			r.report(n, "%s: the folder's %s would hide the kit's own", where, quote(file))
		}
	}
	return name
}

func (r *reader) exploit(n *yaml.Node, where string) Exploit {
	x := Exploit{}
	in := setting{attack: true, slow: new(int)}
	values := r.mapping(n, where,
		must("id", &x.ID, r.id),
		field("title", &x.Title, r.text),
		must("run", &x.Run, r.program(runsIn{ours: true})),
		field("env", &x.Env, list(r, r.environment)),
		field("payload", &x.Payload, r.payload),
		field("derive", &x.Derive, r.derive),
		field("callback", &x.Callback, r.loopback),
		key{name: "oracle", read: func(n *yaml.Node, where string) {
			in.callback = x.Callback != ""
			x.Oracle = r.oracle(in)(n, where)
		}},
		key{name: "reached", read: func(n *yaml.Node, where string) {
			x.Reached = r.oracle(setting{callback: x.Callback != ""})(n, where)
		}})
	if values != nil && values["oracle"] == nil && r.kit == "" && !mistyped(n, "oracle", exploitKeys) {
		r.report(n, "%s: missing key \"oracle\": without a kit nothing else tells whether it succeeded", where)
	}
	switch {
	case values == nil:
	case values["payload"] != nil && r.kit == "":
		r.report(values["payload"], "%s: a payload reaches the script through a kit, and the manifest names none", where)
	case values["derive"] != nil && values["payload"] == nil && !mistyped(n, "payload", exploitKeys):
		r.report(values["derive"], "%s: without a payload there is nothing to derive from", where)
	case x.Derive != nil && x.Payload != nil:
		if _, err := variant.Derive(x.Derive.Form, x.Payload, x.Derive.Hint); err != nil {
			r.report(values["derive"], "%s: %s", where, err)
		}
	}
	return x
}

func (r *reader) benign(n *yaml.Node, where string) Input {
	return r.input(n, where, runsIn{ours: true})
}

// test reads an input that runs a file of the folder, in /work, or else one of the target's own, in its tree.
func (r *reader) test(n *yaml.Node, where string) Input {
	return r.input(n, where, runsIn{or: r.target.Dir, ours: r.target.Dir != ""})
}

func (r *reader) input(n *yaml.Node, where string, in runsIn) Input {
	x := Input{}
	r.mapping(n, where,
		must("id", &x.ID, r.id),
		field("title", &x.Title, r.text),
		must("run", &x.Run, r.program(in)),
		field("env", &x.Env, list(r, r.environment)),
		field("payload", &x.Payload, r.payload),
		field("oracle", &x.Oracle, r.oracle(setting{})))
	return x
}

func (r *reader) limits(n *yaml.Node, where string) Limits {
	l := Limits{}
	r.mapping(n, where,
		field("timeout", &l.Timeout, r.duration(maxTimeout)),
		field("memory", &l.Memory, r.size(minMemory, maxMemory)),
		field("processes", &l.Processes, r.integer(1, maxProcesses)),
		field("disk", &l.Disk, r.size(minMemory, maxDisk)))
	return l
}

// roots names, for each ecosystem, the folders at /work in which the target and what it needs arrive.
var roots = map[string][]string{
	"npm": {"node_modules"}, "pypi": {"site-packages"}, "golang": {"target", ".cache"}, "maven": {"target", "lib"}, "cargo": {"crate", "vendor"},
}

// arriving lists the folders at /work that the target's preparation fills; none for a directory.
func (r *reader) arriving() []string {
	ecosystem, err := target.Ecosystem(r.target.Package)
	if err != nil {
		return nil
	}
	return roots[ecosystem]
}

// unhidden refuses a folder that would be laid over the target's own tree and so hide what is under trial.
func (r *reader) unhidden(n *yaml.Node) {
	for _, root := range r.arriving() {
		if r.folder.dirs[root] {
			r.report(n, "the folder's %s/ would be laid over the target's own: take it away", root)
		}
	}
}

// runsIn is the directory of a command, relative to the scenario's folder. ours is set where every file there comes
// from the folder, so that a missing one can be told; or, when set, is another directory that may hold it.
type runsIn struct {
	dir  string
	or   string
	ours bool
}

func inTarget(t Target) runsIn { return runsIn{dir: t.Dir, ours: t.Dir != ""} }

var (
	scripts = []string{".js", ".mjs", ".cjs", ".ts", ".py", ".java", ".jar", ".go", ".c", ".cc", ".cpp", ".rs", ".sh", ".rb", ".pl", ".php"}
	data    = []string{".json", ".txt", ".html", ".xml", ".yaml", ".yml", ".csv", ".svg", ".bin", ".dat", ".zip", ".tar", ".gz", ".png", ".pdf", ".md"}
	// builtIn are folders at /work that a build fills.
	builtIn = []string{"bin", "classes"}
)

// script looks whether an argument that names a script, or a data file by its path, is there to be run.
func (r *reader) script(n *yaml.Node, in runsIn) {
	name := namedFile(n.Value)
	if rest, absolute := strings.CutPrefix(name, "/work/"); absolute {
		name, in = rest, runsIn{ours: true}
	}
	if name == "" || !in.ours || strings.HasPrefix(name, "/") {
		return
	}
	at := path.Join(in.dir, name)
	first, _, _ := strings.Cut(at, "/")
	built := len(r.target.Build) > 0 && r.target.Dir != "" && overlap(at, r.target.Dir)
	if slices.Contains(builtIn, first) || slices.Contains(r.arriving(), first) || built || r.folder.files[at] || r.kitLays[at] ||
		in.or != "" && r.folder.files[path.Join(in.or, name)] {
		return
	}
	r.reportNear(n, r.nearestFile(name, in), "missing file %s", quote(name))
}
