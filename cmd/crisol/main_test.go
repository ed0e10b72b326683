package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the crisol under test: the one that CRISOL_TEST_BINARY names (an instrumented build, for coverage), else one
// built here.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "crisol-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		// go test points GOCOVERDIR elsewhere; scripts/cover wants what the binary under test covers.
		if dir := os.Getenv("CRISOL_TEST_COVERDIR"); dir != "" {
			if err := os.Setenv("GOCOVERDIR", dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		// The race detector would wait for a second at the end of every command.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if binary, err = build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(dir string) (string, error) {
	if given := os.Getenv("CRISOL_TEST_BINARY"); given != "" {
		return given, nil
	}
	path := filepath.Join(dir, "crisol")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build crisol: %w\n%s", err, out)
	}
	return path, nil
}

// TestScripts runs testdata/script: the command line as users type it. Every script has a data directory of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("BIN", filepath.Dir(binary))
			env.Setenv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
			env.Setenv("CRISOL_DATA", filepath.Join(env.WorkDir, ".data"))
			env.Setenv("TESTDATA", filepath.Join(here, "testdata"))
			env.Setenv("RECORDS", filepath.Join(here, "..", "..", "internal", "advisory", "testdata", "osv"))
			env.Setenv("HOME", os.Getenv("HOME"))
			for _, name := range []string{"GOCOVERDIR", "GORACE", "CRISOL_RUNSC", "GOFLAGS", "GOPROXY", "GOMODCACHE"} {
				env.Setenv(name, os.Getenv(name))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"big":    big,
			"tinyfs": tinyfs,
			"edit":   edit,

			"journalled": journalled,
			"serving":    serving,
		},
	})
}

// exits runs a command and wants an exit code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = fmt.Sprint(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit %s, want %s", code, args[0])
	}
}

// big writes a patch of so many MiB: big FILE MIB
func big(ts *testscript.TestScript, _ bool, args []string) {
	var mib int
	_, err := fmt.Sscan(args[1], &mib)
	ts.Check(err)
	line := strings.Repeat("+", 1023) + "\n"
	head := fmt.Sprintf("--- a/index.js\n+++ b/index.js\n@@ -1,0 +1,%d @@\n", mib<<10)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append([]byte(head), bytes.Repeat([]byte(line), mib<<10)...), 0o600))
}

// tinyfs mounts a file system of so many bytes and unmounts it at the end: tinyfs DIR SIZE
func tinyfs(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if os.Getuid() != 0 {
		ts.Fatalf("only root can mount a full disk; run the tests as root")
	}
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// edit replaces what an expression matches in a file: edit FILE EXPRESSION REPLACEMENT
func edit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	body, err := os.ReadFile(path)
	ts.Check(err)
	expr := regexp.MustCompile(args[1])
	if !expr.Match(body) {
		ts.Fatalf("%s: nothing matches %s", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, expr.ReplaceAll(body, []byte(args[2])), 0o600))
}

// journalled waits until the journal of a round holds so many results: journalled COUNT
func journalled(ts *testscript.TestScript, _ bool, args []string) {
	var want int
	_, err := fmt.Sscan(args[0], &want)
	ts.Check(err)
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) { // nothing tells of a line
		found, err := filepath.Glob(filepath.Join(ts.Getenv("CRISOL_DATA"), "rounds", "*.jsonl"))
		ts.Check(err)
		for _, name := range found {
			if text, err := os.ReadFile(name); err == nil && bytes.Count(text, []byte("\n")) > want {
				return
			}
		}
	}
	ts.Fatalf("no journal holds %d results", want)
}

// serving starts a service with a data directory of its own until the script ends: serving. Its URL is $SERVER.
func serving(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	addr := listener.Addr().String()
	ts.Check(listener.Close())
	cmd := exec.Command(binary, "serve", "--addr", addr, "--data", ts.MkAbs(".served"))
	log := &bytes.Buffer{}
	cmd.Stderr = log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	ts.Setenv("SERVER", "http://"+addr)
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) { // nothing tells of a port
		if answer, err := http.Get("http://" + addr + "/health"); err == nil {
			_ = answer.Body.Close()
			return
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	ts.Fatalf("the service does not answer:\n%s", log)
}
