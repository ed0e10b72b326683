package wargame

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// parallel calls do for 0 to n-1 at once; the arena's slots bound what really runs. It returns the first error after
// all have ended.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}
