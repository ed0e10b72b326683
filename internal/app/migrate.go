package app

import (
	"context"
	"errors"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store/postgres"
)

// Schema is how far a part of a database's tables is.
type Schema struct {
	Part   string // what the tables are for
	Have   int64  // 0 where there are none
	Newest int64  // that this Crisol knows
}

// Schemas reads how far the tables of the shared database are, and changes nothing.
func Schemas(ctx context.Context, c Config) (_ []Schema, err error) {
	st, err := look(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return schemas(ctx, c, st)
}

// Migrate brings the tables of the shared database up to date. Several processes may do so at once, services among them.
func Migrate(ctx context.Context, c Config) (before, after []Schema, err error) {
	st, err := look(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if before, err = schemas(ctx, c, st); err != nil {
		return nil, nil, err
	}
	made, err := postgres.Open(ctx, c.Database, c.Log)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	err = made.Alone(ctx, func(ctx context.Context) error { return jobs.Migrate(ctx, riverpgxv5.New(made.Pool()), c.Log) })
	if err != nil {
		return nil, nil, crisol.Errorf(crisol.KindInfrastructure, "migrate the job queue: %w", err)
	}
	after, err = schemas(ctx, c, made)
	return before, after, err
}

func look(ctx context.Context, c Config) (*postgres.Store, error) {
	if c.Database == "" {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "no database is named"),
			"set --database or DATABASE_URL; the SQLite of a single service is migrated when the service starts")
	}
	return postgres.Look(ctx, c.Database, c.Log)
}

func schemas(ctx context.Context, c Config, st *postgres.Store) ([]Schema, error) {
	have, newest, err := st.Schema(ctx)
	if err != nil {
		return nil, err
	}
	queue, newestQueue, err := jobs.Schema(ctx, riverpgxv5.New(st.Pool()), c.Log)
	return []Schema{{"store", have, newest}, {"queue", int64(queue), int64(newestQueue)}}, err
}
