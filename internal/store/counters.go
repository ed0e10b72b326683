package store

import (
	"context"
	"time"

	"crisol"
)

// Count is how many predictions of one hour were not sampled for a wargame. The fields before N are its key.
type Count struct {
	Hour         time.Time // anything within the hour; it is read back as its start, in UTC
	ModelVersion string
	Side         crisol.Verdict
	Stratum      string
	Method       crisol.Method
	N            int64
}

// Counters counts unaudited predictions.
type Counters interface {
	// Add adds N to each count.
	Add(ctx context.Context, counts []Count) error
	// Range returns the counts from the hour of since to before until, of one model or of all (""), in the order of
	// their key.
	Range(ctx context.Context, since, until time.Time, modelVersion string) ([]Count, error)
}
