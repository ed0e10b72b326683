package trail_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crisol"
	"crisol/internal/trail"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456789, time.UTC)

func clock() time.Time { return noon }

func logIn(t *testing.T) trail.File {
	t.Helper()
	return trail.File{Path: filepath.Join(t.TempDir(), "deep", "audit.log")}
}

// TestDo: a deed is logged before and after, with its failure; one that can't be logged isn't done.
func TestDo(t *testing.T) {
	l := logIn(t)
	did := 0
	if err := trail.Do(t.Context(), l, trail.Entry{Actor: "a\x00\xff", Act: "open"}, clock, func() error { did++; return nil }); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("it is stuck")
	if err := trail.Do(t.Context(), l, trail.Entry{Act: "close", Detail: []byte(`{"html": "<&>", "n": 1}`)}, clock, func() error { did++; return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	list, err := l.Read(t.Context(), 0, 10)
	if err != nil || len(list) != 4 || did != 2 {
		t.Fatalf("%d done, %v, %v", did, list, err)
	}
	told := ""
	for i, e := range list {
		told += fmt.Sprint(e.Seq, e.Act, " ", e.Outcome, e.Error, ";")
		if i > 0 && e.Previous != list[i-1].Digest {
			t.Errorf("entry %d doesn't follow", e.Seq)
		}
	}
	if told != "1open begun;2open done;3close begun;4close failedit is stuck;" {
		t.Error(told)
	}
	if n, head, err := trail.Verify(t.Context(), l); err != nil || n != 4 || head != list[3].Digest {
		t.Errorf("%d %s %v", n, head, err)
	}
	if rest, err := l.Read(t.Context(), 2, 1); err != nil || len(rest) != 1 || rest[0].Seq != 3 {
		t.Errorf("%v %v", rest, err)
	}

	full := trail.File{Path: "/dev/full/audit.log"}
	err = trail.Do(t.Context(), full, trail.Entry{Act: "open"}, clock, func() error { did++; return nil })
	if crisol.KindOf(err) != crisol.KindInfrastructure || did != 2 {
		t.Errorf("%d done, %v", did, err)
	}
}

// TestTorn: a line that the death of a process left unfinished goes, and the log stays whole.
func TestTorn(t *testing.T) {
	l := logIn(t)
	for _, act := range []string{"one", "two"} {
		if _, err := l.Append(t.Context(), trail.Entry{Act: act, Outcome: trail.Done}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(l.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"seq": 3, "act": "thr`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := l.Read(t.Context(), 0, 10); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	if e, err := l.Append(t.Context(), trail.Entry{Act: "three", Outcome: trail.Done}); err != nil || e.Seq != 3 {
		t.Errorf("%v %v", e, err)
	}
	if n, _, err := trail.Verify(t.Context(), l); err != nil || n != 3 {
		t.Errorf("%d %v", n, err)
	}
}

// TestVerify finds entries that were changed, removed, inserted or swapped.
func TestVerify(t *testing.T) {
	l := logIn(t)
	for i := range 5 {
		if _, err := l.Append(t.Context(), trail.Entry{Act: fmt.Sprint("deed ", i), Actor: "somebody", Outcome: trail.Done}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, c := range map[string]struct{ text, want string }{
		"changed":  {strings.Replace(string(text), "deed 2", "deed 9", 1), "entry 3 doesn't follow entry 2"},
		"removed":  {lines[0] + lines[2] + lines[3], "entry 3 doesn't follow entry 1"},
		"swapped":  {lines[0] + lines[2] + lines[1], "entry 3 doesn't follow entry 1"},
		"inserted": {lines[0] + lines[1] + lines[1], "doesn't follow"},
		"garbage":  {lines[0] + "{}}\n" + lines[1], "audit.log:2 can't be read"},
	} {
		if err := os.WriteFile(l.Path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := trail.Verify(t.Context(), l); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(l.Path, []byte(lines[0]+"{}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), trail.Entry{Act: "more"}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged log is written to: %v", err)
	}
}

// TestTogether: many write, and the log is whole.
func TestTogether(t *testing.T) {
	l := logIn(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				if _, err := l.Append(context.Background(), trail.Entry{Act: fmt.Sprint(i, " ", j), Outcome: trail.Done}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, _, err := trail.Verify(t.Context(), l); err != nil || n != 80 {
		t.Errorf("%d %v", n, err)
	}
}
