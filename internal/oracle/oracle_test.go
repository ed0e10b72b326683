package oracle_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"crisol/internal/oracle"
	"crisol/internal/scenario"
)

func number(n int) *int { return &n }

const asan = `=================================================================
==12==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000011 at pc 0x5 bp 0x7 sp 0x7
READ of size 1 at 0x602000000011 thread T0
    #0 0x55d1 in copy_field /work/app/parse.c:31
    #1 0x55d2 in parse_record /work/app/parse.c:58
    #2 0x55d3 in main /work/app/main.c:12

0x602000000011 is located 0 bytes to the right of 1-byte region
allocated by thread T0 here:
    #0 0x7f1 in malloc
SUMMARY: AddressSanitizer: heap-buffer-overflow /work/app/parse.c:31 in copy_field
`

func TestJudge(t *testing.T) {
	second := time.Second
	slow := &scenario.Slow{Sizes: []int{10, 100}}
	for _, c := range []struct {
		name   string
		o      scenario.Oracle
		obs    oracle.Observation
		want   bool
		untold bool
	}{
		{"exit as wanted", scenario.Oracle{Exit: number(0)}, oracle.Observation{}, true, false},
		{"another exit", scenario.Oracle{Exit: number(0)}, oracle.Observation{Exit: 1}, false, false},
		{"ended by a limit before it could exit", scenario.Oracle{Exit: number(137)}, oracle.Observation{Exit: 137, Stopped: "wall"}, false, true},
		{"an empty oracle tells nothing", scenario.Oracle{}, oracle.Observation{}, false, true},
		{"stdout contains", scenario.Oracle{Stdout: &scenario.Text{Contains: "b"}}, oracle.Observation{Stdout: "abc"}, true, false},
		{"stdout lacks", scenario.Oracle{Stdout: &scenario.Text{Contains: "x"}}, oracle.Observation{Stdout: "abc"}, false, false},
		{"the token", scenario.Oracle{Stdout: &scenario.Text{Contains: "ok ${token}"}}, oracle.Observation{Stdout: "ok s3cret", Token: "s3cret"}, true, false},
		{"the token's name is not the token", scenario.Oracle{Stdout: &scenario.Text{Contains: "ok ${token}"}}, oracle.Observation{Stdout: "ok ${token}", Token: "s3cret"}, false, false},
		{"stderr matches", scenario.Oracle{Stderr: &scenario.Text{Matches: "^ab?c$"}}, oracle.Observation{Stderr: "abc"}, true, false},
		{"stderr doesn't match", scenario.Oracle{Stderr: &scenario.Text{Matches: "^c"}}, oracle.Observation{Stderr: "abc"}, false, false},
		{"the token is no expression", scenario.Oracle{Stdout: &scenario.Text{Matches: "^${token}$"}}, oracle.Observation{Stdout: "a.c", Token: "a.c"}, true, false},
		{"a broken expression", scenario.Oracle{Stdout: &scenario.Text{Matches: "("}}, oracle.Observation{}, false, true},
		{"both must hold", scenario.Oracle{Exit: number(0), Stdout: &scenario.Text{Contains: "x"}}, oracle.Observation{Stdout: "x"}, true, false},
		{"one of two fails", scenario.Oracle{Exit: number(0), Stdout: &scenario.Text{Contains: "x"}}, oracle.Observation{Exit: 1, Stdout: "x"}, false, false},
		{"one that fails outweighs one that can't tell", scenario.Oracle{All: []scenario.Oracle{{File: &scenario.File{Path: "f"}}, {Exit: number(1)}}}, oracle.Observation{}, false, false},
		{"one that can't tell is no proof", scenario.Oracle{All: []scenario.Oracle{{File: &scenario.File{Path: "f"}}, {Exit: number(0)}}}, oracle.Observation{}, false, true},
		{"any", scenario.Oracle{Any: []scenario.Oracle{{Exit: number(1)}, {Exit: number(0)}}}, oracle.Observation{}, true, false},
		{"none of any", scenario.Oracle{Any: []scenario.Oracle{{Exit: number(1)}, {Exit: number(2)}}}, oracle.Observation{}, false, false},
		{"any that can't tell", scenario.Oracle{Any: []scenario.Oracle{{Exit: number(1)}, {File: &scenario.File{Path: "f"}}}}, oracle.Observation{}, false, true},
		{"not", scenario.Oracle{Not: &scenario.Oracle{Exit: number(1)}}, oracle.Observation{}, true, false},
		{"not what can't be told", scenario.Oracle{Not: &scenario.Oracle{File: &scenario.File{Path: "f"}}}, oracle.Observation{}, false, true},
		{"called", scenario.Oracle{Callback: &scenario.Text{}}, oracle.Observation{Hits: []string{"GET /x HTTP/1.1\r\n\r\n"}}, true, false},
		{"not called", scenario.Oracle{Callback: &scenario.Text{}}, oracle.Observation{}, false, false},
		{"called as wanted", scenario.Oracle{Callback: &scenario.Text{Contains: "/y"}}, oracle.Observation{Hits: []string{"GET /x", "GET /y"}}, true, false},
		{"called otherwise", scenario.Oracle{Callback: &scenario.Text{Contains: "/z"}}, oracle.Observation{Hits: []string{"GET /x"}}, false, false},
		{"a sanitizer's report", scenario.Oracle{Crash: &scenario.Crash{Sanitizer: "heap-buffer-overflow", Frames: []string{"copy_field", "main"}}}, oracle.Observation{Exit: 1, Stderr: asan}, true, false},
		{"of another kind", scenario.Oracle{Crash: &scenario.Crash{Sanitizer: "heap-use-after-free"}}, oracle.Observation{Exit: 1, Stderr: asan}, false, false},
		{"in another place", scenario.Oracle{Crash: &scenario.Crash{Frames: []string{"main", "copy_field"}}}, oracle.Observation{Exit: 1, Stderr: asan}, false, false},
		{"a double free", scenario.Oracle{Crash: &scenario.Crash{Sanitizer: "double-free"}}, oracle.Observation{Exit: 1, Stderr: "==7==ERROR: AddressSanitizer: attempting double-free on 0x602000000010 in thread T0:"}, true, false},
		{"undefined behaviour", scenario.Oracle{Crash: &scenario.Crash{}}, oracle.Observation{Stderr: "a.c:1:2: runtime error: signed integer overflow"}, true, false},
		{"a signal", scenario.Oracle{Crash: &scenario.Crash{Signal: "SIGSEGV"}}, oracle.Observation{Exit: 139, Signal: "SIGSEGV"}, true, false},
		{"another signal", scenario.Oracle{Crash: &scenario.Crash{Signal: "SIGSEGV"}}, oracle.Observation{Exit: 134, Signal: "SIGABRT"}, false, false},
		{"any crash", scenario.Oracle{Crash: &scenario.Crash{}}, oracle.Observation{Exit: 134, Signal: "SIGABRT"}, true, false},
		{"a kill from outside is no crash", scenario.Oracle{Crash: &scenario.Crash{}}, oracle.Observation{Exit: 137, Signal: "SIGKILL", Stopped: "wall"}, false, false},
		{"no crash", scenario.Oracle{Crash: &scenario.Crash{}}, oracle.Observation{Exit: 1}, false, false},
		{"slow", scenario.Oracle{Slow: slow}, oracle.Observation{Series: []oracle.Pair{{Size: 10, Hostile: second / 20, Harmless: second / 20}, {Size: 100, Hostile: 2 * second, Harmless: second / 20}}}, true, false},
		{"not slow", scenario.Oracle{Slow: slow}, oracle.Observation{Series: []oracle.Pair{{Size: 10, Hostile: second / 20, Harmless: second / 20}, {Size: 100, Hostile: second / 10, Harmless: second / 20}}}, false, false},
		{"slow at every size: no growth", scenario.Oracle{Slow: slow}, oracle.Observation{Series: []oracle.Pair{{Size: 10, Hostile: second, Harmless: second / 20}, {Size: 100, Hostile: second, Harmless: second / 20}}}, false, false},
		{"another factor", scenario.Oracle{Slow: &scenario.Slow{Sizes: []int{1}, Factor: 1.5}}, oracle.Observation{Series: []oracle.Pair{{Size: 1, Hostile: second, Harmless: second / 2}}}, true, false},
		{"stopped", scenario.Oracle{Slow: slow}, oracle.Observation{Stopped: "cpu", Series: []oracle.Pair{{Size: 100, Hostile: 5 * second, HostileStopped: true, Harmless: second / 20}}}, true, false},
		{"both stopped", scenario.Oracle{Slow: slow}, oracle.Observation{Series: []oracle.Pair{{Size: 100, HostileStopped: true, HarmlessStopped: true}}}, false, true},
		{"no series", scenario.Oracle{Slow: slow}, oracle.Observation{}, false, true},
		{"answered as wanted", scenario.Oracle{HTTP: &scenario.HTTP{Status: 200, Header: map[string]string{"Content-Type": "html"}, Matches: "pwned", Lacks: "denied"}}, oracle.Observation{Answers: []oracle.Answer{{Status: 200, Header: map[string][]string{"content-type": {"text/html"}}, Body: "pwned"}}}, true, false},
		{"another status", scenario.Oracle{HTTP: &scenario.HTTP{Status: 200}}, oracle.Observation{Answers: []oracle.Answer{{Status: 403}}}, false, false},
		{"another header", scenario.Oracle{HTTP: &scenario.HTTP{Header: map[string]string{"X": "y"}}}, oracle.Observation{Answers: []oracle.Answer{{Status: 200}}}, false, false},
		{"another body", scenario.Oracle{HTTP: &scenario.HTTP{Matches: "x"}}, oracle.Observation{Answers: []oracle.Answer{{Status: 200}}}, false, false},
		{"a body that must not be", scenario.Oracle{HTTP: &scenario.HTTP{Lacks: "x"}}, oracle.Observation{Answers: []oracle.Answer{{Status: 200, Body: "x"}}}, false, false},
		{"no answer", scenario.Oracle{HTTP: &scenario.HTTP{}}, oracle.Observation{Answers: []oracle.Answer{{Error: "refused"}}}, false, true},
		{"no request", scenario.Oracle{HTTP: &scenario.HTTP{}}, oracle.Observation{}, false, true},
		{"answers in order", scenario.Oracle{All: []scenario.Oracle{{HTTP: &scenario.HTTP{Status: 1}}, {HTTP: &scenario.HTTP{Status: 2}}}}, oracle.Observation{Answers: []oracle.Answer{{Status: 1}, {Status: 2}}}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := oracle.Judge(&c.o, &c.obs)
			if (err != nil) != c.untold {
				t.Fatalf("error %v, want one: %v", err, c.untold)
			}
			if err == nil && got.Holds != c.want {
				t.Errorf("holds: %v (%s)", got.Holds, got.Words)
			}
			if err == nil && got.Words == "" {
				t.Error("no words")
			}
		})
	}
}

func TestRequestsAndSlow(t *testing.T) {
	o := &scenario.Oracle{All: []scenario.Oracle{{HTTP: &scenario.HTTP{URL: "a"}}, {Not: &scenario.Oracle{HTTP: &scenario.HTTP{URL: "b"}}}}, Any: []scenario.Oracle{{Slow: &scenario.Slow{Factor: 7}}}}
	if got := oracle.Requests(o); len(got) != 2 || got[0].URL != "a" || got[1].URL != "b" {
		t.Errorf("requests %v", got)
	}
	if got := oracle.SlowOf(o); got == nil || got.Factor != 7 {
		t.Errorf("slow %v", got)
	}
	if oracle.SlowOf(nil) != nil {
		t.Error("nothing is not slow")
	}
}

// TestFiles looks at a view as hostile programs leave it.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("marker", "proof s3cret")
	write("large", strings.Repeat("x", 17<<20))
	for name, target := range map[string]string{"link": "/etc/passwd", "inside": "marker"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	sum := sha256.Sum256([]byte("proof s3cret"))
	for _, c := range []struct {
		file   scenario.File
		want   bool
		untold bool
	}{
		{scenario.File{Path: "marker", Exists: true}, true, false},
		{scenario.File{Path: "none", Exists: true}, false, false},
		{scenario.File{Path: "none", Absent: true}, true, false},
		{scenario.File{Path: "marker", Absent: true}, false, false},
		{scenario.File{Path: "marker", Contains: "${token}"}, true, false},
		{scenario.File{Path: "marker", Contains: "other"}, false, false},
		{scenario.File{Path: "marker", SHA256: hex.EncodeToString(sum[:])}, true, false},
		{scenario.File{Path: "marker", SHA256: strings.Repeat("0", 64)}, false, false},
		{scenario.File{Path: "link", Exists: true}, true, false},
		{scenario.File{Path: "link", Contains: "root"}, false, true},
		{scenario.File{Path: "inside", Contains: "proof"}, false, true},
		{scenario.File{Path: "folder", Contains: "x"}, false, true},
		{scenario.File{Path: "large", Contains: "x"}, false, true},
		{scenario.File{Path: "../up", Exists: true}, false, true},
		{scenario.File{Path: "../up", Absent: true}, false, true},
	} {
		o := &scenario.Oracle{File: &c.file}
		obs := oracle.Observation{Token: "s3cret", Files: oracle.Collect(root, o, nil)}
		got, err := oracle.Judge(o, &obs)
		if (err != nil) != c.untold || (err == nil && got.Holds != c.want) {
			t.Errorf("%+v: %+v, %v; want %v, untold %v", c.file, got, err, c.want, c.untold)
		}
	}
}

func TestSQL(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("pragma journal_mode=wal; create table users(name text); insert into users values('eve')"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // open: the rows are still in the write-ahead log
	if err := os.WriteFile(filepath.Join(dir, "bad.db"), []byte("not a database, but long enough to be read as one......"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for _, c := range []struct {
		sql    scenario.SQL
		want   bool
		untold bool
	}{
		{scenario.SQL{File: "app.db", Query: "select count(*) from users where name='eve'", Equal: "1"}, true, false},
		{scenario.SQL{File: "app.db", Query: "select count(*) from users", Equal: "2"}, false, false},
		{scenario.SQL{File: "app.db", Query: "select nothing", Equal: "2"}, false, true},
		{scenario.SQL{File: "app.db", Query: "delete from users returning name", Equal: "eve"}, false, true},
		{scenario.SQL{File: "none.db", Query: "select 1", Equal: "1"}, false, true},
		{scenario.SQL{File: "bad.db", Query: "select 1 from users", Equal: "1"}, false, true},
	} {
		o := &scenario.Oracle{SQL: &c.sql}
		got, err := oracle.Judge(o, &oracle.Observation{Files: oracle.Collect(root, o)})
		if (err != nil) != c.untold || (err == nil && got.Holds != c.want) {
			t.Errorf("%+v: %+v, %v", c.sql, got, err)
		}
	}
	o := &scenario.Oracle{SQL: &scenario.SQL{File: "app.db"}}
	if _, err := oracle.Judge(o, &oracle.Observation{}); err == nil {
		t.Error("a database that nobody looked at must be an error")
	}
}
