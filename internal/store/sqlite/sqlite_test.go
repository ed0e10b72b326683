package sqlite_test

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
	"crisol/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
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

func refuse(t *testing.T, path string, message, hint string) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatalf("opened %s: %v", path, st.Close())
	}
	if !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %q lacks %q or the path", err, message)
	}
	if got := crisol.HintOf(err); !strings.Contains(got, hint) {
		t.Errorf("hint %q lacks %q", got, hint)
	}
	if kind := crisol.KindOf(err); kind != crisol.KindInfrastructure {
		t.Errorf("kind %v", kind)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Adapter{
		Open: func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "crisol.db")) },
		Reopen: func(t *testing.T, s store.Store) store.Store {
			st := s.(*sqlite.Store)
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, st.Path())
		},
	})
}

func TestOpenMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "odd name%3f?#&é", "crisol.db")
	st := open(t, path)
	if err := st.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := st.Accept(t.Context(), storetest.Submission(1), 1); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) < 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crisol.db")
	st := open(t, path)
	refuse(t, path, "another process is using it", "--data")
	if err := errors.Join(st.Close(), st.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// TestDurable reads back what a connection does at each commit.
func TestDurable(t *testing.T) {
	st := open(t, filepath.Join(t.TempDir(), "crisol.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := st.DB().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", pragma, got, err, want)
		}
	}
}

func TestRefusesNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crisol.db")
	st := open(t, path)
	if _, err := st.DB().ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	refuse(t, path, "schema 9999 is from a newer crisol", "newer crisol")
}

func TestRefusesForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crisol.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE bookmarks (url TEXT)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, path, "belongs to another program", "--data")
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the foreign database was changed, %v", err)
	}
}

func TestRefusesDamagedFile(t *testing.T) {
	t.Run("not a database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "crisol.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("lorem ipsum ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "damaged", "restore")
	})
	t.Run("pages overwritten", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "crisol.db")
		st := open(t, path)
		for n := range 50 {
			if err := st.Accept(t.Context(), storetest.Submission(n), 100); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 5 * 4096; i < len(content); i++ {
			content[i] = 0xff
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "damaged", "restore")
	})
}

func TestRefusesUnwritablePlace(t *testing.T) {
	t.Run("a file is in the way", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, filepath.Join(file, "crisol.db"), "not a directory", "writable")
	})
	t.Run("the database is a directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "crisol.db")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, "is a directory", "--data")
	})
	t.Run("read-only directory", func(t *testing.T) {
		dir := readOnly(t, func(string) {})
		refuse(t, filepath.Join(dir, "crisol.db"), "open", "writable")
	})
	t.Run("read-only directory with a database", func(t *testing.T) {
		dir := readOnly(t, func(dir string) {
			if err := open(t, filepath.Join(dir, "crisol.db")).Close(); err != nil {
				t.Fatal(err)
			}
		})
		refuse(t, filepath.Join(dir, "crisol.db"), "open", "writable")
	})
}

// readOnly makes a directory, lets fill write to it and makes it read-only: by its mode, or for root, whom modes
// don't stop, as a file system of its own.
func readOnly(t *testing.T, fill func(dir string)) string {
	t.Helper()
	if os.Geteuid() != 0 {
		dir := t.TempDir()
		fill(dir)
		if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // a directory that can be listed
			t.Fatal(err)
		}
		return dir
	}
	dir := tmpfs(t, "1m")
	fill(dir)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tmpfs mounts a small file system. Only root can.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("this machine doesn't let root mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, "1m")
	ctx, st := t.Context(), open(t, filepath.Join(dir, "crisol.db"))
	var kept []store.Submission
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		s := storetest.Submission(n)
		s.Normalised.PatchDiff = strings.Repeat("x", 20_000)
		if err = st.Accept(ctx, s, 1<<20); err == nil {
			kept = append(kept, s)
		}
	}
	if crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(crisol.HintOf(err), "disk is full") {
		t.Fatalf("after %d submissions: %v (hint %q)", len(kept), err, crisol.HintOf(err))
	}
	if len(kept) < 5 {
		t.Fatalf("full after %d submissions", len(kept))
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	after := storetest.Submission(1)
	if err := st.Accept(ctx, after, 1<<20); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	rows, err := st.List(ctx, store.Filter{Limit: 2000})
	if err != nil || len(rows) != len(kept)+1 {
		t.Fatalf("%d rows, %v; want the %d that were accepted", len(rows), err, len(kept)+1)
	}
}
