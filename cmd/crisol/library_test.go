package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"crisol/internal/round"
)

// turn is the part of the library that is tested today; within ten days all of it has had its turn.
const turn = "today/10"

// always are tested on every run: one of each kind of target.
var always = []string{"CVE-2019-10744", "app-sql-injection", "c-heap-overflow-contacts"}

// TestLibrary self-tests a tenth of the library, another one every day, and one scenario of each kind of target. The
// whole library is `make scenarios`.
func TestLibrary(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "scenario", "list", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var library []struct{ ID, Ecosystem string }
	if err := json.Unmarshal(out, &library); err != nil {
		t.Fatal(err)
	}
	today, err := round.ParseShard(turn, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ids, kinds := slices.Clone(always), map[string]bool{"npm": true, "dir": true}
	for _, s := range library {
		if !slices.Contains(ids, s.ID) && (today.Has(s.ID) || !kinds[s.Ecosystem]) {
			ids = append(ids, s.ID)
			kinds[s.Ecosystem] = true
		}
	}
	t.Logf("%d of %d scenarios: %v", len(ids), len(library), ids)
	cmd := exec.Command(binary, append([]string{"scenario", "test", "--repeat", "1", "--data", t.TempDir()}, ids...)...)
	cmd.Env = os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
