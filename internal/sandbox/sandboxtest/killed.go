package sandboxtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// Variables that make a test binary a helper: the runtime's name, the layer with the hostile program, and what that is
// to do.
const (
	helperRuntime = "CRISOL_SANDBOXTEST_RUNTIME"
	helperLayer   = "CRISOL_SANDBOXTEST_LAYER"
	helperAct     = "CRISOL_SANDBOXTEST_ACT"
)

// Helper is called first in TestMain. In a process that the suite started, it opens the named runtime, runs the
// hostile program, and does not return.
func Helper(open func(name string) (sandbox.Runtime, error)) {
	name := os.Getenv(helperRuntime)
	if name == "" {
		return
	}
	rt, err := open(name)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	result, err := rt.Run(context.Background(), sandbox.Command{
		Args: []string{"/work/hostile", os.Getenv(helperAct)}, Layers: []string{os.Getenv(helperLayer)},
		Limits: sandbox.Limits{Wall: time.Minute},
	})
	fmt.Printf("%sexit %d, error %v\n", result.Stdout.Head, result.Exit, err)
	if c, ok := rt.(io.Closer); ok {
		_ = c.Close()
	}
	os.Exit(0)
}

// help prepares a helper.
func help(t *testing.T, runtime, act, temp string) *exec.Cmd {
	kit := t.TempDir()
	compile(t, kit)
	open(t, kit)
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperRuntime+"="+runtime, helperLayer+"="+kit, helperAct+"="+act, "TMPDIR="+temp)
	return helper
}

// Terminal starts a Crisol on a terminal and sees that nothing from the sandbox reaches that.
func Terminal(t *testing.T, name string) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	helper := help(t, name, "shout", t.TempDir())
	helper.Stdin = slave
	helper.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	out, err := helper.Output()
	if err != nil || !strings.Contains(string(out), "exit 0, error <nil>") {
		t.Fatalf("helper: %v\n%s", err, out)
	}
	// What was written to the terminal waits at the master's end; what was typed, at the slave's.
	for what, file := range map[string]*os.File{"written to": master, "typed into": slave} {
		fd := int(file.Fd()) // which makes it block, so only now
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 256)
		if n, _ := unix.Read(fd, buffer); n > 0 {
			t.Errorf("the terminal was %s: %q (helper: %s)", what, buffer[:n], out)
		}
	}
}

// Killed kills a Crisol with SIGKILL in the middle of a run and sees that the run dies with it. reopen is a Crisol's
// next start, after which nothing is left.
func Killed(t *testing.T, name string, reopen func() error) {
	temp := t.TempDir()
	helper := help(t, name, "stubborn", temp)
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := false
	defer func() {
		if !reaped {
			_ = helper.Process.Kill()
			_ = helper.Wait()
		}
	}()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("helper: %s", line)
	}
	pid := helper.Process.Pid
	await(t, "the program to be under way", func() bool { return underWay(pid, temp) })
	tree := processesOf(pid)
	if len(tree) < 2 {
		t.Fatalf("processes of the run: %v", tree)
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	reaped = true
	await(t, "the tree to die", func() bool { return len(alive(tree)) == 0 })
	noMounts(t)
	t.Setenv("TMPDIR", temp)
	if err := reopen(); err != nil {
		t.Fatal(err)
	}
	if left := Groups(pid); len(left) > 0 {
		t.Errorf("left cgroups: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "crisol-*")); len(left) > 0 {
		t.Errorf("left temporary files: %v", left)
	}
}

// await polls: what it waits for happens in processes that can't tell.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// underWay says whether the hostile program of a helper has made its file, in the private mounts of one of the
// helper's threads or in a copied view.
func underWay(pid int, temp string) bool {
	for _, pattern := range []string{
		fmt.Sprintf("/proc/%d/task/*/root/run/crisol/run/disk/upper/ready", pid), temp + "/crisol-view-*/view/ready",
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

// alive returns those of a list of processes that live; a zombie doesn't.
func alive(processes []string) []string {
	var living []string
	for _, p := range processes {
		pid, _, _ := strings.Cut(p, " ")
		n, _ := strconv.Atoi(pid)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if i := strings.LastIndex(string(stat), ") "); err == nil && i > 0 && stat[i+2] != 'Z' && stat[i+2] != 'X' {
			living = append(living, p)
		}
	}
	return living
}
