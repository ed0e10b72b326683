package target

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crisol"
)

// pypi lays projects in Dir/site-packages, which is Root too. Wheels are preferred; of a project that has none for this
// Python, what can be imported from its source distribution without building it is taken (see source).
type pypi struct{ s *Store }

// fetchProgram runs pip so that it can't start a process: nothing that it downloads ever runs on the host.
//
//go:embed pypi_fetch.py
var fetchProgram string

// version holds the interpreter's own: another one takes other wheels.
func (p pypi) version() string {
	python, err := filepath.EvalSymlinks(p.s.python)
	if err != nil {
		python = p.s.python
	}
	return "pypi/2 " + filepath.Base(python)
}

func (pypi) locks() []string          { return []string{"requirements.txt"} }
func (pypi) layers() ([]layer, error) { return nil, nil }

// pin is a line of the lock: one file of one version of a project.
type pin struct {
	name, version string
	hashes        []string
	source        bool // a source distribution
}

// sourceMark ends a line whose file is a source distribution.
const sourceMark = " # source"

func (p pin) String() string {
	line := p.name + "==" + p.version
	for _, h := range p.hashes {
		line += " --hash=sha256:" + h
	}
	if p.source {
		line += sourceMark
	}
	return line
}

// pinned is the grammar of a line. Nothing else may stand there: a requirement file could name an index or a file.
var pinned = regexp.MustCompile(`^([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)((?: +--hash=sha256:[0-9a-f]{64})+)( # source)?$`)

func parsePins(text string) ([]pin, error) {
	var pins []pin
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := pinned.FindStringSubmatch(line)
		if m == nil {
			err := crisol.Errorf(crisol.KindInput, "lock: requirements.txt: not NAME==VERSION --hash=sha256:...: %q", line)
			return nil, crisol.WithHint(err, "%s", hintLock)
		}
		p := pin{name: normalName(m[1]), version: m[2], source: m[4] != ""}
		for _, h := range strings.Fields(m[3]) {
			p.hashes = append(p.hashes, strings.TrimPrefix(h, "--hash=sha256:"))
		}
		pins = append(pins, p)
	}
	return pins, nil
}

var nameRuns = regexp.MustCompile(`[-_.]+`)

// normalName is a project's name as PEP 503 compares it.
func normalName(name string) string { return strings.ToLower(nameRuns.ReplaceAllString(name, "-")) }

// resolve asks pip for wheels of everything. When there is no wheel of a project that was asked for by name, its source
// distribution is pinned instead.
func (p pypi) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	var wanted []string
	for _, pkg := range pkgs {
		wanted = append(wanted, pkg.Name+"=="+pkg.Version)
	}
	pins, err := p.wheels(ctx, scratch, wanted)
	if crisol.KindOf(err) == crisol.KindNotFound {
		pins, err = p.mixed(ctx, pkgs, scratch)
	}
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, pin := range pins {
		// A mirror may leave the hash out.
		if pin.hashes[0] == "" {
			return nil, crisol.Errorf(crisol.KindInfrastructure, "pip: no sha256 of %s %s", pin.name, pin.version)
		}
		lines = append(lines, pin.String())
	}
	slices.Sort(lines)
	return map[string][]byte{"requirements.txt": joinLines(lines)}, nil
}

// mixed resolves packages some of which have no wheel. To pip each of those is a wheel with the name, the version and the
// requirements of the source distribution, and nothing else, so that it chooses as it would have.
func (p pypi) mixed(ctx context.Context, pkgs []Package, scratch string) ([]pin, error) {
	stubs := filepath.Join(scratch, "stubs")
	if err := os.Mkdir(stubs, 0o755); err != nil {
		return nil, err
	}
	sources := map[string]pin{}
	var wanted []string
	for _, pkg := range pkgs {
		exact := pkg.Name + "==" + pkg.Version
		wanted = append(wanted, exact)
		_, noWheel := p.wheels(ctx, scratch, []string{exact}, "--no-deps")
		if noWheel == nil {
			continue
		}
		if crisol.KindOf(noWheel) != crisol.KindNotFound {
			return nil, noWheel
		}
		file, sum, err := p.fetchSource(ctx, pkg.Name, pkg.Version, scratch)
		if crisol.KindOf(err) == crisol.KindNotFound {
			return nil, noWheel
		}
		if err != nil {
			return nil, err
		}
		src, err := openSource(file, pkg.Name, scratch)
		if err != nil {
			return nil, err
		}
		if err := src.stub(stubs, pkg.Version); err != nil {
			return nil, err
		}
		sources[normalName(pkg.Name)] = pin{normalName(pkg.Name), pkg.Version, []string{sum}, true}
	}
	pins, err := p.wheels(ctx, scratch, wanted, "--find-links="+stubs)
	for i, w := range pins {
		if source, ok := sources[w.name]; ok {
			pins[i] = source
		}
	}
	return pins, err
}

// pipReport is what pip install --report writes.
type pipReport struct {
	Install []struct {
		Metadata struct{ Name, Version string }
		Download struct {
			Archive struct{ Hashes map[string]string } `json:"archive_info"`
		} `json:"download_info"`
	}
}

// wheels lets pip choose wheels for the requirements and all they need.
func (p pypi) wheels(ctx context.Context, scratch string, requirements []string, options ...string) ([]pin, error) {
	report := filepath.Join(scratch, "report.json")
	args := append([]string{"install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--report", report}, options...)
	if err := p.run(ctx, scratch, "", append(append(args, "--"), requirements...)...); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("pip: read its report: %w", err)
	}
	var r pipReport
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("pip: read its report: %w", err)
	}
	var pins []pin
	for _, i := range r.Install {
		sum := i.Download.Archive.Hashes["sha256"]
		pins = append(pins, pin{normalName(i.Metadata.Name), i.Metadata.Version, []string{sum}, false})
	}
	return pins, nil
}

func (p pypi) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, scratch string) (record, error) {
	pins, err := parsePins(string(lock["requirements.txt"]))
	if err != nil {
		return record{}, err
	}
	versions := map[string]string{}
	var wheels []string
	for _, pin := range pins {
		versions[pin.name] = shortVersion(pin.version)
		if !pin.source {
			wheels = append(wheels, pin.String())
		}
	}
	if err := exactly(normalNames(pkgs), versions, "requirements.txt"); err != nil {
		return record{}, err
	}
	site := filepath.Join(dir, "site-packages")
	if err := os.Mkdir(site, 0o755); err != nil {
		return record{}, err
	}
	if err := p.installWheels(ctx, wheels, site, scratch); err != nil {
		return record{}, err
	}
	rec := record{Root: "site-packages", Env: []string{"PYTHONPATH=/work/site-packages", "PYTHONDONTWRITEBYTECODE=1"}}
	for _, pin := range pins {
		if !pin.source {
			continue
		}
		if err := p.installSource(ctx, pin, site, scratch); err != nil {
			return record{}, err
		}
		rec.Notes = append(rec.Notes, fmt.Sprintf("%s %s has no wheel: its Python files were copied from the source distribution and nothing was built, so compiled parts are missing",
			pin.name, pin.version))
	}
	return rec, nil
}

func (p pypi) installWheels(ctx context.Context, lines []string, site, scratch string) error {
	if len(lines) == 0 {
		return nil
	}
	file := filepath.Join(scratch, "requirements.txt")
	if err := os.WriteFile(file, joinLines(lines), 0o644); err != nil {
		return err
	}
	return p.run(ctx, scratch, "", "install", "--only-binary=:all:", "--no-deps", "--no-compile", "--require-hashes",
		"--target", site, "--requirement", file)
}

func (p pypi) installSource(ctx context.Context, pin pin, site, scratch string) error {
	file, sum, err := p.fetchSource(ctx, pin.name, pin.version, scratch)
	if err != nil {
		return err
	}
	if !slices.Contains(pin.hashes, sum) {
		err := crisol.Errorf(crisol.KindInput, "the source distribution of %s %s has sha256 %s, not the one that the lock names", pin.name, pin.version, sum)
		return crisol.WithHint(err, "%s", hintLock)
	}
	src, err := openSource(file, pin.name, scratch)
	if err != nil {
		return err
	}
	return src.install(site, pin.version)
}

func normalNames(pkgs []Package) []Package {
	out := slices.Clone(pkgs)
	for i := range out {
		out[i].Name, out[i].Version = normalName(out[i].Name), shortVersion(out[i].Version)
	}
	return out
}

// shortVersion drops final zeros: to pip 3.2 and 3.2.0 are one version.
func shortVersion(version string) string {
	for {
		short, ok := strings.CutSuffix(version, ".0")
		if !ok {
			return version
		}
		version = short
	}
}

// run runs pip under the sandbox's interpreter, so that wheels and markers are chosen for it, and keeps source archives
// in the directory keep. Only when it is verbose does pip say that the registry is out of order.
func (p pypi) run(ctx context.Context, dir, keep string, args ...string) error {
	_, err := p.say(ctx, dir, keep, args...)
	return err
}

// say runs pip as run does, and returns what it prints.
func (p pypi) say(ctx context.Context, dir, keep string, args ...string) ([]byte, error) {
	pip, err := p.pip(ctx)
	if err != nil {
		return nil, err
	}
	args = append([]string{p.s.python, "-I", "-c", fetchProgram, pip, keep, args[0], "-vv", "--no-input", "--disable-pip-version-check",
		"--cache-dir=" + p.s.path("clients", "pip")}, args[1:]...)
	return p.s.client.run(ctx, job{tool: "pip", dir: dir, env: []string{"PIP_PROGRESS_BAR=off"}, args: args, symptoms: pipSymptoms, telling: pipTelling})
}

// pip finds pip's own directory, once. Any interpreter's does: pip is plain Python and is run by the sandbox's.
func (p pypi) pip(ctx context.Context) (string, error) {
	p.s.pipMu.Lock()
	defer p.s.pipMu.Unlock()
	if p.s.pip != "" {
		return p.s.pip, nil
	}
	if _, err := os.Stat(p.s.python); err != nil {
		return "", missing("python3", err)
	}
	for _, python := range []string{p.s.python, "python3", "python"} {
		out, err := p.s.client.run(ctx, job{tool: "pip", dir: p.s.path("clients"), args: []string{python, "-c", whereIsPip}, offline: true})
		dir, version, ok := bytes.Cut(bytes.TrimSpace(out), []byte(" "))
		if err == nil && ok && newEnough(string(version)) {
			p.s.pip = string(dir)
			return p.s.pip, nil
		}
	}
	if ctx.Err() != nil {
		return "", crisol.Errorf(crisol.KindInfrastructure, "pip: %w", context.Cause(ctx))
	}
	return "", missing("pip", fmt.Errorf("no Python in PATH has pip 23 or newer"))
}

const whereIsPip = "import pip, os; print(os.path.dirname(pip.__file__), pip.__version__)"

// newEnough: pip writes a report since 22.2, and lets --target pass on a system's interpreter since 23.0.1.
func newEnough(version string) bool {
	var major int
	_, err := fmt.Sscanf(version, "%d.", &major)
	return err == nil && major >= 23
}

const hintWheel = hintVersion + "; a package without a wheel has to be named itself, as the target or in with"

// pipTelling are the lines of a verbose pip that a person wants to see.
var pipTelling = regexp.MustCompile(`^ *(ERROR|WARNING|Could not fetch|[A-Za-z.]+Error:)`)

var pipSymptoms = []symptom{
	{regexp.MustCompile(`DO NOT MATCH THE HASHES|do not match the hashes`), crisol.KindInput,
		"a package is not the one that the lock names", hintLock},
	// A page that isn't there is how a registry says that it doesn't know a project; any other answer is a fault.
	{regexp.MustCompile(`connection broken|Max retries exceeded|[Tt]imed out|(5\d\d|4(0[0-35-9]|[1-9]\d)) (Server|Client) Error|HTTP error (5\d\d|4(0[0-35-9]|[1-9]\d))|too many 5\d\d error|SSLError|confirming the ssl`),
		crisol.KindInfrastructure, "the registry doesn't answer as it should", hintRetry},
	{regexp.MustCompile(`from versions: none`), crisol.KindNotFound, "no such package, or no wheel of it for this Python", hintWheel},
	{regexp.MustCompile(`No matching distribution found`), crisol.KindNotFound, "no such version, or no wheel of it for this Python", hintWheel},
	{regexp.MustCompile(`ResolutionImpossible|conflicting dependencies`), crisol.KindInput, "the packages don't go together",
		"choose versions that satisfy each other's requirements"},
}
