package main_test

import (
	"os/exec"
	"strings"
	"sync"
	"testing"

	"crisol/internal/store/pgtest"
)

// TestMigrate: the tables are made once, by whoever comes first of several.
func TestMigrate(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t).Database(t)
	crisol := func(args ...string) (string, int) {
		cmd := exec.Command(binary, append([]string{"migrate"}, args...)...)
		cmd.Env = append(cmd.Environ(), "DATABASE_URL="+database)
		out, _ := cmd.CombinedOutput() // the exit code tells
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := crisol("--status"); code != 1 || strings.Count(out, "version 0, version ") != 2 {
		t.Errorf("before: %d %s", code, out)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if out, code := crisol(); code != 0 {
				t.Errorf("%d %s", code, out)
			}
		})
	}
	all.Wait()
	if out, code := crisol("--status"); code != 0 || strings.Count(out, "up to date") != 2 {
		t.Errorf("after: %d %s", code, out)
	}
	if out, code := crisol(); code != 0 || strings.Count(out, "up to date") != 2 {
		t.Errorf("again: %d %s", code, out)
	}
	if out, code := crisol("--database", "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"); code != 4 || !strings.Contains(out, "hint: ") {
		t.Errorf("no server: %d %s", code, out)
	}
	cmd := exec.Command(binary, "migrate")
	cmd.Env = append(cmd.Environ(), "DATABASE_URL=")
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "--database") {
		t.Errorf("no database named: %v %s", err, out)
	}
}
