// Package advisory reads a security advisory, as an OSV record, and says what a scenario about it begins with.
//
// In goes a file, or an identifier and a directory of records; out come the options of scenario.New: names, class,
// severity, the highest version that is affected and the one that fixes it. The package writes nothing and asks a
// registry only through the function that it is given.
package advisory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"crisol"
)

// maxBytes bounds a record; the largest known ones have a few hundred KiB.
const maxBytes = 16 << 20

// Record is the part of an OSV record that a scenario begins with (https://ossf.github.io/osv-schema).
type Record struct {
	ID        string     `json:"id"`
	Aliases   []string   `json:"aliases"`
	Withdrawn *time.Time `json:"withdrawn"`
	Summary   string     `json:"summary"`
	Details   string     `json:"details"`
	Severity  []Score    `json:"severity"`
	Affected  []Affected `json:"affected"`
	Specific  struct {
		CWE      []string `json:"cwe_ids"`
		Severity string   `json:"severity"`
	} `json:"database_specific"`

	file string
}

// Score is a CVSS vector.
type Score struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// Affected says which versions of a package are affected.
type Affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges   []Range  `json:"ranges"`
	Versions []string `json:"versions"`
	Severity []Score  `json:"severity"`
	Specific struct {
		LastKnown string `json:"last_known_affected_version_range"`
	} `json:"database_specific"`
}

// Range holds the events of a line of versions.
type Range struct {
	Type   string  `json:"type"`
	Events []Event `json:"events"`
}

// Event begins or ends what is affected; one field is set.
type Event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
}

// Read reads the record in a file.
func Read(file string) (*Record, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the advisory: %w", err)
	}
	return parse(file, text)
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBytes {
		return nil, fmt.Errorf("%s is not a file of at most %d MiB", file, maxBytes>>20)
	}
	return os.ReadFile(file)
}

func parse(file string, text []byte) (*Record, error) {
	r := &Record{file: file}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, malformed(file, text, err)
	}
	if r.ID == "" {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s: id is missing", file), "%s", hintRecord)
	}
	return r, nil
}

const hintRecord = "an advisory is one OSV record, a JSON document with id, affected and so on"

// malformed says where a record is wrong.
func malformed(file string, text []byte, err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		what := "the record"
		if wrongType.Field != "" {
			what = wrongType.Field
		}
		err = crisol.Errorf(crisol.KindInput, "%s:%d: %s: %s is not the right type here", file, line(text, wrongType.Offset), what, article(wrongType.Value))
	case errors.As(err, &syntax):
		err = crisol.Errorf(crisol.KindInput, "%s:%d: not JSON: %w", file, line(text, syntax.Offset), err)
	default:
		err = crisol.Errorf(crisol.KindInput, "%s: %w", file, err)
	}
	return crisol.WithHint(err, "%s", hintRecord)
}

func line(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
}

func article(word string) string {
	word, _, _ = strings.Cut(word, " ") // "number 3"
	if strings.ContainsAny(word[:1], "aeiou") {
		return "an " + word
	}
	return "a " + word
}

// An identifier is compared with file names, and never opened as one.
var idForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9][A-Za-z0-9._:-]*$`)

// IsID says whether text is an advisory's identifier rather than a file's name.
func IsID(text string) bool { return idForm.MatchString(text) && !strings.HasSuffix(text, ".json") }

// Find reads the record of an identifier from a directory of records, at whatever depth: ID.json, else one that names it
// among its aliases.
func Find(dir, id string) (*Record, error) {
	var named, rest []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type().IsRegular() && strings.EqualFold(d.Name(), id+".json"):
			named = append(named, path)
		case d.Type().IsRegular() && strings.HasSuffix(d.Name(), ".json"):
			rest = append(rest, path)
		}
		return nil
	})
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "look through the advisories: %w", err)
	}
	if len(named) > 0 {
		return Read(named[0])
	}
	for _, file := range rest {
		if r := withAlias(file, id); r != nil {
			return r, nil
		}
	}
	err = crisol.Errorf(crisol.KindNotFound, "there is no advisory %s among the %d records in %s", id, len(rest), dir)
	return nil, crisol.WithHint(err, "fetch its record (an OSV JSON document) and name the file with --from")
}

// withAlias reads a record if it has an alias; one that can't be read has none.
func withAlias(file, id string) *Record {
	text, err := readFile(file)
	if err != nil || !bytes.Contains(text, []byte(`"`+id+`"`)) {
		return nil
	}
	r, err := parse(file, text)
	if err != nil || !slices.Contains(r.Aliases, id) {
		return nil
	}
	return r
}
