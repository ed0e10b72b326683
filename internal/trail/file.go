package trail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"crisol"
)

// File is a log in a file of JSON lines, which several processes of one machine may append to.
type File struct{ Path string }

// maxLine bounds an entry, in bytes.
const maxLine = 1 << 20

var _ Log = File{}

// Append adds an entry. A last line that the death of a process left unfinished was never told to be kept, and goes.
func (f File) Append(_ context.Context, e Entry) (Entry, error) {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return e, f.fault("write", err)
	}
	file, err := os.OpenFile(f.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return e, f.fault("write", err)
	}
	defer func() { _ = file.Close() }() // the lock goes with it; what counts has been synced
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return e, f.fault("lock", err)
	}
	last, end, err := f.last(file)
	if err != nil {
		return e, err
	}
	if e, err = e.Follow(last); err != nil {
		return e, err
	}
	line, err := json.Marshal(e)
	if err != nil || len(line) >= maxLine {
		return e, crisol.Errorf(crisol.KindInternal, "an audit entry of %d bytes can't be kept: %w", len(line), err)
	}
	if err := file.Truncate(end); err != nil {
		return e, f.fault("write", err)
	}
	if _, err := file.WriteAt(append(line, '\n'), end); err != nil {
		return e, f.fault("write", errors.Join(err, file.Truncate(end)))
	}
	return e, f.fault("sync", file.Sync())
}

// last finds the last whole line and where it ends.
func (f File) last(file *os.File) (e Entry, end int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return e, 0, f.fault("read", err)
	}
	tail := make([]byte, min(info.Size(), 2*maxLine))
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return e, 0, f.fault("read", err)
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	end = info.Size() - int64(len(tail)) + int64(whole)
	if whole == 0 {
		if end > 0 {
			return e, 0, crisol.Errorf(crisol.KindInfrastructure, "the audit log %s is damaged: its last line has no end", f.Path)
		}
		return e, 0, nil
	}
	line := tail[:whole-1]
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if err := json.Unmarshal(line, &e); err != nil {
		return e, 0, crisol.Errorf(crisol.KindInfrastructure, "the audit log %s is damaged: its last line can't be read: %w", f.Path, err)
	}
	return e, end, nil
}

// Read returns entries. A last line without an end isn't kept yet.
func (f File) Read(_ context.Context, after int64, limit int) ([]Entry, error) {
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.fault("read", err)
	}
	defer func() { _ = file.Close() }()
	var list []Entry
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := 1; len(list) < limit; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, f.fault("read", err)
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return list, crisol.Errorf(crisol.KindInfrastructure, "the audit log is damaged: %s:%d can't be read: %w", f.Path, n, err)
		}
		if e.Seq > after {
			list = append(list, e)
		}
	}
	return list, nil
}

func (f File) fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s the audit log %s: %w", doing, f.Path, err), "make %s writable", filepath.Dir(f.Path))
}
