package corpus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"crisol"
)

// Read yields the candidates of a corpus in the order of the file, one in memory at a time. A candidate that was tried
// again occurs again: its last line counts. It ends at a last line that was cut off; any other line that is no candidate
// is an error.
func Read(r io.Reader) iter.Seq2[Candidate, error] {
	return func(yield func(Candidate, error) bool) {
		lines := bufio.NewReaderSize(r, 1<<16)
		for n := 1; ; n++ {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			var c Candidate
			if err == nil {
				err = json.Unmarshal(line, &c)
			}
			if err == nil && c.ID == "" {
				err = errors.New("it has no id")
			}
			if err != nil {
				yield(Candidate{}, crisol.Errorf(crisol.KindInput, "read the corpus: line %d: %w", n, err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// file is a corpus that is written to. It is locked, so that two builds can't mix their lines.
type file struct {
	mu    sync.Mutex // guards what follows
	f     *os.File
	known map[string]crisol.Verdict // by candidate
}

// openFile opens the corpus at path. Without resume it must not hold anything yet.
func openFile(path string, resume bool) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "make the corpus's folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "open the corpus: %w", err)
	}
	opened, err := begin(f, resume)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return opened, nil
}

func begin(f *os.File, resume bool) (*file, error) {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "another process writes to %s", f.Name())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "open the corpus: %w", err)
	}
	if info.Size() > 0 && !resume {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s holds a corpus already", f.Name()), "go on with it by --resume, or name another file")
	}
	known := map[string]crisol.Verdict{}
	for c, err := range Read(f) {
		if err != nil {
			return nil, err
		}
		if known[c.ID] = c.Verdict; c.Verdict == Failed {
			delete(known, c.ID) // it is tried again
		}
	}
	if err := cut(f); err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "open the corpus: %w", err)
	}
	return &file{f: f, known: known}, nil
}

// cut takes away a last line that was not written to its end, and goes there.
func cut(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<16)
	for end > 0 {
		from := max(0, end-int64(len(block)))
		n, err := f.ReadAt(block[:end-from], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if at := bytes.LastIndexByte(block[:n], '\n'); at >= 0 {
			end = from + int64(at) + 1
			break
		}
		end = from
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}

// verdict returns what is known of a candidate.
func (x *file) verdict(id string) (crisol.Verdict, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v, ok := x.known[id]
	return v, ok
}

// add appends a candidate as one line and sees to it that it is on the disk.
func (x *file) add(c Candidate) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(c); err != nil {
		return crisol.Errorf(crisol.KindInternal, "write a candidate: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	_, err := x.f.Write(line.Bytes())
	if err := errors.Join(err, x.f.Sync()); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "write to the corpus: %w", err)
	}
	if c.Verdict != Failed {
		x.known[c.ID] = c.Verdict
	}
	return nil
}

func (x *file) close() error { return x.f.Close() }
