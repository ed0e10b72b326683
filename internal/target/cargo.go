package target

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crisol"
)

// cargo lays the crate's source in Dir/crate, which is Root ("target" is where cargo builds), beside a package named work
// that depends on it and on whatever else was asked for. All other crates are in Dir/vendor. A program at
// src/bin/NAME.rs or examples/NAME.rs may use them.
type cargo struct{ s *Store }

func (cargo) version() string          { return "cargo/1" }
func (cargo) locks() []string          { return []string{"Cargo.toml", "Cargo.lock"} }
func (cargo) layers() ([]layer, error) { return nil, nil }

func (c cargo) resolve(ctx context.Context, pkgs []Package, scratch string) (map[string][]byte, error) {
	if err := os.WriteFile(filepath.Join(scratch, "Cargo.toml"), []byte(cargoManifest(pkgs)), 0o644); err != nil {
		return nil, err
	}
	if err := emptyLibrary(scratch); err != nil {
		return nil, err
	}
	if err := c.run(ctx, scratch, append(userCargo(), "generate-lockfile")...); err != nil {
		return nil, err
	}
	return readLock(os.DirFS(scratch), c.locks(), pkgs[0].String())
}

// cargoManifest is the package that depends on exactly pkgs. Names and versions are of a grammar that needs no quoting.
func cargoManifest(pkgs []Package) string {
	var b strings.Builder
	b.WriteString("[package]\nname = \"work\"\nversion = \"0.0.0\"\nedition = \"2021\"\npublish = false\n\n[dependencies]\n")
	for _, p := range pkgs {
		fmt.Fprintf(&b, "%s = \"=%s\"\n", p.Name, p.Version)
	}
	// Not a member of a workspace that happens to lie around the directory.
	b.WriteString("\n[workspace]\n")
	return b.String()
}

func emptyLibrary(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "src", "lib.rs"), nil, 0o644)
}

const vendored = `[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "vendor"

[net]
offline = true
`

func (c cargo) install(ctx context.Context, pkgs []Package, lock map[string][]byte, dir, _ string) (record, error) {
	// Nothing but what resolve writes is accepted: a manifest can name directories, repositories and build scripts.
	manifest := cargoManifest(pkgs)
	if string(lock["Cargo.toml"]) != manifest {
		err := crisol.Errorf(crisol.KindInput, "lock: Cargo.toml is not the one of %s", pkgs[0])
		return record{}, crisol.WithHint(err, "%s", hintLock)
	}
	for name, text := range lock {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return record{}, err
		}
	}
	if err := emptyLibrary(dir); err != nil {
		return record{}, err
	}
	// cargo checks every crate against Cargo.lock as it unpacks it.
	if err := c.run(ctx, dir, append(userCargo(), "vendor", "--locked", "--versioned-dirs", "--respect-source-config")...); err != nil {
		return record{}, err
	}
	if err := c.place(ctx, pkgs[0], manifest, dir); err != nil {
		return record{}, err
	}
	return record{Root: "crate", Env: []string{"CARGO_NET_OFFLINE=true", "CARGO_HOME=/tmp/cargo", "CARGO_TARGET_DIR=/work/.cache/cargo-target"}}, nil
}

// place moves the target out of vendor and makes whoever depends on it take it from Dir/crate.
func (c cargo) place(ctx context.Context, target Package, manifest, dir string) error {
	crate := filepath.Join(dir, "crate")
	if err := os.Rename(filepath.Join(dir, "vendor", target.Name+"-"+target.Version), crate); err != nil {
		return err
	}
	// It holds the sums of the files as they were released, which a patch is going to change.
	if err := os.Remove(filepath.Join(crate, ".cargo-checksum.json")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, ".cargo"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ".cargo", "config.toml"), []byte(vendored), 0o644); err != nil {
		return err
	}
	manifest += fmt.Sprintf("\n[patch.crates-io]\n%s = { path = \"crate\" }\n", target.Name)
	if err := os.WriteFile(filepath.Join(dir, "Cargo.toml"), []byte(manifest), 0o644); err != nil {
		return err
	}
	// Cargo.lock must say now that the target comes from a path. metadata resolves and runs no build script.
	return c.run(ctx, dir, "metadata", "--offline", "--format-version=1", "--quiet")
}

// userCargo is the user's configuration of cargo, which may name another registry, as an option.
func userCargo() []string {
	home := os.Getenv("CARGO_HOME")
	if home == "" {
		home = filepath.Join(os.Getenv("HOME"), ".cargo")
	}
	if config := filepath.Join(home, "config.toml"); exists(config) {
		return []string{"--config", config}
	}
	return nil
}

// run runs cargo with a home of the store's own.
func (c cargo) run(ctx context.Context, dir string, args ...string) error {
	env := []string{"CARGO_HOME=" + c.s.path("clients", "cargo"), "CARGO_TERM_COLOR=never"}
	_, err := c.s.client.run(ctx, job{tool: "cargo", dir: dir, env: env, args: append([]string{"cargo"}, args...), symptoms: cargoSymptoms,
		offline: slices.Contains(args, "--offline")})
	return err
}

var cargoSymptoms = []symptom{
	{regexp.MustCompile(`checksum for .* changed|failed to verify the checksum|checksum .* did not match`), crisol.KindInput, "a crate is not the one that the lock names", hintLock},
	{regexp.MustCompile(`failed to parse lock file|--locked was passed|because --locked|invalid TOML|TOML parse error`), crisol.KindInput, "the lock files are damaged or don't belong together", hintLock},
	{regexp.MustCompile(`Could ?n[o']t (connect|resolve)|Connection refused|[Tt]imed? ?out|Timeout was reached|got 5\d\d|429|SSL|failed to download|network failure|spurious network`),
		crisol.KindInfrastructure, "the registry doesn't answer as it should", hintRetry},
	{regexp.MustCompile(`no matching package|failed to select a version for the requirement`), crisol.KindNotFound, "no such crate, or no such version", hintVersion},
	{regexp.MustCompile(`failed to select a version`), crisol.KindInput, "the crates don't go together", ""},
}
