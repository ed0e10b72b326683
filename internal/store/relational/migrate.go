package relational

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"crisol"
)

// Migrations are those of one database.
type Migrations struct {
	*goose.Provider
	// Name is what the database is called in errors.
	Name string
	// Newer says what to do about a schema that is from a newer Crisol.
	Newer string
	// Fault names the database's errors by what was being done.
	Fault func(act string, err error) error
}

// Provider reads the migrations that are embedded below migrations/.
func Provider(dialect goose.Dialect, db *sql.DB, embedded embed.FS) (*goose.Provider, error) {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, db, files)
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	return provider, nil
}

// Newest is the version of the schema that this Crisol knows.
func Newest(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

// Apply brings the schema up to date and returns what was done. A schema from a newer Crisol is refused untouched.
func (m Migrations) Apply(ctx context.Context) ([]*goose.MigrationResult, error) {
	have, err := m.GetDBVersion(ctx)
	if err != nil {
		return nil, m.Fault("read schema version of", err)
	}
	if known := Newest(m.Provider); have > known {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure,
			"open database %s: its schema %d is from a newer crisol; this one knows up to %d", m.Name, have, known), "%s", m.Newer)
	}
	done, err := m.Up(ctx)
	if err != nil {
		return nil, m.Fault("migrate", err)
	}
	return done, nil
}
