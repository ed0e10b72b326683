package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/diff"
	"crisol/internal/policy"
)

// escapes is Python that tries to leave the sandbox, and raises where it could: a patch that carries it is broken if the
// sandbox leaks, and otherwise what it is without.
const escapes = `
import ctypes, glob, os, signal, socket, subprocess
def _escape():
    libc = ctypes.CDLL(None, use_errno=True)
    for path in (%[1]q, "/proc/%[4]d/environ", "/proc/1/root" + %[1]q, "/etc/shadow", "/root/.ssh", "/var/run/docker.sock"):
        try:
            if os.path.isdir(path):
                found = os.listdir(path)
            else:
                with open(path, "rb") as f: found = f.read(64)
            if found: raise SystemExit("read " + path)
        except OSError: pass
    for path in (%[2]q, "/usr/bin/crisol-was-here", "/etc/crisol-was-here", "/opt/crisol/crisol", "/proc/sys/kernel/core_pattern"):
        try:
            with open(path, "wb") as f: f.write(b"x")
            if path != %[2]q: raise SystemExit("wrote " + path)  # that one may be made in a /tmp of its own
        except OSError: pass
    for address in (("127.0.0.1", %[3]d), ("192.0.2.1", 80), ("169.254.169.254", 80), ("1.1.1.1", 53)):
        try:
            socket.create_connection(address, 0.3).close()
            raise SystemExit("connected to %%s" %% (address,))
        except OSError: pass
    try:
        os.kill(%[4]d, 0)
        raise SystemExit("can signal the service")
    except OSError: pass
    if any("CRISOL_TEST_SECRET" in open(p, "rb").read().decode("latin-1") for p in glob.glob("/proc/[0-9]*/environ") if os.access(p, os.R_OK)):
        raise SystemExit("read the environment of the service")
    if os.getuid() == 0 or os.geteuid() == 0: raise SystemExit("is root")
    if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0: raise SystemExit("mounted")
    if libc.unshare(0x10000000) == 0: raise SystemExit("made a user namespace")
    if libc.ptrace(16, os.getppid(), 0, 0) == 0: raise SystemExit("traces another process")
    if libc.setuid(0) == 0: raise SystemExit("became root")
    if subprocess.run(["sh", "-c", "su -c id || sudo -n id"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0: raise SystemExit("su")
    for link in ("ledger.txt", "app/ledger.txt"):
        try: os.symlink(%[2]q, link)
        except OSError: pass
        else: os.unlink(link)
_escape()
`

// hostilePatches are Python, each put into the right fix (fixes) or into what fixes nothing, and what may come of it.
var hostilePatches = []struct {
	name, code string
	fixes      bool
	want       []crisol.Verdict
	slow       bool // it goes on until a deadline ends it
}{
	{"escapes", escapes, true, []crisol.Verdict{crisol.Fixed}, false},
	{"fork bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n", true, []crisol.Verdict{crisol.Broken, crisol.Inconclusive}, true},
	{"memory bomb", "hog = []\nwhile True: hog.append(bytearray(64 << 20))\n", true, []crisol.Verdict{crisol.Broken, crisol.Inconclusive}, true},
	{"disk bomb", "with open('/tmp/bomb', 'wb') as f:\n    while True: f.write(b'x' * (1 << 20))\n", true, []crisol.Verdict{crisol.Broken, crisol.Inconclusive}, true},
	{"endless output", "while True: print('x' * 65536)\n", true, []crisol.Verdict{crisol.Broken, crisol.Inconclusive}, true},
	{"kills all it can", "import os, signal, time\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        try: os.kill(-1, signal.SIGKILL)\n        except OSError: pass\n        time.sleep(0.01)\n", false, []crisol.Verdict{crisol.NotFixed, crisol.Broken, crisol.Inconclusive}, false},
	{"forges results", `import os, sys
for fd in range(3, 256):
    try: os.write(fd, b'{"exit":0,"outcome":"passed","verdict":"fixed"}\n')
    except OSError: pass
print('{"verdict":"fixed","patch_validated":true}')
sys.stdout.flush()
`, false, []crisol.Verdict{crisol.NotFixed, crisol.Broken, crisol.Inconclusive}, false},
	{"daemon", "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(3600)\n    os._exit(0)\n", false, []crisol.Verdict{crisol.NotFixed}, false},
}

// everythingHostile says to try all hostile patches under all runtimes, which takes half an hour: else each day another
// runtime is tried, or the one that is named, by the patches that end soon. The sandbox's own suite has bombs each time.
func everythingHostile() bool { return os.Getenv("CRISOL_HOSTILE") == "all" }

func hostileRuntimes() []string {
	all := []string{"bwrap", "crun", "runsc"}
	switch chosen := os.Getenv("CRISOL_HOSTILE"); {
	case chosen == "all":
		return all
	case chosen != "":
		return []string{chosen}
	}
	day := time.Now().UTC().YearDay() % len(all)
	return all[day : day+1]
}

// TestHostilePatches: patches that attack what tries them are judged for what they do to the vulnerability, under each
// runtime; the host keeps what it has, nothing is left running, and the service answers on.
func TestHostilePatches(t *testing.T) {
	for _, runtime := range hostileRuntimes() {
		t.Run(runtime, func(t *testing.T) {
			host := newHost(t)
			s := startWith(t, app.Config{Data: t.TempDir(), Rule: policy.Certified, Sandbox: runtime})
			var all sync.WaitGroup
			for _, h := range hostilePatches {
				if h.slow && !everythingHostile() {
					continue
				}
				all.Go(func() {
					r := crisol.Request{APVID: "apv-" + h.name, ScenarioID: "app-csrf", PatchDiff: host.patch(h.code, h.fixes), Wait: "10m"}
					var answer map[string]any
					status := s.ask(http.MethodPost, "/wargaming/validate", r, &answer)
					ok := status == http.StatusOK
					verdict := fmt.Sprint(answer["verdict"])
					for _, want := range h.want {
						if ok && verdict == string(want) {
							return
						}
					}
					text, _ := json.MarshalIndent(answer, "", " ")
					t.Errorf("%s: %d, %s, want %v\n%s", h.name, status, verdict, h.want, text)
				})
			}
			all.Wait()
			host.check()
			var answer map[string]any
			if status := s.ask(http.MethodPost, "/wargaming/validate", crisol.Request{APVID: "after", ScenarioID: "app-csrf", PatchDiff: host.patch("", true), Wait: "10m"}, &answer); status != http.StatusOK || answer["verdict"] != "fixed" {
				t.Errorf("afterwards: %d %v %v", status, answer["verdict"], answer["reason"])
			}
		})
	}
}

// host is what a hostile patch would like to reach.
type host struct {
	*testing.T
	secret, target string // a file that it would read, and one that it would write
	listener       net.Listener
	connected      chan struct{}
	original       map[string]string // the app before and after the fix
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("CRISOL_TEST_SECRET", "of the service")
	h := &host{T: t, secret: filepath.Join(dir, "secret"), target: filepath.Join(dir, "target"), connected: make(chan struct{}, 1)}
	if err := os.WriteFile(h.secret, []byte("secret"), 0o644); err != nil { //nolint:gosec // whoever reaches it may read it
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // whoever reaches it may write there
		t.Fatal(err)
	}
	var err error
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.listener.Close() })
	go func() {
		for {
			c, err := h.listener.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			select {
			case h.connected <- struct{}{}:
			default:
			}
		}
	}()
	before, err := os.ReadFile("../../scenarios/app-csrf/app/app.py")
	if err != nil {
		t.Fatal(err)
	}
	h.original = map[string]string{"before": string(before), "after": fixedBank(t)}
	return h
}

// fixedBank is the app as its own fix leaves it.
func fixedBank(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	patch, err := filepath.Abs("../../scenarios/app-csrf/fix.diff")
	if err != nil {
		t.Fatal(err)
	}
	app, err := os.ReadFile("../../scenarios/app-csrf/app/app.py")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "app.py"), app, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "apply", patch)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "app.py"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// patch puts code at the head of the app, fixed or not.
func (h *host) patch(code string, fixes bool) string {
	if strings.Contains(code, "%[1]q") {
		code = fmt.Sprintf(code, h.secret, h.target, h.listener.Addr().(*net.TCPAddr).Port, os.Getpid())
	}
	after := h.original["before"]
	if fixes {
		after = h.original["after"]
	}
	return diff.Between(map[string]string{"app.py": h.original["before"]}, map[string]string{"app.py": code + "\n" + after}).String()
}

// check looks whether the host is what it was.
func (h *host) check() {
	h.Helper()
	if text, err := os.ReadFile(h.secret); err != nil || string(text) != "secret" {
		h.Errorf("the secret is %q, %v", text, err)
	}
	for _, path := range []string{h.target, "/usr/bin/crisol-was-here", "/etc/crisol-was-here", "/tmp/bomb"} {
		if _, err := os.Lstat(path); err == nil {
			h.Errorf("%s is there", path)
		}
	}
	select {
	case <-h.connected:
		h.Error("the host's loopback was reached")
	default:
	}
	within, cancel := context.WithTimeout(h.Context(), 20*time.Second)
	defer cancel()
	for { // what was started there goes with its sandbox
		left, _ := exec.CommandContext(within, "pgrep", "-f", "^python3 app.py").Output()
		if len(left) == 0 || within.Err() != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
}
