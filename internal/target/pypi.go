package target

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crisol"
)

// pypi lays wheels in Dir/site-packages, which is Root too. Only wheels: a source distribution would run the target's
// code on the host in order to be built.
type pypi struct{ s *Store }

// version holds the interpreter's own: another one takes other wheels.
func (p pypi) version() string {
	python, err := filepath.EvalSymlinks(p.s.python)
	if err != nil {
		python = p.s.python
	}
	return "pypi/1 " + filepath.Base(python)
}

func (pypi) locks() []string          { return []string{"requirements.txt"} }
func (pypi) layers() ([]layer, error) { return nil, nil }

// pipReport is what pip install --report writes.
type pipReport struct {
	Install []struct {
		Metadata struct{ Name, Version string }
		Download struct {
			Archive struct{ Hashes map[string]string } `json:"archive_info"`
		} `json:"download_info"`
	}
}

func (p pypi) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	report := filepath.Join(scratch, "report.json")
	args := []string{"install", "--dry-run", "--ignore-installed", "--report", report}
	for _, pkg := range pkgs {
		args = append(args, pkg.Name+"=="+pkg.Version)
	}
	if err := p.run(ctx, scratch, args...); err != nil {
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
	lines, err := r.lines()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"requirements.txt": joinLines(lines)}, nil
}

func (r pipReport) lines() ([]string, error) {
	var lines []string
	for _, i := range r.Install {
		sum := i.Download.Archive.Hashes["sha256"]
		if sum == "" {
			return nil, crisol.Errorf(crisol.KindInfrastructure, "pip: no sha256 of %s %s", i.Metadata.Name, i.Metadata.Version)
		}
		lines = append(lines, fmt.Sprintf("%s==%s --hash=sha256:%s", normalName(i.Metadata.Name), i.Metadata.Version, sum))
	}
	slices.Sort(lines)
	return lines, nil
}

var nameRuns = regexp.MustCompile(`[-_.]+`)

// normalName is a project's name as PEP 503 compares it.
func normalName(name string) string { return strings.ToLower(nameRuns.ReplaceAllString(name, "-")) }

// pinnedLine is a line of the lock. Nothing else may stand there: a requirement file can name an index or a file.
var pinnedLine = regexp.MustCompile(`^([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)((?: +--hash=sha256:[0-9a-f]{64})+)$`)

func (p pypi) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, scratch string) (record, error) {
	pinned := map[string]string{}
	for line := range strings.Lines(string(lock["requirements.txt"])) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := pinnedLine.FindStringSubmatch(line)
		if m == nil {
			err := crisol.Errorf(crisol.KindInput, "lock: requirements.txt: not NAME==VERSION --hash=sha256:...: %q", line)
			return record{}, crisol.WithHint(err, "%s", hintLock)
		}
		pinned[normalName(m[1])] = m[2]
	}
	if err := exactly(normalNames(pkgs), pinned, "requirements.txt"); err != nil {
		return record{}, err
	}
	file := filepath.Join(scratch, "requirements.txt")
	if err := os.WriteFile(file, lock["requirements.txt"], 0o644); err != nil {
		return record{}, err
	}
	err := p.run(ctx, scratch, "install", "--no-deps", "--no-compile", "--require-hashes",
		"--target", filepath.Join(dir, "site-packages"), "--requirement", file)
	return record{Root: "site-packages", Env: []string{"PYTHONPATH=/work/site-packages", "PYTHONDONTWRITEBYTECODE=1"}}, err
}

func normalNames(pkgs []Package) []Package {
	out := slices.Clone(pkgs)
	for i := range out {
		out[i].Name = normalName(out[i].Name)
	}
	return out
}

// run runs pip under the sandbox's interpreter, so that wheels and markers are chosen for it.
func (p pypi) run(ctx context.Context, dir string, args ...string) error {
	pip, err := p.pip(ctx)
	if err != nil {
		return err
	}
	args = append([]string{p.s.python, "-I", pip}, append(args, "--only-binary=:all:", "--no-input",
		"--disable-pip-version-check", "--progress-bar=off", "--cache-dir="+p.s.path("clients", "pip"))...)
	_, err = p.s.client.run(ctx, job{tool: "pip", dir: dir, args: args, symptoms: pipSymptoms})
	return err
}

// pip finds pip's own directory. Any interpreter's does: pip is plain Python and is run by the sandbox's.
func (p pypi) pip(ctx context.Context) (string, error) {
	if _, err := os.Stat(p.s.python); err != nil {
		return "", missing("python3", err)
	}
	for _, python := range []string{p.s.python, "python3", "python"} {
		cmd := exec.CommandContext(ctx, python, "-c", "import pip, os; print(os.path.dirname(pip.__file__), pip.__version__)")
		cmd.Env = p.s.client.environ(os.Environ(), os.TempDir(), nil)
		out, err := cmd.Output()
		dir, version, ok := bytes.Cut(bytes.TrimSpace(out), []byte(" "))
		if err == nil && ok && newEnough(string(version)) {
			return string(dir), nil
		}
	}
	return "", missing("pip", fmt.Errorf("no Python in PATH has pip 23 or newer"))
}

// newEnough: pip writes a report since 22.2, and lets --target pass on a system's interpreter since 23.0.1.
func newEnough(version string) bool {
	var major int
	_, err := fmt.Sscanf(version, "%d.", &major)
	return err == nil && major >= 23
}

var pipSymptoms = []symptom{
	{regexp.MustCompile(`DO NOT MATCH THE HASHES|do not match the hashes|mismatch`), crisol.KindInput,
		"a package is not the one that the lock names", hintLock},
	{regexp.MustCompile(`connection broken|Max retries exceeded|[Tt]imed out|[45]\d\d (Server|Client) Error|HTTP error [45]|too many 5\d\d error|SSLError`),
		crisol.KindInfrastructure, "the registry doesn't answer as it should", hintRetry},
	{regexp.MustCompile(`from versions: none`), crisol.KindNotFound, "no such package, or none of its versions has a wheel for this Python",
		hintVersion},
	{regexp.MustCompile(`No matching distribution found`), crisol.KindNotFound, "no such version, or it has no wheel for this Python",
		"only wheels are installed: choose a version, or a dependency with `with`, that has one"},
	{regexp.MustCompile(`ResolutionImpossible|conflicting dependencies`), crisol.KindInput, "the packages don't go together",
		"choose versions that satisfy each other's requirements"},
}
