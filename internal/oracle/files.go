package oracle

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the sql oracle reads database files in process

	"crisol/internal/scenario"
)

// maxFile is how much of a file an oracle reads.
const maxFile = 16 << 20

// Files holds what was collected of the files that oracles look at, by path and by query.
type Files struct {
	contents map[string]content
	rows     map[scenario.SQL]row
}

type content struct {
	exists bool
	data   []byte
	err    error
}

type row struct {
	value string
	err   error
}

// Collect reads what the oracles need from the view that the processes left. It is hostile: root keeps symlinks inside.
func Collect(root *os.Root, oracles ...*scenario.Oracle) Files {
	f := Files{contents: map[string]content{}, rows: map[scenario.SQL]row{}}
	for _, o := range oracles {
		walk(o, func(o *scenario.Oracle) {
			if o.File != nil {
				f.contents[o.File.Path] = readFile(root, o.File.Path)
			}
			if o.SQL != nil {
				value, err := query(root, *o.SQL)
				f.rows[*o.SQL] = row{value, err}
			}
		})
	}
	return f
}

// Requests lists the HTTP oracles in the order in which Judge asks for their answers.
func Requests(o *scenario.Oracle) (list []scenario.HTTP) {
	walk(o, func(o *scenario.Oracle) {
		if o.HTTP != nil {
			list = append(list, *o.HTTP)
		}
	})
	return list
}

// SlowOf returns the slow oracle within o, or nil.
func SlowOf(o *scenario.Oracle) (slow *scenario.Slow) {
	walk(o, func(o *scenario.Oracle) {
		if slow == nil {
			slow = o.Slow
		}
	})
	return slow
}

// walk visits o and what is in it, in the order in which Judge evaluates.
func walk(o *scenario.Oracle, visit func(*scenario.Oracle)) {
	if o == nil {
		return
	}
	visit(o)
	for i := range o.All {
		walk(&o.All[i], visit)
	}
	for i := range o.Any {
		walk(&o.Any[i], visit)
	}
	walk(o.Not, visit)
}

func readFile(root *os.Root, path string) content {
	info, err := root.Lstat(filepath.FromSlash(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return content{}
	case err != nil:
		return content{err: err}
	case !info.Mode().IsRegular():
		return content{exists: true, err: fmt.Errorf("%s is not a regular file", path)}
	}
	file, err := root.Open(filepath.FromSlash(path))
	if err != nil {
		return content{exists: true, err: err}
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return content{exists: true, data: data, err: err}
}

func (j *judge) file(want *scenario.File) (Finding, error) {
	got, known := j.obs.Files.contents[want.Path]
	switch {
	case !known:
		return Finding{}, fmt.Errorf("file %s was not looked at", want.Path)
	case want.Absent:
		if got.err != nil && !got.exists {
			return Finding{}, got.err
		}
		return Finding{!got.exists, fmt.Sprintf("file %s %s", want.Path, presence(got.exists))}, nil
	case got.err != nil && (!got.exists || want.Contains != "" || want.SHA256 != ""):
		return Finding{}, got.err
	case !got.exists:
		return Finding{false, fmt.Sprintf("file %s is absent", want.Path)}, nil
	}
	contains := strings.ReplaceAll(want.Contains, "${token}", j.obs.Token)
	if !strings.Contains(string(got.data), contains) {
		return Finding{false, fmt.Sprintf("file %s lacks %q", want.Path, want.Contains)}, nil
	}
	if sum := sha256.Sum256(got.data); want.SHA256 != "" && !strings.EqualFold(want.SHA256, hex.EncodeToString(sum[:])) {
		return Finding{false, fmt.Sprintf("file %s has another digest", want.Path)}, nil
	}
	return Finding{true, fmt.Sprintf("file %s exists", want.Path)}, nil
}

func presence(exists bool) string {
	if exists {
		return "exists"
	}
	return "is absent"
}

func (j *judge) sql(want *scenario.SQL) (Finding, error) {
	got, known := j.obs.Files.rows[*want]
	switch {
	case !known:
		return Finding{}, fmt.Errorf("database %s was not looked at", want.File)
	case got.err != nil:
		return Finding{}, got.err
	}
	return Finding{got.value == want.Equal, fmt.Sprintf("%q in %s gives %q (wanted %q)", want.Query, want.File, got.value, want.Equal)}, nil
}

// query copies the database (and its write-ahead log) out of the view and asks the copy, read-only.
func query(root *os.Root, want scenario.SQL) (string, error) {
	dir, err := os.MkdirTemp("", "crisol-sql-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the database: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, suffix := range []string{"", "-wal"} {
		part := readFile(root, want.File+suffix)
		if part.err != nil {
			return "", fmt.Errorf("read database %s: %w", want.File, part.err)
		}
		if !part.exists && suffix == "" {
			return "", fmt.Errorf("database %s is absent", want.File)
		}
		if part.exists {
			if err := os.WriteFile(filepath.Join(dir, "db"+suffix), part.data, 0o600); err != nil {
				return "", fmt.Errorf("copy database %s: %w", want.File, err)
			}
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+"?_pragma=query_only(1)&_pragma=trusted_schema(0)")
	if err != nil {
		return "", fmt.Errorf("open database %s: %w", want.File, err)
	}
	defer func() { _ = db.Close() }()
	var value sql.NullString
	if err := db.QueryRow(want.Query).Scan(&value); err != nil {
		return "", fmt.Errorf("query database %s: %w", want.File, err)
	}
	return value.String, nil
}
