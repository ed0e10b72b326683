package spool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"crisol"
	"crisol/internal/store"
)

// A line of the journal is a checksum in hex (CRC-32C), a space, the entry as JSON and a line feed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const prefix = 9 // eight digits and a space

func encode(e store.Entry) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "write an answer to the journal: %w", err)
	}
	line := make([]byte, 0, prefix+len(text)+1)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(text, castagnoli))
	return append(append(line, text...), '\n'), nil
}

// decode reads one line without its line feed.
func decode(line []byte) (e store.Entry, err error) {
	if len(line) < prefix || line[prefix-1] != ' ' {
		return e, errors.New("it has no checksum")
	}
	sum, err := strconv.ParseUint(string(line[:prefix-1]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[prefix:], castagnoli) {
		return e, errors.New("its checksum is another")
	}
	if err := json.Unmarshal(line[prefix:], &e); err != nil {
		return e, err
	}
	if e.ABTest != nil && string(e.ABTest.Features) == "null" {
		e.ABTest.Features = nil
	}
	for i := range e.Events {
		if string(e.Events[i].Body) == "null" {
			e.Events[i].Body = nil
		}
	}
	return e, e.Check()
}

// load reads the segments that the last process left, the oldest first.
func (s *Spool) load(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*.journal"))
	if err != nil {
		return crisol.Errorf(crisol.KindInternal, "find the journal: %w", err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		seg, err := s.read(path)
		if err != nil {
			return crisol.Errorf(crisol.KindInfrastructure, "read the journal %s: %w", path, err)
		}
		s.closed = append(s.closed, seg)
		s.bytes += seg.bytes
		for _, e := range seg.entries {
			s.remember(e)
		}
	}
	if n, _ := s.Waiting(); n > 0 {
		s.Logger.InfoContext(ctx, "the last process left answers in the journal; they are recorded now", "count", n)
	}
	return nil
}

// read reads a segment. A last line without an end was never answered. Any other that can't be read is set aside.
func (s *Spool) read(path string) (*segment, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	seg := &segment{path: path}
	in := bufio.NewReaderSize(file, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		seg.bytes += int64(len(line))
		if errors.Is(err, io.EOF) {
			return seg, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := decode(bytes.TrimSuffix(line, []byte{'\n'}))
		if err != nil {
			s.Logger.Error("a line of the journal can't be read, and is set aside", "path", path, "error", err, "aside", s.refused())
			if err := appendTo(s.refused(), []byte(strings.ToValidUTF8(string(line), "?"))); err != nil {
				return nil, err
			}
			continue
		}
		seg.entries = append(seg.entries, &e)
	}
}
