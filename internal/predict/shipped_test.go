package predict_test

import (
	"math"
	"testing"

	"crisol/internal/forest/naive"
	"crisol/internal/predict"
	"crisol/internal/random"
	"crisol/models"
)

// The models that people get explain themselves by exact Shapley values.
func TestShippedModelsExplainThemselves(t *testing.T) {
	registry := &predict.Registry{Shipped: models.FS, Dir: t.TempDir()}
	stream := random.New(3)
	for _, b := range registry.Usable() {
		plain := naive.Read(b.Trees.Encode())
		for range 3 {
			row := make([]float64, len(b.Features)+1)
			for i := range row {
				if row[i] = math.Floor(stream.Float64() * 4); row[i] == 3 {
					row[i] = math.NaN()
				}
			}
			got, err := b.Trees.Explain(row)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range plain.TreeSHAP(row) {
				if math.Abs(got.Contributions[i]-want) > 1e-9 {
					t.Errorf("%s: %s contributes %g, want %g", b.Version, b.Trees.Names()[i], got.Contributions[i], want)
				}
			}
		}
	}
}
