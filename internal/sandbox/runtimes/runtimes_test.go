package runtimes

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/bwrap"
	"crisol/internal/sandbox/sandboxtest"
	"crisol/internal/sandbox/stage"
)

func TestMain(m *testing.M) {
	sandboxtest.Helper(func(name string) (sandbox.Runtime, error) { return Open(context.Background(), name, Options{}) })
	os.Exit(m.Run())
}

// need opens a runtime for a test. One that can't be used fails the test where everything should be (CI), and skips
// it elsewhere.
func need(t testing.TB, name string) sandbox.Runtime {
	t.Helper()
	r, err := Open(t.Context(), name, Options{})
	if err == nil {
		return r
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%v (%s)", err, crisol.HintOf(err))
	}
	t.Skipf("%v (%s)", err, crisol.HintOf(err))
	return nil
}

func TestConformance(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			r := need(t, name)
			sandboxtest.Run(t, r, r.(io.Closer).Close)
		})
	}
}

// The suite again as a root who may neither mount nor use cgroups, as in many containers.
func TestConformanceWithoutMounts(t *testing.T) {
	host, err := stage.Open(stage.Options{NoMounts: true, NoCgroups: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := bwrap.New(host)
	if err != nil {
		t.Skip(err)
	}
	sandboxtest.Run(t, r, host.Close)
}

// A Crisol that is killed takes its runs with it; the next one clears the rest away.
func TestKilled(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			if err := need(t, name).(io.Closer).Close(); err != nil {
				t.Fatal(err)
			}
			sandboxtest.Killed(t, name, func() error {
				r, err := Open(t.Context(), name, Options{})
				if err != nil {
					return err
				}
				return r.(io.Closer).Close()
			})
		})
	}
}

// A sandbox can neither write to Crisol's terminal nor type into it.
func TestTerminal(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			if err := need(t, name).(io.Closer).Close(); err != nil {
				t.Fatal(err)
			}
			sandboxtest.Terminal(t, name)
		})
	}
}

// The whole suite again as a user without privileges, who has neither overlay views nor cgroups.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run unprivileged already")
	}
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()) && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "test")
	if out, err := exec.Command("cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	const nobody = 65534
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"TestConformance/bwrap", "TestKilled/bwrap", "TestTerminal/bwrap", "TestRootOnly"} {
		cmd := exec.Command(binary, "-test.run", "^"+strings.ReplaceAll(run, "/", "$/^")+"$", "-test.v")
		cmd.Dir = home
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "CI=" + os.Getenv("CI")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+run+" ") {
			t.Errorf("%s: %v\n%s", run, err, out)
		}
	}
}

// What only root can use says so to others.
func TestRootOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: see TestUnprivileged")
	}
	for _, name := range []string{"crun", "runc", "runsc"} {
		if _, err := Open(t.Context(), name, Options{}); err == nil || !strings.Contains(crisol.HintOf(err), "bwrap") {
			t.Errorf("open %s: %v, hint %q", name, err, crisol.HintOf(err))
		}
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(t.Context(), "docker", Options{}); crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), "bwrap") {
		t.Errorf("open docker: %v", err)
	}
	for _, name := range []string{"", "auto"} {
		r, err := Open(t.Context(), name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Name() != "bwrap" {
			t.Errorf("auto took %s", r.Name())
		}
		for range 2 {
			if err := r.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Run(t.Context(), sandbox.Command{Args: []string{"true"}}); err == nil {
			t.Error("a closed runtime runs")
		}
	}
	t.Setenv("PATH", t.TempDir())
	_, err := Open(t.Context(), "auto", Options{})
	if crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(crisol.HintOf(err), "bubblewrap") {
		t.Errorf("open without any runtime: %v, hint %q", err, crisol.HintOf(err))
	}
}

// A runtime that is installed and doesn't work says why, in its own words, and what may help.
func TestBroken(t *testing.T) {
	for name, want := range map[string]string{"bwrap": "user namespaces", "crun": "privileged", "runc": "privileged", "runsc": "privileged"} {
		dir := t.TempDir()
		script := "#!/bin/sh\ncase \"$1\" in --version) echo broken 1;; *) echo 'no way today' >&2; exit 1;; esac\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) { // bwrap is not started as root
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		_, err := Open(t.Context(), name, Options{})
		if crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(err.Error(), "no way today") ||
			!strings.Contains(crisol.HintOf(err), want) {
			t.Errorf("%s: %v, hint %q", name, err, crisol.HintOf(err))
		}
	}
}

// Whichever descriptor it is that can't be had, a run fails as infrastructure does, leaves nothing, and takes nothing
// from the next.
func TestFewDescriptors(t *testing.T) {
	for _, name := range []string{"bwrap", "crun"} {
		t.Run(name, func(t *testing.T) { fewDescriptors(t, name) })
	}
}

func fewDescriptors(t *testing.T, name string) {
	r := need(t, name)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	command := sandbox.Command{Args: []string{"cat"}, Stdin: []byte("x"), Layers: []string{t.TempDir()},
		Mounts: []sandbox.Mount{{Source: "/usr/bin/env", Target: "/opt/env"}}}
	failed, worked := 0, 0
	for spare := range 40 {
		file, err := os.Open("/dev/null") // the lowest number that is free
		if err != nil {
			t.Fatal(err)
		}
		lowest := file.Fd()
		file.Close()
		limit := unix.Rlimit{Cur: uint64(lowest) + uint64(spare), Max: before.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		result, err := r.Run(t.Context(), command)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		switch {
		case err == nil && string(result.Stdout.Head) == "x":
			worked++
		case crisol.KindOf(err) == crisol.KindInfrastructure:
			failed++
		default:
			t.Errorf("with %d descriptors: %v, %s%s", spare, err, result.Stdout.Head, result.Stderr.Head)
		}
	}
	if failed < 5 || worked < 5 {
		t.Errorf("failed %d times, worked %d times", failed, worked)
	}
	if left := sandboxtest.Descendants(); len(left) > 0 {
		t.Errorf("left processes: %v", left)
	}
	if err := r.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	if left := sandboxtest.Groups(os.Getpid()); len(left) > 0 {
		t.Errorf("left cgroups: %v", left)
	}
}

// A runtime whose version can't be had is no runtime.
func TestNoVersion(t *testing.T) {
	for _, name := range Names() {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		if _, err := Open(t.Context(), name, Options{}); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSurvey(t *testing.T) {
	findings, err := Survey(t.Context(), Options{})
	if err != nil || len(findings) != len(Names()) {
		t.Fatal(findings, err)
	}
	for i, f := range findings {
		if f.Name != Names()[i] || f.Err == nil && f.Report.Runtime != f.Name || f.Err != nil && crisol.HintOf(f.Err) == "" {
			t.Errorf("finding %+v", f)
		}
	}
}

// BenchmarkTrue is what a runtime costs: the time of a program that does nothing, view included.
func BenchmarkTrue(b *testing.B) {
	layer := b.TempDir()
	if err := sandbox.Own(layer); err != nil {
		b.Fatal(err)
	}
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			r := need(b, name)
			defer r.(io.Closer).Close()
			for b.Loop() {
				result, err := r.Run(b.Context(), sandbox.Command{Args: []string{"/bin/true"}, Layers: []string{layer}})
				if err != nil || result.Exit != 0 {
					b.Fatal(result, err)
				}
			}
		})
	}
}
