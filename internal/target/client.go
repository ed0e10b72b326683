package target

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/resilience"
)

// client runs the ecosystems' own programs on the host: in a clean environment, in a process group of their own, with
// a deadline. What reaches them of the user's set-up is what they need to reach the registry, and no more.
type client struct {
	home    string   // private HOME: nothing is written to the user's
	lock    string   // held, shared, while a client runs: nobody clears home meanwhile
	env     []string // Options.Env, last and strongest
	timeout time.Duration
	guard   func(tool string) *resilience.Guard // before what asks a registry; nil is none
}

const clientsLock = "clients"

// kept are the user's variables that say how a registry is reached. A name that ends in * is a prefix.
var kept = []string{
	"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NETRC",
	"NPM_CONFIG_REGISTRY", "npm_config_registry", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG",
	"npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG", "npm_config_cafile", "NPM_CONFIG_CAFILE",
	"npm_config_proxy", "npm_config_https_proxy", "npm_config_noproxy", "npm_config_strict_ssl", "npm_config_//*",
	"NPM_TOKEN", "NODE_AUTH_TOKEN",
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT", "PIP_CLIENT_CERT",
	"PIP_PROXY", "PIP_TRUSTED_HOST", "PIP_CONFIG_FILE", "PIP_RETRIES", "PIP_TIMEOUT",
	"GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOINSECURE", "GOAUTH", "GOVCS", "GOROOT",
	"CARGO_HTTP_*", "CARGO_NET_*", "CARGO_REGISTRY_*", "CARGO_REGISTRIES_*", "CARGO_SOURCE_*",
	"RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL",
	"JAVA_HOME", "JAVA_TOOL_OPTIONS", "MAVEN_OPTS", "MAVEN_ARGS",
}

// environ is the environment of a client: the kept variables of host, a private HOME, the places of the user's own
// configuration, and extra.
func (c client) environ(host []string, tmp string, extra []string) []string {
	env := []string{"HOME=" + c.home, "TMPDIR=" + tmp, "LANG=C.UTF-8", "CI=1"}
	var userHome string
	set := map[string]bool{}
	for _, kv := range host {
		name, value, _ := strings.Cut(kv, "=")
		if name == "HOME" {
			userHome = value
		}
		if keeps(name) {
			env = append(env, kv)
			set[name] = true
		}
	}
	for _, config := range userConfig {
		file := filepath.Join(userHome, config.path)
		if userHome != "" && !set[config.name] && exists(file) {
			env = append(env, config.name+"="+file)
		}
	}
	return append(append(env, extra...), c.env...)
}

// userConfig are the files in the user's home in which a registry may be configured, and the variable that leads each
// client to it although HOME is another.
var userConfig = []struct{ name, path string }{
	{"npm_config_userconfig", ".npmrc"},
	{"PIP_CONFIG_FILE", ".config/pip/pip.conf"},
	{"GOENV", ".config/go/env"},
	{"NETRC", ".netrc"},
	{"RUSTUP_HOME", ".rustup"},
}

func keeps(name string) bool {
	return slices.ContainsFunc(kept, func(k string) bool {
		if prefix, ok := strings.CutSuffix(k, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return k == name
	})
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// job is one run of a client.
type job struct {
	tool     string // npm, pip, go, mvn, cargo: for messages
	dir      string
	env      []string
	args     []string
	symptoms []symptom
	telling  *regexp.Regexp // the lines that belong in an error, if there are any; nil means all
	offline  bool           // no registry is asked
}

// run runs j, unless its registry is left alone, and returns what it printed to standard output. Its error is of a kind and
// carries the last lines.
func (c client) run(ctx context.Context, j job) (out []byte, err error) {
	if j.offline || c.guard == nil {
		return c.start(ctx, j)
	}
	err = c.guard(j.tool).Do(ctx, func(ctx context.Context) error {
		out, err = c.start(ctx, j)
		return err
	})
	return out, err
}

// Registries makes guards for registries, one for each ecosystem's client.
func Registries(panel *resilience.Panel) *resilience.Group {
	return panel.Group(resilience.Config{Name: "registry", Failures: 3, Rest: 30 * time.Second, Longest: 5 * time.Minute, Faulty: unreachable}, 16)
}

// unreachable says of a client's failure whether its registry is at fault: it doesn't answer, or nothing else explains it.
func unreachable(err error) bool {
	return crisol.KindOf(err) == crisol.KindInfrastructure && crisol.HintOf(err) == hintRetry
}

func (c client) start(ctx context.Context, j job) ([]byte, error) {
	program, err := exec.LookPath(j.args[0])
	if err != nil {
		return nil, missing(j.args[0], err)
	}
	deadline, cancel := context.WithTimeoutCause(ctx, c.timeout, errNoAnswer)
	defer cancel()
	lock, err := flock(deadline, c.lock, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	tmp, err := os.MkdirTemp(c.home, "tmp-")
	if err != nil {
		return nil, storage("make a directory for "+j.tool, err)
	}
	defer os.RemoveAll(tmp)

	var out transcript
	cmd := exec.CommandContext(deadline, program, j.args[1:]...)
	cmd.Dir = j.dir
	cmd.Env = c.environ(os.Environ(), tmp, j.env)
	cmd.Stdout, cmd.Stderr = stdoutOf{&out}, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for a grandchild that holds the pipes open
	if err := cmd.Run(); err != nil {
		if deadline.Err() != nil {
			return nil, c.stopped(deadline, j.tool, out.tail(j.telling))
		}
		return nil, diagnose(j, err, out.all.String(), out.tail(j.telling))
	}
	return out.stdout.Bytes(), nil
}

// transcript keeps what a client prints: standard output alone, for its reader, and both streams, for the error.
type transcript struct {
	mu     sync.Mutex // os/exec copies the two streams at once
	stdout bytes.Buffer
	all    bytes.Buffer
}

// A client that prints endlessly must not take the memory. What it says first and what is asked of it is far smaller.
const transcriptLimit = 16 << 20

// Write takes standard error.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.put(&t.all, p)
}

func (t *transcript) put(b *bytes.Buffer, p []byte) (int, error) {
	if b.Len() < transcriptLimit {
		b.Write(p)
	}
	return len(p), nil
}

type stdoutOf struct{ t *transcript }

func (s stdoutOf) Write(p []byte) (int, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	_, _ = s.t.put(&s.t.stdout, p)
	return s.t.put(&s.t.all, p)
}

// tail is the last lines, or the last telling ones: enough for a person to see what went wrong.
func (t *transcript) tail(telling *regexp.Regexp) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	const lines, width = 12, 400
	var all, told []string
	for line := range strings.Lines(t.all.String()) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(line) > width {
			line = line[:width] + "..."
		}
		all = append(all, line)
		if telling != nil && telling.MatchString(line) {
			told = append(told, line)
		}
	}
	if len(told) > 0 {
		all = told
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
