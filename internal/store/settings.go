package store

import (
	"context"
	"encoding/json"

	"crisol"
)

// ErrChanged says that the setting is no longer at the version that the caller had read.
var ErrChanged = crisol.Errorf(crisol.KindInternal, "the setting was changed meanwhile")

// Settings keeps what operators switch while the service runs, as JSON under a key.
type Settings interface {
	// Get returns a value and its version; nil and 0 where there is none.
	Get(ctx context.Context, key string) (value json.RawMessage, version int64, err error)
	// Set replaces the value if it is still at version (0 to create it) and returns the next version. ErrChanged.
	Set(ctx context.Context, key string, value json.RawMessage, version int64) (int64, error)
}
