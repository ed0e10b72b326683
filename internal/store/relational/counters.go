package relational

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Counters returns the part of the store that counts unaudited predictions.
func (s *Store) Counters() store.Counters { return counters{s} }

type counters struct{ *Store }

func (s counters) Add(ctx context.Context, counts []store.Count) error {
	return s.change(ctx, "count in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error { return addCounts(ctx, q, counts) })
}

// addCounts adds up counts of one key, and writes them in the order of keys, so that two that do so at once don't wait
// for each other in a ring.
func addCounts(ctx context.Context, q *queries.Queries, counts []store.Count) error {
	type key struct {
		hour                         int64
		model, side, stratum, method string
	}
	sums := map[key]int64{}
	for _, c := range counts {
		sums[key{hour(c.Hour), text(c.ModelVersion), text(string(c.Side)), text(c.Stratum), text(string(c.Method))}] += c.N
	}
	keys := sortedKeys(sums, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.model, b.model), cmp.Compare(a.side, b.side),
			cmp.Compare(a.stratum, b.stratum), cmp.Compare(a.method, b.method))
	})
	for _, k := range keys {
		if err := q.AddUnaudited(ctx, queries.AddUnauditedParams{
			Hour: k.hour, ModelVersion: k.model, Side: k.side, Stratum: k.stratum, Method: k.method, N: sums[k],
		}); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), compare)
}

func (s counters) Range(ctx context.Context, since, before time.Time, modelVersion string) ([]store.Count, error) {
	rows, err := ask(ctx, s.Store, (*queries.Queries).Unaudited, queries.UnauditedParams{Since: hour(since), Until: until(before), ModelVersion: text(modelVersion)})
	list := make([]store.Count, 0, len(rows))
	for _, r := range rows {
		list = append(list, store.Count{
			Hour: instant(r.Hour), ModelVersion: r.ModelVersion, Side: crisol.Verdict(r.Side), Stratum: r.Stratum,
			Method: crisol.Method(r.Method), N: r.N,
		})
	}
	return list, s.fault("read", err)
}
