package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Settings returns the part of the store that keeps what operators switch.
func (s *Store) Settings() store.Settings { return settings{s} }

type settings struct{ *Store }

func (s settings) Get(ctx context.Context, key string) (json.RawMessage, int64, error) {
	row, err := ask(ctx, s.Store, (*queries.Queries).GetSetting, text(key))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, s.fault("read", err)
	}
	return json.RawMessage(row.Value), row.Version, nil
}

func (s settings) Set(ctx context.Context, key string, value json.RawMessage, version int64) (int64, error) {
	if !json.Valid(value) {
		return 0, crisol.Errorf(crisol.KindInternal, "setting %s: the value is no JSON", key)
	}
	err := s.change(ctx, "change a setting in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) (err error) {
		var n int64
		if version == 0 {
			n, err = q.CreateSetting(ctx, queries.CreateSettingParams{Key: text(key), Value: text(string(value))})
		} else {
			n, err = q.ReplaceSetting(ctx, queries.ReplaceSettingParams{Key: text(key), Value: text(string(value)), Version: version})
		}
		if err == nil && n == 0 {
			return store.ErrChanged
		}
		return err
	})
	return version + 1, err
}
