package access_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crisol"
	"crisol/internal/access"
	"crisol/internal/store/sqlite"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// keepers opens each kind of keeper, empty.
func keepers(t *testing.T) map[string]access.Keeper {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "crisol.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return map[string]access.Keeper{
		"file": access.File{Path: filepath.Join(t.TempDir(), "deep", "tokens.json")}, "store": access.Shared{Settings: st.Settings()},
	}
}

func TestTokens(t *testing.T) {
	for name, k := range keepers(t) {
		t.Run(name, func(t *testing.T) {
			now := noon
			g := access.NewGate(k, func() time.Time { return now })
			if closed, err := g.Closed(t.Context()); err != nil || closed {
				t.Fatalf("no token: closed %v, %v", closed, err)
			}
			if who, err := g.Check(t.Context(), ""); err != nil || !who.May(access.Operate) {
				t.Fatalf("no token: %+v, %v", who, err)
			}
			token, shown, err := access.Create(t.Context(), k, "ci", []access.Scope{access.Submit}, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			late := now.Add(time.Hour)
			_, short, err := access.Create(t.Context(), k, "guest", []access.Scope{access.Read}, &late, now)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(3 * time.Second)
			who, err := g.Check(t.Context(), shown)
			if err != nil || who.Client != token.ID || who.Name != "ci" || !who.May(access.Submit) || who.May(access.Read) || who.May(access.Operate) {
				t.Errorf("%+v, %v", who, err)
			}
			other := strings.Replace(shown, token.ID, strings.Split(short, "_")[1], 1)
			for _, bad := range []string{"", "crisol_", shown + "x", shown[:len(shown)-1], strings.ToUpper(shown), other, "crisol_" + strings.Repeat("a", 12) + "_" + strings.Repeat("A", 43), "Bearer " + shown} {
				if _, err := g.Check(t.Context(), bad); !errors.Is(err, access.ErrUnknown) {
					t.Errorf("%q: %v", bad, err)
				}
			}
			if _, err := g.Check(t.Context(), short); err != nil {
				t.Error(err)
			}
			now = now.Add(time.Hour)
			if _, err := g.Check(t.Context(), short); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("expired: %v", err)
			}
			if _, err := access.Revoke(t.Context(), k, token.ID, now); err != nil {
				t.Fatal(err)
			}
			now = now.Add(3 * time.Second)
			if _, err := g.Check(t.Context(), shown); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("revoked: %v", err)
			}
			if closed, err := g.Closed(t.Context()); err != nil || !closed {
				t.Errorf("the last token is gone, and the door is open: %v", err)
			}
			if _, err := access.Revoke(t.Context(), k, "nobody", now); crisol.KindOf(err) != crisol.KindNotFound {
				t.Errorf("%v", err)
			}
			if all, err := k.Load(t.Context()); err != nil || len(all) != 2 || strings.Contains(all[0].Digest, shown[20:]) {
				t.Errorf("%+v, %v", all, err)
			}
		})
	}
}

// TestChangesAtOnce: none is lost.
func TestChangesAtOnce(t *testing.T) {
	for name, k := range keepers(t) {
		t.Run(name, func(t *testing.T) {
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					if _, _, err := access.Create(t.Context(), k, "x", access.Scopes, nil, noon); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if all, err := k.Load(t.Context()); err != nil || len(all) != 8 {
				t.Errorf("%d tokens, %v", len(all), err)
			}
		})
	}
}

// TestDamagedFile: a file that can't be read opens nothing.
func TestDamagedFile(t *testing.T) {
	f := access.File{Path: filepath.Join(t.TempDir(), "tokens.json")}
	if err := os.WriteFile(f.Path, []byte(`[{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	g := access.NewGate(f, nil)
	if _, err := g.Check(t.Context(), "x"); err == nil || errors.Is(err, access.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, _, err := access.Create(t.Context(), f, "x", nil, nil, noon); err == nil {
		t.Error("written over")
	}
}

func TestInput(t *testing.T) {
	k := access.File{Path: filepath.Join(t.TempDir(), "tokens.json")}
	for _, name := range []string{"", "  ", strings.Repeat("x", 101)} {
		if _, _, err := access.Create(t.Context(), k, name, access.Scopes, nil, noon); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, err := access.ParseScopes([]string{"read", "admin"}); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("%v", err)
	}
	if got, err := access.ParseScopes(nil); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}
