package main_test

import (
	"encoding/json"
	"hash/fnv"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// everySo says how many days it takes until the whole library has had its turn.
const everySo = 10

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
	today := uint32(time.Now().Unix()/(24*3600)) % everySo
	ids, kinds := slices.Clone(always), map[string]bool{"npm": true, "dir": true}
	for _, s := range library {
		turn := fnv.New32a()
		_, _ = turn.Write([]byte(s.ID))
		if !slices.Contains(ids, s.ID) && (turn.Sum32()%everySo == today || !kinds[s.Ecosystem]) {
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
