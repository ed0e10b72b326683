package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"crisol"
)

// golang lays the module's source in Dir/target, which is Root, beside a module named work that requires it and takes
// it from there. Every other module is in Dir/.cache/gomod. A program of package main that is named by its file, say
// exploit/main.go, may import the target, whatever the target requires, and work/... . A layer under it holds the
// compiled standard library. The target's tests run from Dir: go test MODULE/...
type golang struct{ s *Store }

const (
	goLayout = "golang/1"
	// goLanguage is the go line of module work, when the target doesn't ask for a later one.
	goLanguage = "1.23.0"
	goTarget   = "target"
)

func (golang) version() string { return goLayout }
func (golang) locks() []string { return []string{"go.mod", "go.sum"} }

// goEnv is what the go command needs inside the sandbox. The variables that decide what is compiled are those with which
// the standard library's layer is made.
var goCompile = []string{"CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off", "GO111MODULE=on", "GOTELEMETRY=off"}

func goEnv() []string {
	return append([]string{"GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off", "GOSUMDB=off", "GOENV=off", "GOPATH=/tmp/go",
		"GOMODCACHE=/work/.cache/gomod", "GOCACHE=/work/.cache/go-build"}, goCompile...)
}

// resolve lets the go command choose the versions: of all that the packages of the target and their tests import.
func (g golang) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	work, cache := filepath.Join(scratch, "work"), filepath.Join(scratch, "gomod")
	if err := os.Mkdir(work, 0o755); err != nil {
		return nil, err
	}
	text := "module work\n\ngo " + goLanguage + "\n"
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(text), 0o644); err != nil {
		return nil, err
	}
	modules, patterns := goArgs(pkgs)
	if _, err := g.run(ctx, work, cache, append([]string{"get"}, modules...)...); err != nil {
		return nil, err
	}
	// Tests of the target may import what can't be had any more; then the packages alone have to do.
	if _, err := g.run(ctx, work, cache, append([]string{"get", "-t"}, patterns...)...); err != nil {
		if ctx.Err() != nil || crisol.KindOf(err) == crisol.KindInfrastructure {
			return nil, err
		}
		g.s.log.Warn("the target's tests need modules that can't be had", "target", modules[0], "error", err)
		if _, err := g.run(ctx, work, cache, append([]string{"get"}, patterns...)...); err != nil {
			return nil, err
		}
	}
	// go.sum must hold the target's own sum, and that of every module whose go.mod or packages are read.
	if _, err := g.run(ctx, work, cache, append([]string{"mod", "download"}, modules...)...); err != nil {
		return nil, err
	}
	if err := g.load(ctx, work, cache, pkgs); err != nil {
		return nil, err
	}
	return readLock(os.DirFS(work), g.locks(), pkgs[0].String())
}

// load makes the go command fetch whatever a build or a test of the packages reads, without changing go.mod.
func (g golang) load(ctx context.Context, dir, cache string, pkgs []Package) error {
	if _, err := g.run(ctx, dir, cache, "mod", "graph"); err != nil {
		return err
	}
	args := []string{"list", "-e", "-deps", "-test", "-f", "{{if .Error}}{{.Error}}{{end}}"}
	for _, p := range pkgs {
		args = append(args, p.Name+"/...")
	}
	out, err := g.run(ctx, dir, cache, args...)
	if err != nil {
		return err
	}
	// With -e a package that doesn't build is no failure; one that couldn't be fetched is.
	return fetchFailure("go", string(out), goSymptoms)
}

func goArgs(pkgs []Package) (modules, patterns []string) {
	for _, p := range pkgs {
		modules = append(modules, p.Name+"@"+p.Version)
		patterns = append(patterns, p.Name+"/...@"+p.Version)
	}
	return modules, patterns
}

// install downloads exactly what go.sum names and puts the target's source in place of the module.
func (g golang) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, _ string) (record, error) {
	mod, err := readGoMod(lock["go.mod"], pkgs)
	if err != nil {
		return record{}, err
	}
	for name, text := range lock {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return record{}, err
		}
	}
	cache := filepath.Join(dir, ".cache", "gomod")
	source, err := g.download(ctx, pkgs[0], dir, cache)
	if err != nil {
		return record{}, err
	}
	if err := g.load(ctx, dir, cache, pkgs); err != nil {
		return record{}, err
	}
	if err := unchanged(dir, lock); err != nil {
		return record{}, err
	}
	if err := g.place(mod, pkgs[0], source, dir); err != nil {
		return record{}, err
	}
	return record{Root: goTarget, Env: goEnv()}, tidyModCache(cache, pkgs[0])
}

// unchanged fails when the go command had to complete the lock: then the lock didn't decide what was fetched.
func unchanged(dir string, lock map[string][]byte) error {
	for name, text := range lock {
		now, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(now, text) {
			err := crisol.Errorf(crisol.KindInput, "lock: %s is not complete", name)
			return crisol.WithHint(err, "%s", hintLock)
		}
	}
	return nil
}

// download fetches the target and returns where its source is.
func (g golang) download(ctx context.Context, target Package, dir, cache string) (string, error) {
	out, err := g.run(ctx, dir, cache, "mod", "download", "-json", target.Name)
	if err != nil {
		return "", err
	}
	var found struct{ Dir, Version string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", crisol.Errorf(crisol.KindInfrastructure, "go: read what it downloaded: %w", err)
	}
	if found.Version != target.Version {
		return "", crisol.Errorf(crisol.KindInput, "lock: go.mod selects %s of %s, not %s", found.Version, target.Name, target.Version)
	}
	return found.Dir, nil
}

func readGoMod(text []byte, pkgs []Package) (*modfile.File, error) {
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "lock: %w", err), "%s", hintLock)
	}
	if len(mod.Replace) > 0 {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "lock: go.mod replaces a module"), "%s", hintLock)
	}
	pinned := map[string]string{}
	for _, r := range mod.Require {
		pinned[r.Mod.Path] = r.Mod.Version
	}
	return mod, exactly(pkgs, pinned, "go.mod")
}

// place moves the target's source out of the module cache to Dir/target, and makes module work take it from there.
func (g golang) place(mod *modfile.File, target Package, source, dir string) error {
	to := filepath.Join(dir, goTarget)
	if err := os.Rename(source, to); err != nil {
		return err
	}
	if err := ensureGoMod(to, target); err != nil {
		return err
	}
	if err := mod.AddReplace(target.Name, "", "./"+goTarget, ""); err != nil {
		return err
	}
	mod.Cleanup()
	text, err := mod.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), text, 0o644)
}

// ensureGoMod gives a module from before modules the go.mod that the go command assumes for it.
func ensureGoMod(dir string, target Package) error {
	file := filepath.Join(dir, "go.mod")
	if exists(file) {
		return nil
	}
	return os.WriteFile(file, []byte("module "+modfile.AutoQuote(target.Name)+"\n\ngo 1.16\n"), 0o644)
}

// tidyModCache removes what no build needs and what would make the digest depend on where and when a module was
// fetched: archives, their metadata, the checksum database, locks.
func tidyModCache(cache string, target Package) error {
	download := filepath.Join(cache, "cache", "download")
	name, err := module.EscapePath(target.Name)
	if err != nil {
		return err
	}
	version, err := module.EscapeVersion(target.Version)
	if err != nil {
		return err
	}
	// The hash of the target's archive says nothing of the source once it is patched.
	own := filepath.Join(download, filepath.FromSlash(name), "@v", version+".ziphash")
	if err := os.RemoveAll(own); err != nil {
		return err
	}
	for _, useless := range []string{filepath.Join(download, "sumdb"), filepath.Join(cache, "cache", "lock"), filepath.Join(cache, "cache", "vcs")} {
		if err := os.RemoveAll(useless); err != nil {
			return err
		}
	}
	return filepath.WalkDir(download, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(name) {
		case ".zip", ".info", ".lock":
			return os.Remove(name)
		}
		if d.Name() == "list" {
			return os.Remove(name)
		}
		return nil
	})
}

// layers is the compiled standard library: without it the first build in a sandbox takes most of a minute.
func (g golang) layers() ([]layer, error) {
	version, err := goVersion()
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	field(sum, "go-std/1", version)
	field(sum, goEnv()...)
	field(sum, g.s.goStd...)
	key := "go-std-" + hex.EncodeToString(sum.Sum(nil))[:40]
	return []layer{{key, func(ctx context.Context, dir, scratch string) (record, error) {
		g.s.progress("compiling Go's standard library, once")
		return record{Package: "the standard library of " + version, Ecosystem: "golang"}, g.compileStd(ctx, dir, scratch)
	}}}, nil
}

func (g golang) compileStd(ctx context.Context, dir, scratch string) error {
	cache := filepath.Join(dir, ".cache", "go-build")
	// Compiled in a module, as the sandbox compiles, for the language version decides default settings.
	text := "module work\n\ngo " + goLanguage + "\n"
	if err := os.WriteFile(filepath.Join(scratch, "go.mod"), []byte(text), 0o644); err != nil {
		return err
	}
	env := append([]string{"GOCACHE=" + cache, "GOENV=off", "GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off"}, goCompile...)
	args := append([]string{"go", "build"}, g.s.goStd...)
	_, err := g.s.client.run(ctx, job{tool: "go", dir: scratch, env: env, args: args, symptoms: goSymptoms, offline: true})
	if err != nil {
		return err
	}
	return keepFresh(cache)
}

// keepFresh dates a build cache far ahead: the go command drops what wasn't used for five days, and touches what it uses,
// which in a copy-on-write view means copying it.
func keepFresh(cache string) error {
	ahead := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	return filepath.WalkDir(cache, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(name, ahead, ahead)
	})
}

// goVersion reads the version of the go command in PATH without starting it.
func goVersion() (string, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return "", missing("go", err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return "", missing("go", err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "..", "VERSION"))
	if err != nil {
		// A packaged go may lie elsewhere; its path and date do.
		info, err := os.Stat(program)
		if err != nil {
			return "", missing("go", err)
		}
		return fmt.Sprintf("%s %d", program, info.ModTime().Unix()), nil
	}
	version, _, _ := strings.Cut(string(text), "\n")
	return version, nil
}

// run runs the go command on the module in dir with a module cache of its own. No target's code runs: the commands used
// here fetch and list.
func (g golang) run(ctx context.Context, dir, cache string, args ...string) ([]byte, error) {
	env := append([]string{"GOMODCACHE=" + cache, "GOCACHE=" + g.s.path("clients", "go-build"), "GOPATH=" + g.s.path("clients", "go"),
		"GOFLAGS=-mod=mod -modcacherw"}, goCompile...)
	return g.s.client.run(ctx, job{tool: "go", dir: dir, env: env, args: append([]string{"go"}, args...), symptoms: goSymptoms})
}

var goSymptoms = []symptom{
	{regexp.MustCompile(`SECURITY ERROR|checksum mismatch|malformed go\.sum`), crisol.KindInput, "a module is not the one that the lock names", hintLock},
	{regexp.MustCompile(`requires go >= `), crisol.KindInfrastructure, "a module needs a newer Go", "install a newer Go toolchain"},
	{regexp.MustCompile(`connection refused|i/o timeout|no such host|network is unreachable|50\d [A-Z]|429 Too|TLS handshake|x509:|connection reset|unexpected EOF`),
		crisol.KindInfrastructure, "the registry doesn't answer as it should", hintRetry},
	{regexp.MustCompile(`400 Bad Request|404 Not Found|410 Gone|unknown revision|no such file or directory|invalid version|no matching versions`),
		crisol.KindNotFound, "no such module, or no such version", hintVersion},
	{regexp.MustCompile(`missing go\.sum entry|updates to go\.(mod|sum) needed`), crisol.KindInput, "the lock files don't belong together", hintLock},
	{regexp.MustCompile(`cannot find module providing|does not contain package|module declares its path as`), crisol.KindInput,
		"the packages don't go together", ""},
}
