package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"crisol"
)

// npm lays packages in Dir/node_modules beside a package.json that names them, so that they resolve by their own name
// from any program at /work. Root is node_modules/NAME.
type npm struct{ s *Store }

func (npm) version() string          { return "npm/1" }
func (npm) locks() []string          { return []string{"package.json", "package-lock.json"} }
func (npm) layers() ([]layer, error) { return nil, nil }

// npmPackage is the package.json of a tree.
type npmPackage struct {
	Name         string            `json:"name"`
	Version      string            `json:"version"`
	Private      bool              `json:"private"`
	Dependencies map[string]string `json:"dependencies"`
}

func npmManifest(pkgs []Package) npmPackage {
	p := npmPackage{Name: "work", Version: "0.0.0", Private: true, Dependencies: map[string]string{}}
	for _, pkg := range pkgs {
		p.Dependencies[pkg.Name] = pkg.Version
	}
	return p
}

func (n npm) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	text, err := json.MarshalIndent(npmManifest(pkgs), "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(scratch, "package.json"), append(text, '\n'), 0o644); err != nil {
		return nil, err
	}
	if err := n.run(ctx, scratch, "install", "--package-lock-only"); err != nil {
		return nil, err
	}
	return readLock(os.DirFS(scratch), n.locks(), pkgs[0].String())
}

func (n npm) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, _ string) (record, error) {
	if err := checkNpmLock(pkgs, lock); err != nil {
		return record{}, err
	}
	for name, text := range lock {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return record{}, err
		}
	}
	if err := n.run(ctx, dir, "ci"); err != nil {
		return record{}, err
	}
	// npm's note to itself. It names the registry, and would make the digest depend on it.
	if err := os.Remove(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return record{}, err
	}
	rec := record{Root: "node_modules/" + pkgs[0].Name}
	if !exists(filepath.Join(dir, filepath.FromSlash(rec.Root))) {
		return record{}, crisol.Errorf(crisol.KindInput, "npm installed no %s: it may not be for this platform", pkgs[0].Name)
	}
	return rec, nil
}

// npmLock is the part of package-lock.json that is checked here.
type npmLock struct {
	Packages map[string]struct {
		Resolved  string
		Integrity string
		Link      bool
		InBundle  bool
	}
}

// checkNpmLock accepts a lock of exactly pkgs, in which every package comes from the registry and is known by its hash: a
// lock comes with a scenario, and a scenario may come from a stranger.
func checkNpmLock(pkgs []Package, lock map[string][]byte) error {
	bad := func(file, format string, args ...any) error {
		err := crisol.Errorf(crisol.KindInput, "lock: "+file+": "+format, args...)
		return crisol.WithHint(err, "%s", hintLock)
	}
	var p npmPackage
	d := json.NewDecoder(bytes.NewReader(lock["package.json"]))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return bad("package.json", "%w", err)
	}
	if err := exactly(pkgs, p.Dependencies, "package.json"); err != nil {
		return err
	}
	if len(p.Dependencies) != len(pkgs) {
		return bad("package.json", "it names %d packages where the target has %d", len(p.Dependencies), len(pkgs))
	}
	var l npmLock
	if err := json.Unmarshal(lock["package-lock.json"], &l); err != nil {
		return bad("package-lock.json", "%w", err)
	}
	for where, entry := range l.Packages {
		switch {
		case where == "" || entry.InBundle:
		case entry.Link || entry.Resolved != "" && !strings.HasPrefix(entry.Resolved, "https://") && !strings.HasPrefix(entry.Resolved, "http://"):
			return bad("package-lock.json", "%s does not come from the registry", where)
		case entry.Integrity == "":
			return bad("package-lock.json", "%s has no integrity", where)
		}
	}
	return nil
}

// run runs npm in dir. Whatever the user's configuration says, no script of a package runs, and a lock names no registry.
func (n npm) run(ctx context.Context, dir string, args ...string) error {
	_, err := n.say(ctx, dir, args...)
	return err
}

// say runs npm as run does, and returns what it prints.
func (n npm) say(ctx context.Context, dir string, args ...string) ([]byte, error) {
	args = append([]string{"npm"}, append(args, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
		"--no-progress", "--loglevel=error", "--logs-max=0", "--install-strategy=hoisted", "--lockfile-version=3",
		"--omit-lockfile-registry-resolved", "--fetch-timeout=60000",
		"--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000", "--git="+noGit, "--cache="+n.s.path("clients", "npm"))...)
	return n.s.client.run(ctx, job{tool: "npm", dir: dir, args: args, symptoms: npmSymptoms})
}

// noGit stands where npm looks for git, so that a dependency from a repository is an error: its content has no hash.
const noGit = "/nonexistent/git"

var npmSymptoms = []symptom{
	{regexp.MustCompile(`code E404`), crisol.KindNotFound, "no such package", hintVersion},
	{regexp.MustCompile(`code ETARGET`), crisol.KindNotFound, "no such version", hintVersion},
	{regexp.MustCompile(regexp.QuoteMeta(noGit) + `|code ENOGIT|syscall spawn git`), crisol.KindInput, "a package comes from a git repository, not from the registry",
		"choose a version whose dependencies are all in the registry"},
	{regexp.MustCompile(`code EINTEGRITY`), crisol.KindInput, "a package is not the one that the lock names", hintLock},
	{regexp.MustCompile(`code EUSAGE|code EJSONPARSE`), crisol.KindInput, "the lock files are damaged or don't belong together", hintLock},
	{regexp.MustCompile(`code ERESOLVE`), crisol.KindInput, "the packages don't go together",
		"choose versions that satisfy each other's peer dependencies"},
	{regexp.MustCompile(`code EBADPLATFORM`), crisol.KindInput, "a package is not for this platform", ""},
}
