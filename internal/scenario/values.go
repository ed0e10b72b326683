package scenario

import (
	"io/fs"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"crisol/internal/spelling"
	"crisol/internal/target"
)

// The bounds of a manifest's limits: what a scenario may ask of the machine.
const (
	maxTimeout   = 30 * time.Minute
	minMemory    = 1 << 20
	maxMemory    = 8 << 30
	maxProcesses = 4096
	maxDisk      = 8 << 30
	maxPattern   = 4096
)

var (
	idForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*$`)
	cveForm   = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,}$`)
	cweForm   = regexp.MustCompile(`^CWE-[0-9]{1,5}$`)
	ghsaForm  = regexp.MustCompile(`^GHSA(-[23456789cfghjmpqrvwx]{4}){3}$`)
	aliasForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9][A-Za-z0-9._:-]*$`)
	envForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	sizeForm  = regexp.MustCompile(`^([0-9]{1,15})(B|KiB|MiB|GiB)?$`)
	tokenForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110, 5.6.2
)

func (r *reader) id(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s != "" && (!idForm.MatchString(s) || len(s) > 128) {
		r.report(n, "%s %s: an id begins with a letter or digit, goes on with letters, digits, '.', '_', '@' and '-', and has at most 128", where, quote(s))
		return ""
	}
	return s
}

// formed reads text of one form; like shows it.
func (r *reader) formed(form *regexp.Regexp, like string) func(*yaml.Node, string) string {
	return func(n *yaml.Node, where string) string {
		s := r.text(n, where)
		if s != "" && !form.MatchString(s) {
			r.report(n, "%s: %s is not of the form %s", where, quote(s), like)
			return ""
		}
		return s
	}
}

// alias reads an advisory's identifier; those whose form is known are held to it.
func (r *reader) alias(n *yaml.Node, where string) string {
	const like = "GHSA-xxxx-xxxx-xxxx, PYSEC-2020-1, GO-2020-0001 or the like (an identifier, not an address)"
	s := r.text(n, where)
	form := aliasForm
	switch {
	case s == "":
		return ""
	case strings.HasPrefix(s, "GHSA-"):
		form = ghsaForm
	case strings.HasPrefix(s, "CVE-"):
		form = cveForm
	}
	if !form.MatchString(s) {
		r.report(n, "%s: %s is not of the form %s", where, quote(s), like)
		return ""
	}
	return s
}

func (r *reader) day(n *yaml.Node, where string) time.Time {
	if n.Kind != yaml.ScalarNode {
		r.wrongType(n, where, "a day")
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, n.Value)
	if err != nil || t.Year() < 1970 {
		r.report(n, "%s: %s is not a day of the form 2006-01-02", where, quote(n.Value))
		return time.Time{}
	}
	return t
}

// duration reads "30s"; a number without a unit could mean anything.
func (r *reader) duration(most time.Duration) func(*yaml.Node, string) time.Duration {
	return func(n *yaml.Node, where string) time.Duration {
		if n.Kind != yaml.ScalarNode {
			r.wrongType(n, where, "a duration such as 30s")
			return 0
		}
		d, err := time.ParseDuration(n.Value)
		switch {
		case err != nil:
			r.report(n, "%s: %s is not a duration: write a number with its unit, as in 500ms, 30s, 5m", where, quote(n.Value))
		case d < time.Millisecond || d > most:
			r.report(n, "%s must be from 1ms to %s, not %s", where, short(most), n.Value)
		default:
			return d
		}
		return 0
	}
}

// short renders a duration as a manifest writes it: 30m, not 30m0s.
func short(d time.Duration) string {
	s := d.String()
	if rest, ok := strings.CutSuffix(s, "m0s"); ok {
		s = rest + "m"
	}
	if rest, ok := strings.CutSuffix(s, "h0m"); ok {
		s = rest + "h"
	}
	return s
}

// size reads "512MiB" or plain bytes.
func (r *reader) size(least, most int64) func(*yaml.Node, string) int64 {
	return func(n *yaml.Node, where string) int64 {
		if n.Kind != yaml.ScalarNode {
			r.wrongType(n, where, "a size such as 512MiB")
			return 0
		}
		m := sizeForm.FindStringSubmatch(n.Value)
		if m == nil {
			r.reportNear(n, binarySize(n.Value), "%s: %s is not a size: write bytes, or a number with KiB, MiB or GiB", where, quote(n.Value))
			return 0
		}
		i, _ := strconv.ParseInt(m[1], 10, 64) // 15 digits fit
		unit := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
		if i > most/unit || i*unit < least {
			r.report(n, "%s must be from %s to %s, not %s", where, Size(least), Size(most), n.Value)
			return 0
		}
		return i * unit
	}
}

var otherSize = regexp.MustCompile(`^([0-9]{1,15}) ?([KMGkmg])([iI]?[bB])?$`)

// binarySize guesses what was meant by 512MB, 1g or 1 GiB.
func binarySize(s string) string {
	m := otherSize.FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return m[1] + strings.ToUpper(m[2]) + "iB"
}

// Size renders bytes as a manifest writes them.
func Size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.bytes && bytes%unit.bytes == 0 {
			return strconv.FormatInt(bytes/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// pattern reads a regular expression in which ${token} may stand for the secret of a run.
func (r *reader) pattern(n *yaml.Node, where string) string {
	s := r.filled(n, where)
	if len(s) > maxPattern {
		r.report(n, "%s: the regular expression has %d bytes, %d are allowed", where, len(s), maxPattern)
		return ""
	}
	if _, err := regexp.Compile(strings.ReplaceAll(s, "${token}", "0")); err != nil {
		r.report(n, "%s: %s", where, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return ""
	}
	return s
}

// purl reads a package URL with an exact version.
func (r *reader) purl(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s == "" {
		return ""
	}
	if _, err := target.ParsePackage(s); err != nil {
		r.report(n, "%s: %s", where, err)
		return ""
	}
	return s
}

// loopback reads a loopback address with a port.
func (r *reader) loopback(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s != "" && !isLoopback(s) {
		r.report(n, "%s: %s is not a loopback address with a port, as in 127.0.0.1:8080: nothing else exists in the sandbox", where, quote(s))
		return ""
	}
	return s
}

func isLoopback(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host != "127.0.0.1" && host != "localhost" {
		return false
	}
	p, err := strconv.ParseUint(port, 10, 16)
	return err == nil && p > 0 && strconv.FormatUint(p, 10) == port
}

// address reads an http URL on loopback. Only its beginning is looked into: the path may be as crooked as an attack
// needs it.
func (r *reader) address(n *yaml.Node, where string) string {
	s := r.filled(n, where)
	if s == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(s, "http://")
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	if !ok || !isLoopback(host) {
		r.report(n, "%s: %s is not an address of a loopback service, as in http://127.0.0.1:8080/path", where, quote(s))
		return ""
	}
	if i := strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }); i >= 0 {
		r.report(n, "%s: %s has a space or control character: write it percent-encoded, as in %s", where, quote(s), quote(url.PathEscape(s[i:i+1])))
		return ""
	}
	return s
}

// program reads an argv and looks whether the scripts that it names are there.
func (r *reader) program(in runsIn) func(*yaml.Node, string) []string {
	return func(n *yaml.Node, where string) []string {
		if n.Kind == yaml.ScalarNode {
			r.report(n, "%s must be a list of arguments, as in [node, exploit.js], not %s", where, kindOf(n))
			return nil
		}
		args := list(r, r.verbatim)(n, where)
		if n.Kind != yaml.SequenceNode {
			return nil
		}
		if len(args) == 0 || args[0] == "" {
			r.report(n, "%s names no program", where)
			return nil
		}
		for i, c := range n.Content {
			if c.Kind == yaml.ScalarNode && (i == 0 || n.Content[i-1].Value != "-o") {
				r.script(c, in)
			}
		}
		return args
	}
}

func (r *reader) environment(n *yaml.Node, where string) string {
	s := r.verbatim(n, where)
	name, _, _ := strings.Cut(s, "=")
	switch {
	case n.Kind != yaml.ScalarNode:
	case !envForm.MatchString(s):
		r.report(n, "%s: %s is not of the form NAME=value", where, quote(s))
	case name == "TARGET":
		r.report(n, "%s: TARGET is set by Crisol", where)
	}
	return s
}

// beside reads the path of something in the scenario's folder: clean, relative, inside it.
func (r *reader) beside(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s == "" {
		return ""
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "./"), "/")
	if why := unsafe(s); why != "" {
		r.report(n, "%s: unsafe path %s: %s", where, quote(n.Value), why)
		return ""
	}
	return s
}

// unsafe says why a relative path may not be used, or "".
func unsafe(s string) string {
	switch {
	case strings.HasPrefix(s, "/"):
		return "it is absolute"
	case strings.Contains(s, `\`):
		return "it has a backslash"
	case !fs.ValidPath(s) || s == ".":
		if strings.Contains("/"+s+"/", "/../") {
			return "it leads out of the folder"
		}
		return "it is not a plain path inside the folder"
	}
	for part := range strings.SplitSeq(s, "/") {
		if strings.EqualFold(part, ".git") {
			return "it leads into .git"
		}
	}
	return ""
}

// patch reads the name of a diff beside the manifest.
func (r *reader) patch(n *yaml.Node, where string) string {
	s := r.beside(n, where)
	if s != "" && !r.folder.files[s] {
		r.missing(n, where, s, r.folder.names)
		return ""
	}
	return s
}

// dir reads the name of a folder beside the manifest.
func (r *reader) dir(n *yaml.Node, where string) string {
	s := r.beside(n, where)
	switch {
	case s == "":
	case s == lockDir || strings.HasPrefix(s, lockDir+"/"):
		r.report(n, "%s: %s holds the locks", where, lockDir)
		return ""
	case r.folder.files[s]:
		r.report(n, "%s: %s is a file, not a folder", where, quote(s))
		return ""
	case !r.folder.dirs[s]:
		r.missing(n, where, s, sorted(r.folder.dirs))
		return ""
	}
	return s
}

func (r *reader) missing(n *yaml.Node, where, name string, among []string) {
	r.reportNear(n, spelling.Nearest(name, among), "%s: there is no %s beside the manifest", where, quote(name))
}

// inView reads the path of a file that a run leaves behind, relative to /work.
func (r *reader) inView(n *yaml.Node, where string) string {
	s := r.text(n, where)
	s = strings.TrimPrefix(strings.TrimPrefix(s, "/work/"), "./")
	if s == "" {
		return ""
	}
	if why := unsafe(s); why != "" {
		r.report(n, "%s: unsafe path %s: %s", where, quote(n.Value), why)
		return ""
	}
	return s
}

// inSandbox reads an absolute path below /work.
func (r *reader) inSandbox(n *yaml.Node, where string) string {
	s := r.text(n, where)
	if s != "" && (path.Clean(s) != s || s != "/work" && !strings.HasPrefix(s, "/work/")) {
		r.report(n, "%s: %s is not a path of the form /work/...", where, quote(s))
		return ""
	}
	return s
}
