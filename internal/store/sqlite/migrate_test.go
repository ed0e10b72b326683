package sqlite

import (
	"io/fs"
	"log/slog"
	"testing"

	"github.com/pressly/goose/v3"

	"crisol"
	"crisol/internal/store"
)

// TestMigratesOldFile opens a file whose schema is that of the first version, with a row in each state.
func TestMigratesOldFile(t *testing.T) {
	ctx, st := t.Context(), openHere(t)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, st.write, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.DownTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := st.write.ExecContext(ctx, `
		INSERT INTO validations (id, state, apv_id, cve_id, patch_id, scenario_id, scenario_digest, patch_digest, created_at, verdict, finished_at)
		VALUES ('a', 'finished', 'apv', 'cve', 'p', 's', 'sd', 'pd', 1000000, 'broken', 2000000), ('b', 'running', 'apv', 'cve', 'p', 's', 'sd', 'pd', 1000000, '', 0);
		INSERT INTO requests (validation_id, body) VALUES ('a', '{"apv_id":"apv"}'), ('b', '{"apv_id":"apv"}');
		INSERT INTO verdicts (validation_id, body) VALUES ('a', '{"verdict":"broken"}')`); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st, err = Open(ctx, st.Path(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	record, err := st.Get(ctx, "a")
	if err != nil || record.Verdict != crisol.Broken || record.Mode != store.ModeValidate || record.Revoked {
		t.Errorf("%+v, %v", record, err)
	}
	if n, err := st.Recover(ctx); n != 1 || err != nil {
		t.Errorf("recovered %d, %v", n, err)
	}
	if attempt, err := st.Begin(ctx, "b", store.Lease{Worker: "w", At: record.FinishedAt, Until: record.FinishedAt}); err != nil || attempt.Fence != 1 {
		t.Errorf("%+v, %v", attempt, err)
	}
}
