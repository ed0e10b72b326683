package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"

	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

// sheet is a repeat: what was drawn, and where its results are kept.
type sheet struct {
	journal *journal
	repeat  int
	list    []*scenario.Scenario
}

// line is a result as the journal keeps it. It counts for the version of the scenario that it is of.
type line struct {
	Repeat           int
	Scenario, Digest string
	Cases            []wargame.SelfTestCase
}

type lineKey struct {
	repeat           int
	scenario, digest string
}

// journal keeps results in a file of JSON lines; without a file it keeps none.
type journal struct {
	mu    sync.Mutex // guards what follows
	file  *os.File
	known map[lineKey]line
}

func openJournal(path string) (*journal, error) {
	j := &journal{known: map[lineKey]line{}}
	if path == "" {
		return j, nil
	}
	var err error
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil { //nolint:gosec // whoever measures names it
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	lines := bufio.NewScanner(j.file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil { // the last one may be cut off
			j.known[lineKey{l.Repeat, l.Scenario, l.Digest}] = l
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return j, nil
}

func (j *journal) find(repeat int, s *scenario.Scenario) (wargame.SelfTest, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l, known := j.known[lineKey{repeat, s.ID, s.Digest}]
	return wargame.SelfTest{Scenario: s.ID, Cases: l.Cases}, known
}

func (j *journal) keep(repeat int, s *scenario.Scenario, got wargame.SelfTest) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	cases := slices.Clone(got.Cases)
	for i := range cases {
		cases[i].Gates = nil // the verdicts are what is compared
	}
	text, err := json.Marshal(line{repeat, s.ID, s.Digest, cases})
	if err == nil {
		_, err = j.file.Write(append([]byte{'\n'}, append(text, '\n')...)) // a line of its own, whatever was cut off before
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Close ends the journal.
func (j *journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
