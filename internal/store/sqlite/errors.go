package sqlite

import (
	"context"
	"errors"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"crisol"
)

// fault gives an error of the database its kind, the name of the act and, where one is known, the next step.
func (s *Store) fault(act string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return crisol.Errorf(crisol.KindInfrastructure, "%s database %s: %w", act, s.path, err)
	}
	if code, ok := errorCode(err); ok {
		switch code {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return s.damaged(act, err)
		case sqlite3.SQLITE_FULL:
			return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s database %s: %w", act, s.path, err),
				"the disk is full: free space in %s", filepath.Dir(s.path))
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s database %s: %w", act, s.path, err),
				"make %s writable, or choose another directory with --data", filepath.Dir(s.path))
		}
	}
	return crisol.Errorf(crisol.KindInfrastructure, "%s database %s: %w", act, s.path, err)
}

func (s *Store) damaged(act string, err error) error {
	return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s database %s: damaged: %w", act, s.path, err),
		"restore %s from a backup, or move it away to start with an empty one", s.path)
}

// Sick says of an error of a call whether the file can't be used by anybody. A full disk isn't meant: what only reads goes
// on, and so it is for a database that is busy.
func Sick(err error) bool {
	switch code, _ := errorCode(err); code {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

// errorCode is SQLite's primary result code: the low byte of the extended one.
func errorCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code() & 0xff, true
}
