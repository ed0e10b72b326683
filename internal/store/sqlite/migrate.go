package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"crisol"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. A schema from a newer Crisol is refused untouched.
func (s *Store) migrate(ctx context.Context) error {
	// Journal mode and application id lie in the file itself, and neither can be set in a transaction.
	for _, pragma := range []string{"PRAGMA journal_mode = WAL", fmt.Sprintf("PRAGMA application_id = %d", applicationID)} {
		if _, err := s.write.ExecContext(ctx, pragma); err != nil {
			return s.fault("set up", err)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read embedded migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, files)
	if err != nil {
		return fmt.Errorf("read embedded migrations: %w", err)
	}
	have, err := provider.GetDBVersion(ctx)
	if err != nil {
		return s.fault("read schema version of", err)
	}
	sources := provider.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure,
			"open database %s: its schema %d is from a newer crisol; this one knows up to %d", s.path, have, known),
			"use the newer crisol, or choose another directory with --data")
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return s.fault("migrate", err)
	}
	for _, m := range done {
		s.logger.InfoContext(ctx, "database migrated", "path", s.path, "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}
