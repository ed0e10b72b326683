package predict_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/predict"
	"crisol/models"
)

// TestDiskHangs: a file that can't be read in time is an error, for the first who asks after a while and for others at once;
// models that were read go on, and what hung is read when the disk answers again.
func TestDiskHangs(t *testing.T) {
	dir := t.TempDir()
	r := &predict.Registry{Shipped: models.FS, Dir: dir}
	known, err := r.Champion()
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "slow"+predict.Suffix) // a pipe that nobody writes to hangs as a lost disk does
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := r.Open("slow"); crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(err.Error(), "doesn't answer") {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	begun := time.Now()
	for range 100 {
		if _, err := r.Open("slow"); err == nil {
			t.Fatal("opened")
		}
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("everyone waits: %s", took)
	}
	if b, err := r.Champion(); err != nil || b != known {
		t.Errorf("another model: %v", err)
	}
	if entries, err := r.List(); err != nil || len(entries) < 2 {
		t.Errorf("%+v, %v", entries, err)
	}
	file, err := fs.ReadFile(models.FS, predict.DefaultChampion+predict.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.OpenFile(pipe, os.O_WRONLY, 0) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	_, _ = to.Write(file) // whoever read it doesn't read on, where the name doesn't fit
	_ = to.Close()
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := r.Open("slow")
		if crisol.KindOf(err) == crisol.KindNotFound {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it still hangs: %v", err)
		}
	}
}
