package sqlite

import (
	"context"
	"embed"
	"fmt"

	"github.com/pressly/goose/v3"

	"crisol/internal/store/relational"
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
	provider, err := relational.Provider(goose.DialectSQLite3, s.write, migrations)
	if err != nil {
		return err
	}
	done, err := relational.Migrations{Provider: provider, Name: s.path, Newer: "use the newer crisol, or choose another directory with --data", Fault: s.fault}.Apply(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		s.logger.InfoContext(ctx, "database migrated", "path", s.path, "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}
