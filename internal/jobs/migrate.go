package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
)

// Schema returns the version of the queue's tables in a database, 0 for none, and the newest that this Crisol knows.
func Schema[TTx any](ctx context.Context, driver riverdriver.Driver[TTx], logger *slog.Logger) (have, newest int, err error) {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err != nil {
		return 0, 0, fmt.Errorf("set up job queue: %w", err)
	}
	all := migrator.AllVersions()
	newest = all[len(all)-1].Version
	existing, err := migrator.ExistingVersions(ctx)
	if err != nil {
		return 0, newest, infrastructure("read the version of the job queue", newer(err))
	}
	if len(existing) > 0 {
		have = existing[len(existing)-1].Version
	}
	return have, newest, nil
}

// Migrate brings the queue's tables up to date; tables of a newer River are refused. One process at a time may call it.
func Migrate[TTx any](ctx context.Context, driver riverdriver.Driver[TTx], logger *slog.Logger) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: logger})
	if err != nil {
		return fmt.Errorf("set up job queue: %w", err)
	}
	return migrate(ctx, migrator)
}

func migrate[TTx any](ctx context.Context, migrator *rivermigrate.Migrator[TTx]) error {
	_, err := migrator.ExistingVersions(ctx)
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	return newer(err)
}

// newer says what River has no value for: tables that only a newer one knows.
func newer(err error) error {
	if err != nil && strings.Contains(err.Error(), "not found in migrator bundle") {
		return fmt.Errorf("the schema is from a newer crisol: %w", err)
	}
	return err
}
