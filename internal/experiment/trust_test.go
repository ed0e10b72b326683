package experiment_test

import (
	"testing"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// label is number seq of one a minute, of a confident prediction of fixed, right or wrong.
func label(seq int, wrong bool) experiment.Label {
	l := experiment.Label{
		Seq: int64(seq), At: start.Add(time.Duration(seq) * time.Minute), Judged: start.Add(time.Duration(seq)*time.Minute + time.Second),
		Model: "rf_v1", Side: certify.Fixed, Score: 0.97, Confidence: 0.97, Threshold: 0.9,
		Stratum: experiment.Confident, Propensity: 1, Verdict: crisol.Fixed,
	}
	if wrong {
		l.Verdict = crisol.NotFixed
	}
	return l
}

func newTrust(t testing.TB, d experiment.Design, priors ...experiment.Prior) *experiment.Trust {
	t.Helper()
	trust, err := experiment.NewTrust(d, priors...)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func add(t testing.TB, trust *experiment.Trust, l experiment.Label) []experiment.Event {
	t.Helper()
	events, err := trust.Add(l)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// feed adds labels from seq on until one brings an event, and returns it.
func feed(t testing.TB, trust *experiment.Trust, from int, wrong bool, change func(*experiment.Label)) (experiment.Event, int) {
	t.Helper()
	for seq := from; seq < from+5000; seq++ {
		l := label(seq, wrong)
		if change != nil {
			change(&l)
		}
		if events := add(t, trust, l); len(events) > 0 {
			if len(events) > 1 {
				t.Fatalf("label %d brought %d events", seq, len(events))
			}
			return events[0], seq
		}
	}
	t.Fatal("5000 labels brought no event")
	return experiment.Event{}, 0
}

func decided(l *experiment.Label) { l.Decided, l.Propensity = true, 0.1 }

func TestTrustIsEarnedAndLost(t *testing.T) {
	trust := newTrust(t, experiment.Design{})
	first := trust.Status("rf_v1", certify.Fixed)
	if first.State != experiment.Shadow || first.Trusted() || first.Needed != 67 {
		t.Fatalf("at first: %+v", first)
	}
	event, at := feed(t, trust, 1, false, nil)
	if event.Kind != experiment.EventCertified || at != first.Needed || event.Seq != int64(at) {
		t.Fatalf("after %d labels: %+v", at, event)
	}
	if s := trust.Status("rf_v1", certify.Fixed); !s.Trusted() || !s.Online || s.Raised() || s.Needed != 0 {
		t.Fatalf("certified: %+v", s)
	}
	event, at = feed(t, trust, at+1, true, decided)
	if event.Kind != experiment.EventWatched || !trust.Status("rf_v1", certify.Fixed).Raised() {
		t.Fatalf("after %d labels: %+v", at, event)
	}
	event, at = feed(t, trust, at+1, false, decided)
	if event.Kind != experiment.EventCalmed {
		t.Fatalf("after %d labels: %+v", at, event)
	}
	_, at = feed(t, trust, at+1, true, decided)
	event, at = feed(t, trust, at+1, true, decided)
	if s := trust.Status("rf_v1", certify.Fixed); event.Kind != experiment.EventDemoted || s.Trusted() || s.Needed != 67 || s.Labels != 0 {
		t.Fatalf("after %d labels: %+v, %+v", at, event, s)
	}
	again, last := feed(t, trust, at+1, false, nil)
	if again.Kind != experiment.EventCertified || last != at+67 {
		t.Fatalf("after %d labels: %+v", last, again)
	}
}
