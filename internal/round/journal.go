package round

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/wargame"
)

// A journal is a file of one JSON document a line, named by the terms of its round: first the terms, then each result
// as it comes. It is locked while a round writes it and removed when the round has come to its end, so that one that
// lies there unlocked is of a round that was interrupted, in whatever way. A line that was cut off is not believed.
type journal struct {
	log *slog.Logger

	mu   sync.Mutex // guards file
	file *os.File   // nil keeps nothing
}

type heading struct {
	Terms     string    `json:"terms"`
	Selection string    `json:"selection"`
	Repeat    int       `json:"repeat"`
	Started   time.Time `json:"started"`
}

// staleAfter is when the journal of a round that nobody went on with is removed.
const staleAfter = 14 * 24 * time.Hour

// openJournal opens the journal of o's terms and returns the results to go on from, by the scenarios' digests.
func openJournal(o Options) (*journal, map[string]wargame.SelfTest, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, nil, crisol.Errorf(crisol.KindInfrastructure, "make the folder of journals: %w", err)
	}
	sweep(o)
	file, err := os.OpenFile(filepath.Join(o.Dir, o.key()+".jsonl"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, crisol.Errorf(crisol.KindInfrastructure, "open the journal: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if o.Resume {
			err := crisol.Errorf(crisol.KindInput, "another process is at this round already")
			return nil, nil, crisol.WithHint(err, "wait for it, or leave out --resume")
		}
		o.Log.Warn("another process is at the same round: this one can't be resumed")
		return &journal{log: o.Log}, nil, nil
	}
	j := &journal{log: o.Log, file: file}
	known, err := j.begin(o)
	if err != nil {
		return nil, nil, errors.Join(crisol.Errorf(crisol.KindInfrastructure, "begin the journal: %w", err), file.Close())
	}
	return j, known, nil
}

// key names a journal by its terms.
func (o Options) key() string {
	sum := sha256.New()
	for _, fact := range []string{Schema, o.Terms, o.Selection, fmt.Sprint(o.Repeat)} {
		_, _ = fmt.Fprintf(sum, "%d:%s\n", len(fact), fact)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// begin reads what there is to resume, and leaves the file behind the last whole line.
func (j *journal) begin(o Options) (map[string]wargame.SelfTest, error) {
	if o.Resume {
		known, end, err := readJournal(j.file)
		if err != nil {
			return nil, err
		}
		if err := j.cut(end); err != nil || end > 0 {
			return known, err
		}
	}
	if err := j.cut(0); err != nil {
		return nil, err
	}
	return nil, j.write(heading{o.Terms, o.Selection, o.Repeat, o.Now()})
}

func (j *journal) cut(at int64) error {
	if err := j.file.Truncate(at); err != nil {
		return err
	}
	_, err := j.file.Seek(at, io.SeekStart)
	return err
}

// readJournal returns the results of a journal and where its last whole line ends; 0 says that there is none.
func readJournal(from io.Reader) (known map[string]wargame.SelfTest, end int64, err error) {
	known = map[string]wargame.SelfTest{}
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return known, end, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var got wargame.SelfTest
		if !json.Valid(line) {
			return known, end, nil
		}
		if err := json.Unmarshal(line, &got); err == nil && got.Digest != "" {
			known[got.Digest] = got
		}
		end += int64(len(line))
	}
}

// add keeps a result. What can't be kept costs time later: it is logged.
func (j *journal) add(got wargame.SelfTest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return
	}
	if err := j.write(got); err != nil {
		j.log.Warn("keep a result for --resume", "error", err)
	}
}

// write appends a line and sees to it that it is on the disk.
func (j *journal) write(document any) error {
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(document); err != nil {
		return err
	}
	_, err := j.file.Write(line.Bytes())
	return errors.Join(err, j.file.Sync())
}

// close ends the journal; that of a complete round is removed.
func (j *journal) close(complete bool) {
	if j.file == nil {
		return
	}
	if complete {
		if err := os.Remove(j.file.Name()); err != nil {
			j.log.Warn("remove the journal", "error", err)
		}
	}
	_ = j.file.Close() // every line is on the disk
}

// sweep removes the journals that nobody went on with.
func sweep(o Options) {
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		o.Log.Warn("list the journals", "error", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || o.Now().Sub(info.ModTime()) < staleAfter {
			continue
		}
		if err := os.Remove(filepath.Join(o.Dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.Log.Warn("remove an old journal", "error", err)
		}
	}
}
