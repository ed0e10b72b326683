package sandboxtest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

func (s *suite) testReport(t *testing.T) {
	if s.report.Runtime != s.rt.Name() || s.report.Version == "" {
		t.Errorf("report of %q: %+v", s.rt.Name(), s.report)
	}
	if v := s.report.View; v != "copy" && (v != "overlay" || os.Geteuid() != 0) {
		t.Errorf("view %q", v)
	}
	for _, limit := range []string{"wall", "cpu", "memory", "processes", "disk", "output", "network", "seccomp", "user"} {
		if _, ok := s.report.Enforced[limit]; !ok {
			t.Errorf("the report says nothing about %s", limit)
		}
	}
	for _, always := range []string{"wall", "cpu", "memory", "output", "network", "user", "seccomp"} {
		if s.report.Enforced[always] == "" {
			t.Errorf("%s is not enforced", always)
		}
	}
}

func (s *suite) testExitCodes(t *testing.T) {
	for _, code := range []int{0, 1, 42, 127, 255} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "exit", strconv.Itoa(code)}})
		if r.Exit != code || r.Signal != "" || r.Stopped != "" {
			t.Errorf("exit %d: got %d %q %q", code, r.Exit, r.Signal, r.Stopped)
		}
	}
}

func (s *suite) testSignals(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGSEGV, unix.SIGABRT, unix.SIGTERM, unix.SIGKILL, unix.SIGFPE} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "signal", strconv.Itoa(int(signal))}})
		if r.Exit != 128+int(signal) || r.Signal != unix.SignalName(signal) || r.Stopped != "" {
			t.Errorf("%v: got %d %q %q: %s", signal, r.Exit, r.Signal, r.Stopped, r.Stderr.Head)
		}
	}
}

func (s *suite) testNoSuchCommand(t *testing.T) {
	for command, want := range map[string]int{"no-such-command-here": 127, "/work/absent": 127, "/etc/passwd": 126} {
		if r := s.run(t, sandbox.Command{Args: []string{command}}); r.Exit != want {
			t.Errorf("%s: exit %d, want %d: %s", command, r.Exit, want, r.Stderr.Head)
		}
	}
	if _, err := s.try(t.Context(), sandbox.Command{}); err == nil {
		t.Error("a command without arguments ran")
	}
}

func (s *suite) testStdin(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 1 << 20} {
		in := bytes.Repeat([]byte("x"), size)
		r := s.run(t, sandbox.Command{Args: []string{"wc", "-c"}, Stdin: in})
		if got := strings.TrimSpace(string(r.Stdout.Head)); got != strconv.Itoa(size) {
			t.Errorf("%d bytes of input: wc counted %q: %s", size, got, r.Stderr.Head)
		}
	}
	// A command that reads nothing must not hold anything up.
	s.run(t, sandbox.Command{Args: []string{"true"}, Stdin: make([]byte, 1<<20)})
}

func (s *suite) testOutput(t *testing.T) {
	r := s.shell(t, "printf out; printf err >&2")
	if string(r.Stdout.Head) != "out" || string(r.Stderr.Head) != "err" || r.Stdout.Total != 3 || r.Stderr.Total != 3 {
		t.Errorf("stdout %+v, stderr %+v", r.Stdout, r.Stderr)
	}
	limit := func(c *sandbox.Command) { c.Limits.Output = 10 }
	r = s.shell(t, "printf 0123456789", limit)
	if string(r.Stdout.Head) != "0123456789" || len(r.Stdout.Tail) != 0 {
		t.Errorf("output that fits: %+v", r.Stdout)
	}
	r = s.shell(t, "printf 0123456789abcdef", limit)
	if string(r.Stdout.Head) != "01234" || string(r.Stdout.Tail) != "bcdef" || r.Stdout.Total != 16 {
		t.Errorf("output that doesn't fit: %q %q %d", r.Stdout.Head, r.Stdout.Tail, r.Stdout.Total)
	}
}

func (s *suite) testEndlessOutput(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"yes", "endless"}, Limits: sandbox.Limits{Wall: 1500 * time.Millisecond, Output: 1 << 10}})
	if r.Stopped != "wall" {
		t.Errorf("stopped %q, want wall", r.Stopped)
	}
	if kept := len(r.Stdout.Head) + len(r.Stdout.Tail); kept != 1<<10 || r.Stdout.Total < 1<<16 {
		t.Errorf("kept %d of %d bytes", kept, r.Stdout.Total)
	}
}

func (s *suite) testEnvironment(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"env"}, Env: []string{"B=two words", "A=1", "LANG=C"}})
	got := map[string]string{}
	for _, line := range lines(r.Stdout.Head) {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	path := got["PATH"]
	delete(got, "PATH")
	want := map[string]string{"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C", "TZ": "UTC", "PWD": "/work", "A": "1", "B": "two words"}
	if len(got) != len(want) {
		t.Errorf("environment %v, want %v", got, want)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s=%q, want %q", name, got[name], value)
		}
	}
	if !strings.HasPrefix(path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") {
		t.Errorf("PATH=%s", path)
	}
	r = s.run(t, sandbox.Command{Args: []string{"sh", "-c", "cat /proc/[0-9]*/environ"}})
	if bytes.Contains(r.Stdout.Head, []byte(canary)) {
		t.Error("the host's environment is in some process's")
	}
}

func (s *suite) testIdentity(t *testing.T) {
	if got := s.hostile(t, "ids"); got[0] != "1000 1000 1000 1000 1000 1000" {
		t.Errorf("ids %s", got)
	}
	r := s.shell(t, "id -un; id -G; cat /proc/self/status; hostname")
	text := string(r.Stdout.Head)
	if !strings.HasPrefix(text, "crisol\n1000\n") || !strings.HasSuffix(text, "crisol\n") {
		t.Errorf("who: %s", text)
	}
	for _, want := range []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
}

func (s *suite) testDescriptors(t *testing.T) {
	r := s.shell(t, "ls /proc/self/fd")
	// The last is ls's own, of the directory.
	if got := strings.Join(lines(r.Stdout.Head), " "); got != "0 1 2 3" {
		t.Errorf("descriptors %s", got)
	}
}

func (s *suite) testAllowed(t *testing.T) {
	for _, line := range s.hostile(t, "allowed") {
		// gVisor takes any personality that is asked about and none that is set.
		if !strings.HasSuffix(line, " done") && !(s.rt.Name() == "runsc" && strings.HasPrefix(line, "personality")) {
			t.Errorf("refused: %s", line)
		}
	}
}

// gvisorsOwn are calls that gVisor's kernel answers by changing nothing but itself: a namespace in which mount and the
// like are refused as well, and a priority that it doesn't use.
var gvisorsOwn = []string{"clone3 user done", "negative nice done"}

func (s *suite) testDeniedCalls(t *testing.T) {
	for _, line := range s.hostile(t, "calls") {
		if !strings.HasSuffix(line, " done") {
			continue
		}
		if s.rt.Name() == "runsc" && slices.Contains(gvisorsOwn, line) {
			continue
		}
		t.Errorf("not refused: %s", line)
	}
	if s.rt.Name() == "runsc" {
		return // no system call reaches the host by these doors
	}
	for _, door := range []string{"foreign", "x32"} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", door}})
		if strings.Contains(string(r.Stdout.Head), "done") {
			t.Errorf("%s: %s", door, r.Stdout.Head)
		}
	}
}

func (s *suite) testSetuid(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "suid")
	content := readFile(t, filepath.Join(s.kit, "hostile"))
	if err := os.WriteFile(program, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Not given to the sandboxed user: as root, the file is root's.
	if err := os.Chmod(program, 0o755|os.ModeSetuid|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	r := s.run(t, sandbox.Command{Args: []string{"/work/suid", "ids"}, Layers: []string{dir}})
	if got := strings.TrimSpace(string(r.Stdout.Head)); got != "1000 1000 1000 1000 1000 1000" {
		t.Errorf("ids of a setuid program: %s (exit %d)", got, r.Exit)
	}
	// And one that the process makes itself.
	r = s.shell(t, "cp hostile mine && chmod 6755 mine && ./mine ids")
	if got := strings.TrimSpace(string(r.Stdout.Head)); got != "1000 1000 1000 1000 1000 1000" {
		t.Errorf("ids of its own setuid program: %s", got)
	}
}

func (s *suite) testHostFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	targets := []string{secret, wd, "/etc/shadow", "/etc/gshadow", "/root", "/root/.bashrc", "/home", "/var/log", "/var/lib",
		"/sys/fs/cgroup/memory", "/sys/kernel/debug", "/run/crisol", "/boot", "/srv", "/mnt", "/work/../../root",
		"/proc/1/root/root", "/proc/1/root" + secret, "/proc/1/cwd" + secret, "/proc/self/root/root", "/proc/kcore", "/proc/kmem",
		"/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/loop-control"}
	for _, line := range s.hostile(t, append([]string{"reach"}, targets...)...) {
		// gVisor shows devices and a /proc of its own making.
		if strings.HasSuffix(line, " done") {
			t.Errorf("reached: %s", line)
		}
	}
	// Links of the view lead nowhere either.
	links := layer(t, nil)
	for name, target := range map[string]string{"shadow": "/etc/shadow", "up": "../../../../../../root/.bashrc", "secret": secret} {
		if err := os.Symlink(target, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := s.run(t, sandbox.Command{Args: []string{"sh", "-c", "cat shadow up secret"}, Layers: []string{links}})
	if len(r.Stdout.Head) > 0 || r.Exit == 0 {
		t.Errorf("read through a symlink: %q", r.Stdout.Head)
	}
}

func (s *suite) testReadOnly(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"sh", "-c",
		"for d in / /usr /usr/bin /etc /dev /proc /sys /opt /var /run /home /lib /bin; do : > $d/written && echo $d; done 2>/dev/null; true"}})
	if len(r.Stdout.Head) > 0 {
		t.Errorf("writable: %s", r.Stdout.Head)
	}
	targets := []string{"/etc/passwd", "/etc/hosts", "/etc/ld.so.cache", "/bin/sh", "/usr/bin/env", "/proc/sys/kernel/core_pattern",
		"/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/proc/1/mem", "/proc/1/root/etc/passwd",
		"/proc/self/root/usr/bin/env", "/proc/irq/default_smp_affinity", "/proc/self/uid_map", "/proc/1/oom_score_adj",
		"/sys/kernel/uevent_helper"}
	for _, line := range s.hostile(t, append([]string{"scribble"}, targets...)...) {
		if strings.HasSuffix(line, " done") && !s.harmless(line) {
			t.Errorf("opened for writing: %s", line)
		}
	}
}

// harmless says whether a file that opened for writing is the process's own affair.
func (s *suite) harmless(line string) bool {
	path, _, _ := strings.Cut(line, " ")
	switch path {
	case "/proc/self/uid_map": // opens, and refuses what is written without a capability
		return true
	case "/proc/1/mem", "/proc/1/oom_score_adj": // the first process is the sandboxed user's, in its own namespace
		return true
	}
	return s.rt.Name() == "runsc" && strings.HasPrefix(path, "/proc/") // gVisor's own kernel
}

func (s *suite) testNetwork(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reached := make(chan struct{}, 1)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
			reached <- struct{}{}
		}
	}()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	hosts := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "192.0.2.1", "10.0.0.1", "169.254.169.254"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			hosts = append(hosts, n.IP.String())
		}
	}
	got := s.hostile(t, append([]string{"dial", port}, hosts...)...)
	if len(got) != len(hosts) {
		t.Errorf("dialled %v: %q", hosts, got)
	}
	for _, line := range got {
		if strings.HasSuffix(line, "done") {
			t.Errorf("dialled %s", line)
		}
	}
	if got := s.hostile(t, "post", "192.0.2.1", "53"); strings.HasSuffix(got[0], "done") {
		t.Errorf("sent a datagram: %s", got)
	}
	select {
	case <-reached:
		t.Error("the host's listener was reached")
	default:
	}
	r := s.shell(t, "cat /proc/net/dev | tail -n +3 | cut -d: -f1")
	if got := strings.Join(strings.Fields(string(r.Stdout.Head)), " "); got != "lo" {
		t.Errorf("interfaces: %s", got)
	}
}

func (s *suite) testLoopback(t *testing.T) {
	if got := s.hostile(t, "loopback"); got[0] != "hello" {
		t.Errorf("loopback: %s", got)
	}
}

func (s *suite) testUnixSockets(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "") // a short path: a socket's may have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	abstract := "@crisol-test-" + strconv.Itoa(os.Getpid())
	for _, name := range []string{path, abstract} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if got := s.hostile(t, "knock", name); strings.HasSuffix(got[0], "done") {
			t.Errorf("connected to the host's socket: %s", got)
		}
	}
}

func (s *suite) testSignalHost(t *testing.T) {
	victim := exec.Command("sleep", "60")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = victim.Process.Kill()
		_ = victim.Wait()
	}()
	s.run(t, sandbox.Command{Args: []string{"/work/hostile", "shoot", strconv.Itoa(victim.Process.Pid),
		strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())}})
	if err := victim.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the host's process is gone: %v", err)
	}
	state := readFile(t, "/proc/"+strconv.Itoa(victim.Process.Pid)+"/stat")
	if slices.Contains(strings.Fields(state), "Z") {
		t.Error("the host's process was killed")
	}
	r := s.shell(t, "ls /proc | grep -c '^[0-9]'")
	if n, _ := strconv.Atoi(strings.TrimSpace(string(r.Stdout.Head))); n > 8 {
		t.Errorf("sees %d processes", n)
	}
}

func (s *suite) testDir(t *testing.T) {
	for dir, want := range map[string]string{"": "/work", "/tmp": "/tmp", "/work/sub": "/work/sub", "/": "/"} {
		r := s.run(t, sandbox.Command{Args: []string{"pwd"}, Dir: dir, Layers: []string{layer(t, map[string]string{"sub/": ""})}})
		if got := strings.TrimSpace(string(r.Stdout.Head)); got != want {
			t.Errorf("in %q: pwd says %s", dir, got)
		}
	}
}

func (s *suite) testTmp(t *testing.T) {
	s.shell(t, "test -z \"$(ls -A /tmp)\" && echo x > /tmp/x && test -s $HOME/x")
	s.shell(t, "test ! -e /tmp/x")
	s.shell(t, "test -z \"$(ls -A /dev/shm)\" && echo x > /dev/shm/x")
}

func (s *suite) testUsage(t *testing.T) {
	r := s.shell(t, "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	if r.CPU < 50*time.Millisecond || r.CPU > r.Wall*4 {
		t.Errorf("used %v of processor time in %v", r.CPU, r.Wall)
	}
	big := s.run(t, sandbox.Command{Args: []string{"/usr/bin/python3", "-c",
		"import time; x = bytearray(b'x') * (100 << 20); time.sleep(0.1)"}})
	if big.Exit != 0 || big.MaxRSS < 90<<20 || big.MaxRSS > 250<<20 {
		t.Errorf("exit %d, held %d bytes at most, want about 100 MiB: %s", big.Exit, big.MaxRSS, big.Stderr.Head)
	}
}
