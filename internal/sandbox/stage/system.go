package stage

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"crisol/internal/sandbox"
)

// system is what of the host a sandbox may see.
type system struct {
	// links are the root's entries that are symlinks into /usr; dirs those that are directories.
	links map[string]string
	dirs  []string
	tools []Toolchain
}

// Toolchain is a language runtime outside the standard places, shown inside under /opt/toolchains.
type Toolchain struct {
	Name   string
	Source string // its prefix on the host
	Target string // its prefix inside
}

const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// etcPaths are the host's configuration that language runtimes read. None of it is secret or about the host.
var etcPaths = []string{
	"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "maven", "protocols", "services", "ssl/certs",
	"ssl/openssl.cnf", "mime.types", "localtime",
}

// etcFiles is the rest of /etc, made up.
func etcFiles() map[string]string {
	return map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0:root:/nonexistent:/usr/sbin/nologin\ncrisol:x:%d:%d:crisol:/tmp:/bin/sh\n"+
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", sandbox.UID, sandbox.GID),
		"group":         fmt.Sprintf("root:x:0:\ncrisol:x:%d:\nnogroup:x:65534:\n", sandbox.GID),
		"hosts":         "127.0.0.1 localhost crisol\n::1 localhost\n",
		"hostname":      "crisol\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
		"resolv.conf":   "",
		"timezone":      "UTC\n",
	}
}

// survey looks once at what the host offers.
func survey() system {
	s := system{links: map[string]string{}}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		switch target, err := os.Readlink("/" + name); {
		case err == nil:
			s.links[name] = target
		case exists("/" + name):
			s.dirs = append(s.dirs, "/"+name)
		}
	}
	s.dirs = append(s.dirs, "/usr")
	s.tools = findToolchains()
	return s
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// environment is the base environment; later entries of extra win.
func (s system) environment(dir string, extra []string) []string {
	path := standardPath
	if exists("/usr/local/go/bin") {
		path += ":/usr/local/go/bin"
	}
	for _, t := range s.tools {
		path += ":" + t.Target + "/bin"
	}
	env := []string{"PATH=" + path, "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8", "TZ=UTC", "PWD=" + dir}
	for _, e := range extra {
		name, _, _ := strings.Cut(e, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, e)
	}
	return env
}

// findToolchains looks for the language runtimes that the standard path doesn't hold.
func findToolchains() []Toolchain {
	var found []Toolchain
	for _, tool := range []string{"go", "node", "python3", "java", "mvn", "rustc"} {
		if inStandardPath(tool) {
			continue
		}
		if prefix := prefixOf(tool); prefix != "" {
			name := map[string]string{"rustc": "rust", "python3": "python"}[tool]
			if name == "" {
				name = tool
			}
			found = append(found, Toolchain{name, prefix, "/opt/toolchains/" + name})
		}
	}
	return found
}

func inStandardPath(tool string) bool {
	for _, dir := range strings.Split(standardPath+":/usr/local/go/bin", ":") {
		if exists(filepath.Join(dir, tool)) {
			return true
		}
	}
	return false
}

// prefixOf returns the installation prefix of a tool, or "" when there is none that may be shown. A version manager's
// shim is no toolchain: behind it are the manager's own installations.
func prefixOf(tool string) string {
	home, _ := os.UserHomeDir()
	switch tool {
	case "rustc":
		if p := rustToolchain(home); p != "" {
			return p
		}
	case "python3":
		if versions, _ := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*")); len(versions) > 0 {
			return versions[len(versions)-1]
		}
	}
	path, err := exec.LookPath(tool)
	if err != nil {
		return ""
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	prefix := filepath.Dir(filepath.Dir(path))
	if filepath.Base(path) == "rustup" || prefix == "/" || prefix == home || strings.HasPrefix(home, prefix+"/") ||
		filepath.Base(prefix) == ".local" || !exists(filepath.Join(prefix, "bin", tool)) {
		return ""
	}
	return prefix
}

// rustToolchain returns the prefix of rustup's default toolchain.
func rustToolchain(home string) string {
	rustup := os.Getenv("RUSTUP_HOME")
	if rustup == "" {
		rustup = filepath.Join(home, ".rustup")
	}
	pattern := "stable-*"
	if settings, err := os.ReadFile(filepath.Join(rustup, "settings.toml")); err == nil {
		if _, rest, ok := strings.Cut(string(settings), `default_toolchain = "`); ok {
			pattern, _, _ = strings.Cut(rest, `"`)
		}
	}
	matches, _ := filepath.Glob(filepath.Join(rustup, "toolchains", pattern))
	if len(matches) == 0 {
		return ""
	}
	prefix, err := filepath.EvalSymlinks(matches[0])
	if err != nil || !exists(filepath.Join(prefix, "bin/rustc")) {
		return ""
	}
	return prefix
}

// etcSources lists what of the host's /etc exists and is shown.
func etcSources() []string {
	var found []string
	for _, name := range etcPaths {
		if exists("/etc/" + name) {
			found = append(found, name)
		}
	}
	java, _ := filepath.Glob("/etc/java-*-openjdk")
	for _, path := range java {
		found = append(found, filepath.Base(path))
	}
	return found
}

// writeEtc makes the sandbox's /etc in dir. It is copied once a slot rather than bound, since each bind costs every
// later run.
func (s system) writeEtc(dir string) error {
	for name, content := range etcFiles() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write the sandbox's /etc: %w", err)
		}
	}
	for _, name := range etcSources() {
		if err := copyReadable("/etc/"+name, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("copy /etc/%s for the sandbox: %w", name, err)
		}
	}
	return nil
}

// copyReadable copies files, directories and symlinks that everybody may read, and leaves out the rest.
func copyReadable(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(from, path)
		target := filepath.Join(to, relative)
		if d.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode().Perm()&0o004 == 0:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o644|info.Mode().Perm()&0o111)
		}
		return nil
	})
}

// Missing names the language runtimes that a sandbox on this machine can't offer.
func (h *Host) Missing() []string {
	var missing []string
	for _, tool := range []string{"go", "node", "python3", "java", "mvn", "rustc", "gcc"} {
		shown := inStandardPath(tool) || slices.ContainsFunc(h.system.tools, func(t Toolchain) bool {
			return exists(filepath.Join(t.Source, "bin", tool))
		})
		if !shown {
			missing = append(missing, tool)
		}
	}
	return missing
}
