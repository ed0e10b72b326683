package experiment

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"crisol"
	"crisol/internal/certify"
)

// snapshot is how a fold is written.
type snapshot struct {
	Version int        `json:"version"`
	Alpha   float64    `json:"alpha"`
	Delta   float64    `json:"delta"`
	Seq     int64      `json:"seq"`
	Judged  time.Time  `json:"judged"`
	Held    []Label    `json:"held"`
	Sides   []sideSnap `json:"sides"`
}

type sideSnap struct {
	Model     string                  `json:"model"`
	Side      certify.Side            `json:"side"`
	State     State                   `json:"state"`
	Online    bool                    `json:"online"`
	Threshold float64                 `json:"threshold"`
	Newest    time.Time               `json:"newest"`
	Since     time.Time               `json:"since"`
	Last      Event                   `json:"last"`
	Earn      certify.EProcess        `json:"earn"`
	Guard     certify.ShiryaevRoberts `json:"guard"`
	Requests  []digest                `json:"requests"`
	Groups    []digest                `json:"groups"`
	Attempts  int                     `json:"attempts"`
	Tally     Tally                   `json:"tally"`
}

const snapshotVersion = 1

// MarshalText writes the digest in hexadecimal.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *digest) UnmarshalText(b []byte) error {
	read, err := hex.DecodeString(string(b))
	if err != nil || len(read) != len(d) {
		return crisol.Errorf(crisol.KindInput, "digest %q: want %d hexadecimal digits", b, 2*len(d))
	}
	copy(d[:], read)
	return nil
}

// Snapshot writes the fold so that labels up to Seq may be deleted: folding those after it onto the snapshot gives what
// folding all of them gives. A fold that begins anew without the labels that demoted a side would trust it again.
func (t *Trust) Snapshot() ([]byte, error) {
	written := snapshot{Version: snapshotVersion, Alpha: t.design.Alpha, Delta: t.design.Delta, Seq: t.seq, Judged: t.judged, Held: t.held}
	for _, status := range t.Statuses() {
		s := t.sides[key{status.Model, status.Side}]
		written.Sides = append(written.Sides, sideSnap{
			Model: s.model, Side: s.side, State: s.state, Online: s.online, Threshold: s.threshold, Newest: s.newest, Since: s.since, Last: s.changed,
			Earn: s.earn, Guard: s.guard, Requests: sorted(s.requests), Groups: sorted(s.groups), Attempts: s.attempts, Tally: s.tally,
		})
	}
	b, err := json.Marshal(written)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "write trust: %w", err)
	}
	return b, nil
}

// Restore goes on with a fold that was written by Snapshot. Where the design's alpha or delta is another one now, evidence
// was gathered for something else: it is dropped, and a side that had earned its certificate is back in Shadow. A side that
// was demoted stays so.
func Restore(written []byte, design Design, priors ...Prior) (*Trust, error) {
	t, err := NewTrust(design, priors...)
	if err != nil {
		return nil, err
	}
	var read snapshot
	if err := json.Unmarshal(written, &read); err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "restore trust: %w", err)
	}
	if read.Version != snapshotVersion {
		return nil, crisol.Errorf(crisol.KindInput, "restore trust: version %d, want %d", read.Version, snapshotVersion)
	}
	same := read.Alpha == t.design.Alpha && read.Delta == t.design.Delta
	t.seq, t.judged = read.Seq, read.Judged
	for _, w := range read.Sides {
		s, err := t.restoreSide(w, same)
		if err != nil {
			return nil, err
		}
		t.sides[s.key] = s
	}
	for _, l := range read.Held {
		if err := l.check(); err != nil {
			return nil, crisol.Errorf(crisol.KindInput, "restore trust: %w", err)
		}
		if t.sides[key{l.Model, l.Side}] == nil {
			return nil, crisol.Errorf(crisol.KindInput, "restore trust: label %d of a side that isn't there: %s, %s", l.Seq, l.Model, l.Side)
		}
		if same {
			t.hold(l)
		}
	}
	return t, nil
}

func (t *Trust) restoreSide(w sideSnap, same bool) (*side, error) {
	switch w.State {
	case Shadow, Certified, Watched, Demoted:
	default:
		return nil, crisol.Errorf(crisol.KindInput, "restore trust: %s, %s: unknown state %q", w.Model, w.Side, w.State)
	}
	s := &side{
		key: key{w.Model, w.Side}, state: w.State, online: w.Online, threshold: w.Threshold, newest: w.Newest, since: w.Since, changed: w.Last,
		earn: w.Earn, guard: w.Guard, requests: setOf(w.Requests), groups: setOf(w.Groups), attempts: w.Attempts, tally: w.Tally,
	}
	from, known := t.prior[s.key]
	offline := known && s.threshold >= from
	switch {
	case s.trusted() && !s.online && !offline: // the certificate that it came with is gone
		s.restart(t.design, Shadow)
	case same:
	case s.trusted() && s.online:
		s.online = false
		s.restart(t.design, t.begin(s.key, s.threshold).state)
	default:
		s.restart(t.design, s.state)
	}
	return s, nil
}

func sorted(set map[digest]bool) []digest {
	list := make([]digest, 0, len(set))
	for d := range set {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	return list
}

func setOf(list []digest) map[digest]bool {
	set := make(map[digest]bool, len(list))
	for _, d := range list {
		set[d] = true
	}
	return set
}
