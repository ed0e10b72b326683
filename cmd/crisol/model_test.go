package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestModelsAreReproduced: the rows in the repository give the models that come with Crisol, byte for byte. It trains with
// a binary of its own, without the race detector, which would take minutes.
func TestModelsAreReproduced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "crisol")
	if out, err := exec.Command("go", "build", "-o", plain, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	models := filepath.Join("..", "..", "models")
	if out, err := exec.Command(plain, "model", "train", "--rows", filepath.Join(models, "rows.jsonl.gz"), "--out", dir).CombinedOutput(); err != nil {
		t.Fatalf("train: %v\n%s", err, out)
	}
	for _, name := range []string{"rf_v1.model", "gbdt_v1.model"} {
		want, err := os.ReadFile(filepath.Join(models, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s comes out otherwise: train it again, and measure it for docs/model-card.md", name)
		}
	}
}
