package postgres_test

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"crisol/internal/store"
	"crisol/internal/store/pgtest"
	"crisol/internal/store/postgres"
	"crisol/internal/store/storetest"
)

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(func() int {
		code := m.Run()
		if err := goleak.Find(goleak.IgnoreAnyFunction("crisol/internal/store/pgtest.(*Server).run.func1")); code == 0 && err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			return 1
		}
		return code
	}))
}

func open(t *testing.T, connection string) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), connection, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Adapter{
		Open: func(t *testing.T) store.Store { return open(t, pgtest.Database(t)) },
		Reopen: func(t *testing.T, s store.Store) store.Store {
			st := s.(*postgres.Store)
			connection := st.Pool().Config().ConnString()
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, connection)
		},
	})
}
