package scenario

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// maxDepth bounds how deeply oracles nest.
const maxDepth = 8

// setting is where an oracle stands: not every oracle can be told everywhere.
type setting struct {
	attack   bool // of an exploit
	callback bool // the exploit has a listener
	depth    int
	slow     *int // line of the slow oracle that was met; the pairs of runs are of one oracle's sizes
}

// oracle reads one oracle with everything below it.
func (r *reader) oracle(in setting) func(*yaml.Node, string) *Oracle {
	return func(n *yaml.Node, where string) *Oracle {
		if in.depth++; in.depth > maxDepth {
			r.report(n, "%s: oracles nest at most %d deep", where, maxDepth)
			return nil
		}
		o := &Oracle{}
		inner := func(n *yaml.Node, where string) Oracle {
			if read := r.oracle(in)(n, where); read != nil {
				return *read
			}
			return Oracle{}
		}
		values := r.mapping(n, where,
			field("exit", &o.Exit, pointer(r.integer(0, 255))),
			field("stdout", &o.Stdout, r.output), field("stderr", &o.Stderr, r.output),
			field("file", &o.File, r.fileOracle), field("http", &o.HTTP, r.http),
			field("slow", &o.Slow, r.slow), field("crash", &o.Crash, r.crash),
			field("callback", &o.Callback, r.callback), field("sql", &o.SQL, r.sql),
			field("all", &o.All, list(r, inner)), field("any", &o.Any, list(r, inner)),
			field("not", &o.Not, r.oracle(in)))
		if n.Kind != yaml.MappingNode {
			return nil
		}
		r.placed(n, where, values, in)
		return o
	}
}

func pointer[T any](read func(*yaml.Node, string) T) func(*yaml.Node, string) *T {
	return func(n *yaml.Node, where string) *T {
		v := read(n, where)
		return &v
	}
}

// placed checks an oracle against where it stands.
func (r *reader) placed(n *yaml.Node, where string, values map[string]*yaml.Node, in setting) {
	if len(n.Content) == 0 {
		r.report(n, "%s is empty: an oracle that asks for nothing always holds", where)
	}
	for _, name := range []string{"all", "any"} {
		if v := values[name]; v != nil && v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
			r.report(v, "%s is empty", inside(where, name))
		}
	}
	if v := values["http"]; v != nil && r.target.Service == nil {
		r.report(v, "%s: there is no target.service that could answer", inside(where, "http"))
	}
	if v := values["slow"]; v != nil {
		switch {
		case !in.attack:
			r.report(v, "%s: only an exploit can be judged by its slowness", inside(where, "slow"))
		case *in.slow > 0:
			r.report(v, "%s: an oracle may ask once for slowness, and does on line %d", inside(where, "slow"), *in.slow)
		default:
			*in.slow = v.Line
		}
	}
	if v := values["callback"]; v != nil && !in.callback {
		r.report(v, "%s: nothing listens: set the exploit's callback to a loopback address", inside(where, "callback"))
	}
}

func (r *reader) output(n *yaml.Node, where string) *Text {
	t := &Text{}
	r.mapping(n, where, field("contains", &t.Contains, r.filled), field("matches", &t.Matches, r.pattern))
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.report(n, "%s is empty: say what it contains or matches", where)
	}
	return t
}

// callback is output, or true for any request.
func (r *reader) callback(n *yaml.Node, where string) *Text {
	if isTruth(n) {
		if !truth(n) {
			r.report(n, "%s: false is not an oracle: write not: {callback: true}", where)
		}
		return &Text{}
	}
	return r.output(n, where)
}

// fileOracle reads {exists: PATH}, {absent: PATH}, or {path: PATH} with what is wanted of it.
func (r *reader) fileOracle(n *yaml.Node, where string) *File {
	f := &File{}
	var exists, absent string
	values := r.mapping(n, where,
		field("path", &f.Path, r.inView),
		field("exists", &exists, r.presence(&f.Exists)), field("absent", &absent, r.presence(&f.Absent)),
		field("contains", &f.Contains, r.filled),
		field("sha256", &f.SHA256, r.digest), field("digest", &f.SHA256, r.digest))
	if values == nil {
		return f
	}
	paths := slices.DeleteFunc([]string{f.Path, exists, absent}, func(s string) bool { return s == "" })
	if len(paths) > 0 {
		f.Path = paths[0]
	}
	content := f.Contains != "" || f.SHA256 != ""
	switch {
	case len(n.Content) == 0 || values["path"] == nil && values["exists"] == nil && values["absent"] == nil:
		r.report(n, "%s: say which file: {exists: PATH}, {absent: PATH} or {path: PATH, contains: TEXT}", where)
	case len(paths) > 1:
		r.report(n, "%s names two paths, %s and %s: combine two oracles with all", where, quote(paths[0]), quote(paths[1]))
	case len(paths) == 0:
		r.unlessReported(n, "%s: the path is missing", where)
	case values["sha256"] != nil && values["digest"] != nil:
		r.report(n, "%s: digest is another name of sha256: give one", where)
	case f.Absent && (f.Exists || content):
		r.report(n, "%s: an absent file can't also exist or have a content", where)
	case !f.Exists && !f.Absent && !content:
		r.unlessReported(n, "%s: say what of the file: exists: true, absent: true, contains or sha256", where)
	}
	return f
}

// unlessReported notes a problem of a mapping when no line of it has one already.
func (r *reader) unlessReported(n *yaml.Node, format string, args ...any) {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, c.Line)
	}
	if !slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Line >= n.Line && p.Line <= last }) {
		r.report(n, format, args...)
	}
}

// presence reads exists and absent: a path, or true beside a path.
func (r *reader) presence(set *bool) func(*yaml.Node, string) string {
	return func(n *yaml.Node, where string) string {
		*set = true
		if isTruth(n) {
			if !truth(n) {
				r.report(n, "%s: false is not supported: use the other of exists and absent", where)
			}
			return ""
		}
		return r.inView(n, where)
	}
}

func (r *reader) digest(n *yaml.Node, where string) string {
	s := r.verbatim(n, where)
	if n.Kind == yaml.ScalarNode && !sha256Form.MatchString(s) {
		r.report(n, "%s: %s is not a SHA-256 in hex", where, quote(s))
	}
	return s
}

func (r *reader) http(n *yaml.Node, where string) *HTTP {
	h := &HTTP{Method: "GET"}
	values := r.mapping(n, where,
		must("url", &h.URL, r.address),
		field("method", &h.Method, r.formed(methodForm, "GET")),
		field("headers", &h.Headers, r.headers(r.headerValue)),
		field("body", &h.Body, r.verbatim),
		field("status", &h.Status, r.integer(100, 599)),
		field("header", &h.Header, r.headers(r.pattern)),
		field("matches", &h.Matches, r.pattern), field("lacks", &h.Lacks, r.pattern))
	if values != nil && values["status"] == nil && len(h.Header) == 0 && values["matches"] == nil && values["lacks"] == nil {
		r.report(n, "%s asks nothing of the answer: give status, header, matches or lacks", where)
	}
	return h
}

func (r *reader) headers(read func(*yaml.Node, string) string) func(*yaml.Node, string) map[string]string {
	return func(n *yaml.Node, where string) map[string]string {
		if n.Kind != yaml.MappingNode {
			r.wrongType(n, where, "a mapping of header names")
			return nil
		}
		var headers map[string]string // nil when the mapping is empty, as when it isn't given
		for name, value := range r.entries(n, where) {
			if !tokenForm.MatchString(name) {
				r.report(value, "%s: %s is not the name of a header", where, quote(name))
				continue
			}
			if headers == nil {
				headers = map[string]string{}
			}
			headers[name] = read(value, inside(where, name))
		}
		return headers
	}
}

func (r *reader) headerValue(n *yaml.Node, where string) string {
	s := r.verbatim(n, where)
	if slices.ContainsFunc([]rune(s), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		r.report(n, "%s has a control character or a line break", where)
	}
	return s
}

func (r *reader) slow(n *yaml.Node, where string) *Slow {
	s := &Slow{Factor: 5}
	values := r.mapping(n, where, must("sizes", &s.Sizes, list(r, r.integer(1, 1_000_000_000))), field("factor", &s.Factor, r.factor))
	sizes := values["sizes"]
	if sizes == nil || sizes.Kind != yaml.SequenceNode {
		return s
	}
	if len(s.Sizes) < 2 || len(s.Sizes) > 16 {
		r.report(sizes, "%s.sizes needs from 2 to 16 sizes: growth can't be seen at fewer", where)
	} else if !slices.IsSorted(s.Sizes) || len(slices.Compact(slices.Clone(s.Sizes))) < len(s.Sizes) {
		r.report(sizes, "%s.sizes must grow", where)
	}
	return s
}

func (r *reader) factor(n *yaml.Node, where string) float64 {
	f, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || n.Tag != "!!int" && n.Tag != "!!float" {
		r.wrongType(n, where, "a number")
		return 0
	}
	if !(f >= 1.5 && f <= 1e6) { // NaN is neither
		r.report(n, "%s must be from 1.5 to 1000000, not %s", where, n.Value)
		return 0
	}
	return f
}

var signals = []string{"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGKILL", "SIGTERM", "SIGQUIT", "SIGXCPU", "SIGXFSZ", "SIGPIPE", "SIGALRM"}

func (r *reader) crash(n *yaml.Node, where string) *Crash {
	c := &Crash{}
	if isTruth(n) {
		if !truth(n) {
			r.report(n, "%s: false is not an oracle: write not: {crash: true}", where)
		}
		return c
	}
	r.mapping(n, where,
		field("signal", &c.Signal, r.choice(signals...)),
		field("sanitizer", &c.Sanitizer, r.formed(kindForm, "heap-buffer-overflow")),
		field("frames", &c.Frames, list(r, r.text)))
	return c
}

func (r *reader) sql(n *yaml.Node, where string) *SQL {
	s := &SQL{}
	r.mapping(n, where, must("file", &s.File, r.inView), must("query", &s.Query, r.filled), must("equal", &s.Equal, r.verbatim))
	return s
}
