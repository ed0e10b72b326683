package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"crisol/internal/store/pgtest"
	"crisol/internal/trail"
)

// TestAuditLog: services that share a database write one log, and nobody changes what is in it.
func TestAuditLog(t *testing.T) {
	connection := pgtest.Database(t)
	first, second := open(t, connection), open(t, connection)
	var all sync.WaitGroup
	for i, l := range []trail.Log{first.AuditLog(), second.AuditLog()} {
		all.Go(func() {
			for j := range 10 {
				e := trail.Entry{At: time.Now(), Actor: "a\x00b", Act: fmt.Sprint(i, " ", j), Detail: []byte(`{"z": 1, "a": "<&>"}`), Outcome: trail.Done}
				if _, err := l.Append(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, _, err := trail.Verify(t.Context(), second.AuditLog()); err != nil || n != 20 {
		t.Fatalf("%d %v", n, err)
	}
	if list, err := first.AuditLog().Read(t.Context(), 18, 10); err != nil || len(list) != 2 || list[1].Seq != 20 {
		t.Errorf("%v %v", list, err)
	}
	for _, sql := range []string{`UPDATE audit_log SET actor = 'nobody'`, `DELETE FROM audit_log WHERE seq = 20`, `TRUNCATE audit_log`} {
		if _, err := first.Pool().Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
