package experiment_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
	"crisol/internal/random"
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

// state after labels that mustn't bring an event.
func quiet(t testing.TB, trust *experiment.Trust, labels ...experiment.Label) experiment.Status {
	t.Helper()
	for _, l := range labels {
		if events := add(t, trust, l); len(events) > 0 {
			t.Fatalf("label %d brought %+v", l.Seq, events)
		}
	}
	return trust.Status("rf_v1", certify.Fixed)
}

func TestWhatCountsTowardsACertificate(t *testing.T) {
	fresh := newTrust(t, experiment.Design{}).Status("rf_v1", certify.Fixed).Needed
	wrongs := newTrust(t, experiment.Design{})
	add(t, wrongs, label(1, true))
	afterError := wrongs.Status("rf_v1", certify.Fixed).Needed
	for name, c := range map[string]struct {
		change       func(*experiment.Label)
		needed, side int // after two labels; labels in the tally
	}{
		"right": {func(*experiment.Label) {}, fresh - 2, 2},
		"unconfident ones don't": {func(l *experiment.Label) {
			l.Stratum, l.Confidence, l.Score = experiment.Unconfident, 0.6, 0.6
		}, fresh, 0},
		"one of a request": {func(l *experiment.Label) { l.Request = "same" }, fresh - 1, 1},
		"one of a group":   {func(l *experiment.Label) { l.Group = "CVE-2019-10744" }, fresh - 1, 2},
		"another model's":  {func(l *experiment.Label) { l.Model = "rf_v2" }, fresh, 0},
		"the other side's": {func(l *experiment.Label) { l.Side, l.Verdict = certify.NotFixed, crisol.Broken }, fresh, 0},
		"what was chosen for what it is has less weight": {func(l *experiment.Label) { l.Floor, l.Propensity = 0.05, 0.1 }, 0, 2},
		"inconclusive is wrong": {func(l *experiment.Label) {
			if l.Seq == 1 {
				l.Verdict = crisol.Inconclusive
			}
		}, afterError - 1, 2},
		"broken is wrong": {func(l *experiment.Label) {
			if l.Seq == 1 {
				l.Verdict = crisol.Broken
			}
		}, afterError - 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			trust := newTrust(t, experiment.Design{})
			for seq := 1; seq <= 2; seq++ {
				l := label(seq, false)
				c.change(&l)
				add(t, trust, l)
			}
			got := trust.Status("rf_v1", certify.Fixed)
			if c.needed > 0 && got.Needed != c.needed || got.Labels != c.side || c.needed == 0 && (got.Needed <= fresh-2 || got.Needed >= fresh) {
				t.Errorf("%d more labels are needed, want %d; %d labels, want %d", got.Needed, c.needed, got.Labels, c.side)
			}
		})
	}
	trust := newTrust(t, experiment.Design{})
	l := label(1, true)
	l.Side, l.Verdict = certify.NotFixed, crisol.Broken
	add(t, trust, l)
	if s := trust.Status("rf_v1", certify.NotFixed); s.Errors != 0 || s.Labels != 1 {
		t.Errorf("a broken patch that was predicted not to be a fix: %+v", s)
	}
}

func TestFoldIsIdempotent(t *testing.T) {
	trust := newTrust(t, experiment.Design{})
	quiet(t, trust, label(5, false))
	if s := quiet(t, trust, label(5, true), label(3, true)); s.Labels != 1 || trust.Seq() != 5 {
		t.Errorf("labels that were folded count again: %+v", s)
	}
}

// TestChallengersEarnToo: what the champion is unsure of is always compared, the rest one in ten, so the challenger's
// labels have a floor; they weigh as much as the champion's alone where they were chosen with that floor.
func TestChallengersEarnToo(t *testing.T) {
	trust := newTrust(t, experiment.Design{})
	for seq := 1; trust.Status("rf_v2", certify.Fixed).State == experiment.Shadow; seq++ {
		champion, challenger := label(seq, false), label(seq, false)
		champion.Propensity, challenger.Propensity = 0.1, 0.1
		challenger.Model, challenger.Floor = "rf_v2", 0.1
		events, err := trust.Add(champion, challenger)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 2}[seq == 67]; len(events) != want {
			t.Fatalf("after %d comparisons: %+v", seq, events)
		}
	}
	l, other := label(100, false), label(101, false)
	if _, err := trust.Add(l, other); crisol.KindOf(err) != crisol.KindInput || trust.Seq() != 67 {
		t.Errorf("labels of two comparisons: %v", err)
	}
	if events, err := trust.Add(); events != nil || err != nil {
		t.Errorf("nothing: %v, %v", events, err)
	}
}

// TestRecoveryTakesNewLabels: labels of requests from before the demotion don't count, however late they are judged.
func TestRecoveryTakesNewLabels(t *testing.T) {
	trust := newTrust(t, experiment.Design{}, experiment.Prior{Model: "rf_v1", Side: certify.Fixed, Threshold: 0.9})
	if s := trust.Status("rf_v1", certify.Fixed); s.State != experiment.Certified || s.Online {
		t.Fatalf("a model that brings a certificate begins with %+v", s)
	}
	_, at := feed(t, trust, 1, true, decided)
	event, at := feed(t, trust, at+1, true, decided)
	if event.Kind != experiment.EventDemoted {
		t.Fatalf("%+v", event)
	}
	before := event.At
	for seq := at + 1; seq < at+200; seq++ {
		l := label(seq, false)
		l.At = before.Add(-time.Duration(seq) * time.Second)
		if s := quiet(t, trust, l); s.State != experiment.Demoted || s.Needed != 67 {
			t.Fatalf("label %d, from before the demotion: %+v", seq, s)
		}
	}
	event, last := feed(t, trust, at+200, false, nil)
	if event.Kind != experiment.EventCertified || last != at+200+66 {
		t.Errorf("after %d labels: %+v", last, event)
	}
	if s := trust.Status("rf_v1", certify.Fixed); !s.Online || s.Attempts != 1 {
		t.Errorf("%+v", s)
	}
}

func TestUncertifiedDecisionsAreWatchedToo(t *testing.T) {
	trust := newTrust(t, experiment.Design{})
	for seq := 1; trust.Status("rf_v1", certify.Fixed).State != experiment.Demoted; seq++ {
		l := label(seq, true)
		decided(&l)
		add(t, trust, l)
		if seq > 10 {
			t.Fatal("ten errors in a row don't demote")
		}
	}
	// What wargames decided in the meantime doesn't move the detector.
	trust = newTrust(t, experiment.Design{}, experiment.Prior{Model: "rf_v1", Side: certify.Fixed, Threshold: 0.9})
	for seq := 1; seq < 50; seq++ {
		if s := quiet(t, trust, label(seq, true)); s.Detector != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestThresholdChangeVoids(t *testing.T) {
	trust := newTrust(t, experiment.Design{})
	_, at := feed(t, trust, 1, false, nil)
	lower := label(at+1, false)
	lower.Threshold = 0.8
	events := add(t, trust, lower)
	s := trust.Status("rf_v1", certify.Fixed)
	if len(events) != 1 || events[0].Kind != experiment.EventRestarted || s.State != experiment.Shadow || s.Threshold != 0.8 || s.Labels != 1 || s.Needed != 66 {
		t.Fatalf("%+v, %+v", events, s)
	}
	late := label(at+2, false)
	late.At = lower.At.Add(-time.Minute)
	if s := quiet(t, trust, late); s.Labels != 1 || s.Threshold != 0.8 {
		t.Errorf("a label with the old threshold, of an earlier request, counts: %+v", s)
	}
	prior := experiment.Prior{Model: "rf_v1", Side: certify.Fixed, Threshold: 0.85}
	trust = newTrust(t, experiment.Design{}, prior)
	if add(t, trust, label(1, false)); trust.Status("rf_v1", certify.Fixed).State != experiment.Certified {
		t.Error("a threshold above the certificate's isn't covered by it")
	}
	lower.Seq, lower.At = 2, label(2, false).At
	if add(t, trust, lower); trust.Status("rf_v1", certify.Fixed).State != experiment.Shadow {
		t.Error("a threshold below the certificate's is covered by it")
	}
}

func TestLabelsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*experiment.Label){
		"no number":           func(l *experiment.Label) { l.Seq = 0 },
		"no model":            func(l *experiment.Label) { l.Model = "" },
		"no side":             func(l *experiment.Label) { l.Side = "" },
		"score":               func(l *experiment.Label) { l.Score = math.NaN() },
		"confidence":          func(l *experiment.Label) { l.Confidence = 1.2 },
		"threshold":           func(l *experiment.Label) { l.Threshold = -1 },
		"stratum":             func(l *experiment.Label) { l.Stratum = "sure" },
		"propensity of 0":     func(l *experiment.Label) { l.Propensity = 0 },
		"propensity above 1":  func(l *experiment.Label) { l.Propensity = 1.1 },
		"no propensity":       func(l *experiment.Label) { l.Propensity = math.NaN() },
		"floor of no use":     func(l *experiment.Label) { l.Floor, l.Propensity = 0.2, 0.1 },
		"no verdict":          func(l *experiment.Label) { l.Verdict = "" },
		"verdict of no trial": func(l *experiment.Label) { l.Verdict = "fine" },
	} {
		l := label(1, false)
		change(&l)
		trust := newTrust(t, experiment.Design{})
		if _, err := trust.Add(l); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := experiment.Weigh([]experiment.Label{l}); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: estimate: %v", name, err)
		}
		if len(trust.Statuses()) != 0 || trust.Seq() != 0 {
			t.Errorf("%s: the label left something behind", name)
		}
	}
}

// service answers requests as the design says, at a risk that depends on how many it has answered, and folds the labels.
type service struct {
	trust *experiment.Trust
	r     *random.Stream
	risk  func(asked int) float64
	asked int
	seq   int
}

// ask answers one request a minute, and returns whether it was compared, with the events.
func (s *service) ask(t testing.TB) (bool, []experiment.Event) {
	s.asked++
	status := s.trust.Status("rf_v1", certify.Fixed)
	q := s.trust.Design().Propensity(status.Trusted(), status.Raised())
	wrong := s.r.Float64() < s.risk(s.asked)
	if s.r.Float64() >= q {
		return false, nil
	}
	s.seq++
	l := label(s.asked, wrong)
	l.Seq, l.Propensity, l.Decided = int64(s.seq), q, status.Trusted()
	return true, add(t, s.trust, l)
}

// until asks until an event of the kind comes, and returns how many labels that took; at most most.
func (s *service) until(t testing.TB, kind experiment.EventKind, most int) (labels int, found bool) {
	for labels < most {
		compared, events := s.ask(t)
		if compared {
			labels++
		}
		for _, e := range events {
			if e.Kind == kind {
				return labels, true
			}
		}
	}
	return labels, false
}

// TestAJumpIsNoticed walks the whole way: a good model earns its certificate in shadow, decides for a while with one
// decision in ten compared, and its risk jumps to three times alpha.
func TestAJumpIsNoticed(t *testing.T) {
	const runs = 200
	var labels []int
	for run := range runs {
		s := &service{trust: newTrust(t, experiment.Design{}), r: random.New(31, uint64(run))}
		s.risk = func(int) float64 { return 0.01 }
		if _, found := s.until(t, experiment.EventCertified, 2000); !found {
			t.Fatalf("run %d: a model of risk 1 %% earns no certificate at 5 %%", run)
		}
		if _, found := s.until(t, experiment.EventDemoted, 100); found {
			continue
		}
		s.risk = func(int) float64 { return 0.15 }
		n, found := s.until(t, experiment.EventDemoted, 2000)
		if !found {
			t.Fatalf("run %d: the jump isn't noticed in 2000 labels", run)
		}
		labels = append(labels, n)
		if _, found := s.until(t, experiment.EventCertified, 200); found {
			t.Errorf("run %d: certified again at a risk of 15 %%", run)
		}
	}
	slices.Sort(labels)
	t.Logf("%d false alarms; %d labels (median) until a demotion, %d (90 %%)", runs-len(labels), labels[len(labels)/2], labels[len(labels)*9/10])
	if len(labels) < runs*95/100 || labels[len(labels)/2] > 100 {
		t.Errorf("%d of %d runs, %d labels (median) until a demotion", len(labels), runs, labels[len(labels)/2])
	}
}

// TestHoldWaitsForSlowTrials: wargames begin one a minute. A twentieth of them, and only of the wrong ones, run into the
// deadline of fifteen minutes; the others take a minute. Read in the order of judgement, the first labels look too good.
func TestHoldWaitsForSlowTrials(t *testing.T) {
	const runs, labels, deadline = 1000, 300, 15 * time.Minute
	count := func(d experiment.Design) int {
		certified := 0
		for run := range runs {
			r := random.New(32, uint64(run))
			list := make([]experiment.Label, labels)
			for i := range list {
				list[i] = label(i+1, r.Float64() < 0.05)
				list[i].Judged = list[i].At.Add(time.Minute)
				if list[i].Wrong() {
					list[i].Verdict, list[i].Judged = crisol.Inconclusive, list[i].At.Add(deadline)
				}
			}
			slices.SortStableFunc(list, func(a, b experiment.Label) int { return a.Judged.Compare(b.Judged) })
			trust := newTrust(t, d)
			for i := range list {
				list[i].Seq = int64(i + 1)
				if events := add(t, trust, list[i]); len(events) > 0 {
					certified++
					break
				}
			}
		}
		return certified
	}
	hasty, patient := count(experiment.Design{}), count(experiment.Design{Hold: deadline})
	t.Logf("at a risk of alpha %d of %d runs certify in the order of judgement, %d when they wait for what began earlier", hasty, runs, patient)
	if patient > runs/20 {
		t.Errorf("%d of %d runs certify falsely", patient, runs)
	}
	if hasty < runs/15 {
		t.Errorf("%d of %d runs certify falsely without waiting: the simulation shows nothing", hasty, runs)
	}
}

// history is what a service of changing quality leaves behind, on two models and both sides.
func history(t testing.TB, n int) []experiment.Label {
	r := random.New(33)
	list := make([]experiment.Label, n)
	for i := range list {
		risk := []float64{0.002, 0.3, 0.002}[3*i/n]
		list[i] = label(i+1, r.Float64() < risk)
		list[i].Decided = r.Float64() < 0.5
		list[i].Judged = list[i].At.Add(time.Duration(r.IntN(10)) * time.Minute)
		list[i].Request, list[i].Group = fmt.Sprint("request ", r.IntN(n)), fmt.Sprint("group ", r.IntN(2*n))
		if r.Float64() < 0.2 {
			list[i].Model = "rf_v2"
		}
		if r.Float64() < 0.3 {
			list[i].Side = certify.NotFixed
			list[i].Verdict = map[crisol.Verdict]crisol.Verdict{crisol.Fixed: crisol.NotFixed, crisol.NotFixed: crisol.Fixed}[list[i].Verdict]
		}
		if r.Float64() < 0.2 {
			list[i].Stratum = experiment.Unconfident
		}
	}
	return list
}

// TestSnapshotChangesNothing: a fold that is written and read again after any label goes on as one that wasn't.
func TestSnapshotChangesNothing(t *testing.T) {
	design, prior := experiment.Design{Hold: 10 * time.Minute}, experiment.Prior{Model: "rf_v2", Side: certify.Fixed, Threshold: 0.9}
	whole, resumed := newTrust(t, design, prior), newTrust(t, design, prior)
	kinds := map[experiment.EventKind]int{}
	for i, l := range history(t, 2000) {
		want := add(t, whole, l)
		got := add(t, resumed, l)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("label %d brings %+v after a restart, want %+v", l.Seq, got, want)
		}
		for _, e := range want {
			kinds[e.Kind]++
		}
		if i%7 != 0 && len(want) == 0 {
			continue
		}
		written, err := resumed.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if resumed, err = experiment.Restore(written, design, prior); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(resumed.Statuses(), whole.Statuses()) || resumed.Seq() != whole.Seq() {
			t.Fatalf("label %d: %+v after a restart, want %+v", l.Seq, resumed.Statuses(), whole.Statuses())
		}
	}
	if kinds[experiment.EventCertified] < 2 || kinds[experiment.EventDemoted] == 0 || kinds[experiment.EventWatched] == 0 {
		t.Errorf("too little happens for the test to show anything: %v", kinds)
	}
}

func TestRestoreFailsClosed(t *testing.T) {
	prior := experiment.Prior{Model: "rf_v1", Side: certify.Fixed, Threshold: 0.9}
	earned, brought, demoted := newTrust(t, experiment.Design{}), newTrust(t, experiment.Design{}, prior), newTrust(t, experiment.Design{}, prior)
	feed(t, earned, 1, false, nil)
	_, at := feed(t, demoted, 1, true, decided)
	feed(t, demoted, at+1, true, decided)
	stricter := experiment.Design{Alpha: 0.02}
	for name, c := range map[string]struct {
		from   *experiment.Trust
		design experiment.Design
		priors []experiment.Prior
		want   experiment.State
	}{
		"earned":                       {earned, experiment.Design{}, nil, experiment.Certified},
		"earned at another risk":       {earned, stricter, nil, experiment.Shadow},
		"earned, offline at this risk": {earned, stricter, []experiment.Prior{prior}, experiment.Certified},
		"brought along":                {brought, experiment.Design{}, []experiment.Prior{prior}, experiment.Certified},
		"brought along, and gone":      {brought, experiment.Design{}, nil, experiment.Shadow},
		"demoted":                      {demoted, experiment.Design{}, []experiment.Prior{prior}, experiment.Demoted},
		"demoted, another risk":        {demoted, stricter, []experiment.Prior{prior}, experiment.Demoted},
	} {
		written, err := c.from.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restored, err := experiment.Restore(written, c.design, c.priors...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := restored.Status("rf_v1", certify.Fixed); s.State != c.want {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for _, bad := range []string{``, `{}`, `{"version":2}`, `{"version":1,"sides":[{"state":"fine"}]}`, `{"version":1,"sides":[{"state":"shadow","earn":{"alpha":0.05,"log_wealth":[1]}}]}`,
		`{"version":1,"sides":[{"state":"shadow","guard":{"alpha":0.05,"sums":[-1,0,0]}}]}`, `{"version":1,"held":[{"Seq":1}]}`, `{"version":1,"sides":[{"state":"shadow","requests":["0"]}]}`} {
		if _, err := experiment.Restore([]byte(bad), experiment.Design{}); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
