package experiment

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"crisol"
	"crisol/internal/certify"
)

// State is how far a model's side is trusted.
type State string

// The states. The model decides in Certified and Watched.
const (
	Shadow    State = "shadow"    // predictions are compared, wargames decide
	Certified State = "certified" // the risk was shown to be below alpha
	Watched   State = "watched"   // certified, and errors have become more frequent: more is compared
	Demoted   State = "demoted"   // the risk has risen above alpha: wargames decide until a new certificate
)

// EventKind is what happened to a side's trust.
type EventKind string

// The kinds of events.
const (
	EventCertified EventKind = "certified"
	EventWatched   EventKind = "watched"   // the audit rate is raised
	EventCalmed    EventKind = "calmed"    // and is back where it was
	EventDemoted   EventKind = "demoted"   // wargames decide again
	EventRestarted EventKind = "restarted" // the threshold has changed, which voids what was known
)

// Event is a change of a side's state. Model, side, kind and Seq identify it: each fold of the same labels gives the same.
type Event struct {
	Seq   int64        `json:"seq"` // of the label that brought it about
	At    time.Time    `json:"at"`  // when that label was judged
	Model string       `json:"model"`
	Side  certify.Side `json:"side"`
	Kind  EventKind    `json:"kind"`
	State State        `json:"state"` // that it led to
	Text  string       `json:"text"`
}

// Prior is a certificate that a model brings along: trusted from its threshold on without any label.
type Prior struct {
	Model     string
	Side      certify.Side
	Threshold float64
}

// Trust is what the labels so far say about each model and side: a fold over them in the order of Seq. It must not be used
// from several goroutines at once. Use NewTrust.
//
// In Shadow and Demoted a side earns a certificate by an e-process at Design.Alpha and Design.Delta over confident
// predictions, from scratch after each demotion, with labels that were asked after it. Each certificate is wrong with a
// probability of at most Delta; one that is lost and sought again can be wrong again. In Certified and Watched a
// Shiryaev-Roberts detector runs over what the model decided. What was lost is not given back but by a new certificate.
type Trust struct {
	design Design
	prior  map[key]float64
	sides  map[key]*side
	seq    int64
	judged time.Time // the latest
	held   []Label   // not yet counted towards certificates, in the order in which their wargames began
}

type key struct {
	model string
	side  certify.Side
}

// side is what is known of one model's side.
type side struct {
	key
	state     State
	online    bool // the certificate was earned by labels
	threshold float64
	newest    time.Time // request among the labels
	since     time.Time // only labels of later requests count towards a certificate
	changed   Event     // the last
	earn      certify.EProcess
	guard     certify.ShiryaevRoberts
	requests  map[digest]bool // seen since the state's evidence began
	groups    map[digest]bool // counted towards the certificate
	attempts  int             // certificates sought
	tally     Tally
}

// digest stands for a request or a group: 16 bytes of SHA-256 take less room than the longest of names.
type digest [16]byte

func digestOf(name string) digest {
	sum := sha256.Sum256([]byte(name))
	return digest(sum[:16])
}

// Tally counts confident labels since the evidence for a side's state began. Errors have the Inconclusive ones among them.
type Tally struct {
	Labels       int `json:"labels"`
	Errors       int `json:"errors"`
	Inconclusive int `json:"inconclusive"`
}

// NewTrust begins the fold without labels.
func NewTrust(design Design, priors ...Prior) (*Trust, error) {
	design, err := design.WithDefaults()
	if err != nil {
		return nil, err
	}
	t := &Trust{design: design, prior: map[key]float64{}, sides: map[key]*side{}}
	for _, p := range priors {
		if !(p.Threshold >= 0 && p.Threshold <= 1) {
			return nil, crisol.Errorf(crisol.KindInput, "prior of %s, %s: threshold %g: want a probability", p.Model, p.Side, p.Threshold)
		}
		k := key{p.Model, p.Side}
		t.prior[k] = p.Threshold
		t.sides[k] = t.begin(k, p.Threshold)
	}
	return t, nil
}

// begin is a side without labels.
func (t *Trust) begin(k key, threshold float64) *side {
	s := &side{key: k, state: Shadow, threshold: threshold}
	if from, known := t.prior[k]; known && threshold >= from {
		s.state = Certified
	}
	s.restart(t.design, s.state)
	return s
}

// restart begins new evidence in a state.
func (s *side) restart(d Design, state State) {
	s.state = state
	s.earn, _ = certify.NewEProcess(d.Alpha) // the design was checked
	s.guard, _ = certify.NewShiryaevRoberts(d.Alpha)
	s.requests, s.groups, s.tally = map[digest]bool{}, map[digest]bool{}, Tally{}
	if !s.trusted() {
		s.attempts++
	}
}

func (s *side) trusted() bool { return s.state == Certified || s.state == Watched }

// Add folds the labels of one comparison, those of the champion and of any challengers, which share its Seq, and returns
// what they changed. A comparison that was folded already, by its Seq, is passed over. A label that makes no sense is an
// error, and the comparison is passed over too.
func (t *Trust) Add(labels ...Label) ([]Event, error) {
	for _, l := range labels {
		if err := l.check(); err != nil {
			return nil, err
		}
		if l.Seq != labels[0].Seq {
			return nil, crisol.Errorf(crisol.KindInput, "label %d: added with label %d, want those of one comparison", l.Seq, labels[0].Seq)
		}
	}
	if len(labels) == 0 || labels[0].Seq <= t.seq {
		return nil, nil
	}
	t.seq = labels[0].Seq
	var events []Event
	for _, l := range labels {
		if l.Judged.After(t.judged) {
			t.judged = l.Judged
		}
		events = t.add(t.release(events), l)
	}
	return events, nil
}

func (t *Trust) add(events []Event, l Label) []Event {
	if l.Stratum != Confident {
		return events
	}
	s, event := t.place(l)
	if event != nil {
		events = append(events, *event)
	}
	if l.Threshold != s.threshold || s.repeated(l) {
		return events
	}
	s.count(l)
	if event := t.watch(s, l); event != nil {
		events = append(events, *event)
	}
	if !s.trusted() {
		t.hold(l)
	}
	return t.release(events)
}

// place finds the label's side. A threshold that is new to the side voids what was known; labels of requests from before the
// change, with another threshold, are for nothing.
func (t *Trust) place(l Label) (*side, *Event) {
	k := key{l.Model, l.Side}
	s := t.sides[k]
	if s == nil {
		s = t.begin(k, l.Threshold)
		t.sides[k] = s
	}
	var event *Event
	if l.Threshold != s.threshold && !l.At.Before(s.newest) {
		was, attempts := s.threshold, s.attempts
		trusted := s.trusted()
		changed := t.begin(k, l.Threshold)
		changed.attempts += attempts
		*s = *changed
		s.since = l.At.Add(-1)
		if trusted != s.trusted() || s.state == Shadow {
			event = s.tell(EventRestarted, l, fmt.Sprintf("the threshold went from %.3f to %.3f, and what was known held for the old one", was, l.Threshold))
		}
	}
	if l.At.After(s.newest) {
		s.newest = l.At
	}
	return s, event
}

func (s *side) repeated(l Label) bool {
	if l.Request == "" {
		return false
	}
	request := digestOf(l.Request)
	seen := s.requests[request]
	s.requests[request] = true
	return seen
}

func (s *side) count(l Label) {
	s.tally.Labels++
	if l.Wrong() {
		s.tally.Errors++
	}
	if _, known := l.Truth(); !known {
		s.tally.Inconclusive++
	}
}

// watch holds what the model decided against the detector, at once.
func (t *Trust) watch(s *side, l Label) *Event {
	if !l.Decided || s.state == Demoted {
		return nil
	}
	s.guard.Observe(l.Wrong(), l.weight())
	value := s.guard.Value()
	figures := fmt.Sprintf("the detector stands at %.1f after %d labels with %d errors", value, s.tally.Labels, s.tally.Errors)
	switch {
	case value >= t.design.Alarm:
		s.restart(t.design, Demoted)
		s.online, s.since = false, t.judged
		return s.tell(EventDemoted, l, figures+fmt.Sprintf(": the risk is above %.3g %%, and wargames decide until a new certificate", 100*t.design.Alpha))
	case value >= t.design.Warning && s.state == Certified:
		s.state = Watched
		return s.tell(EventWatched, l, figures+": more decisions are compared")
	case value < t.design.Warning/2 && s.state == Watched: // half, so that it doesn't go back and forth
		s.state = Certified
		return s.tell(EventCalmed, l, figures+": the usual share of decisions is compared")
	}
	return nil
}

// hold keeps a label until all those whose wargames began earlier must have been judged.
func (t *Trust) hold(l Label) {
	at, _ := slices.BinarySearchFunc(t.held, l, func(a, b Label) int {
		if t.design.Hold == 0 {
			return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Model, b.Model))
		}
		return cmp.Or(a.began().Compare(b.began()), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Model, b.Model))
	})
	t.held = slices.Insert(t.held, at, l)
}

// release counts held labels towards certificates as far as nothing that began earlier can still be missing.
func (t *Trust) release(events []Event) []Event {
	until := t.judged.Add(-t.design.Hold)
	for len(t.held) > 0 && (t.design.Hold == 0 || !t.held[0].began().After(until)) {
		l := t.held[0]
		t.held = slices.Delete(t.held, 0, 1)
		if event := t.earned(t.sides[key{l.Model, l.Side}], l); event != nil {
			events = append(events, *event)
		}
	}
	return events
}

// earned counts a label towards a certificate.
func (t *Trust) earned(s *side, l Label) *Event {
	if s.trusted() || l.Threshold != s.threshold || !l.At.After(s.since) {
		return nil
	}
	if l.Group != "" {
		group := digestOf(l.Group)
		if s.groups[group] {
			return nil
		}
		s.groups[group] = true
	}
	s.earn.Observe(l.Wrong(), l.weight())
	if !s.earn.Certifies(t.design.Delta) {
		return nil
	}
	labels, errors, value := s.tally.Labels, s.tally.Errors, s.earn.Value()
	s.restart(t.design, Certified)
	s.online = true
	return s.tell(EventCertified, l, fmt.Sprintf("%d labels with %d errors: the e-process stands at %.1f, and the risk is below %.3g %% at %.4g %% confidence",
		labels, errors, value, 100*t.design.Alpha, 100*(1-t.design.Delta)))
}

func (s *side) tell(kind EventKind, l Label, text string) *Event {
	s.changed = Event{Seq: l.Seq, At: l.Judged, Model: s.model, Side: s.side, Kind: kind, State: s.state, Text: text}
	return &s.changed
}

// Seq is the last label's: the fold goes on after it.
func (t *Trust) Seq() int64 { return t.seq }

// Design is the one that the fold goes by, with its defaults.
func (t *Trust) Design() Design { return t.design }

// Status is what is known of a model's side.
type Status struct {
	Model string       `json:"model"`
	Side  certify.Side `json:"side"`
	State State        `json:"state"`
	// Online is whether the certificate was earned by labels; false where the model brought it along, or there is none.
	Online     bool    `json:"online"`
	Threshold  float64 `json:"threshold"` // 0 where there was neither a label nor a certificate
	Alpha      float64 `json:"alpha"`
	Confidence float64 `json:"confidence"`
	Tally
	// Held labels aren't counted towards a certificate yet.
	Held int `json:"held"`
	// EValue is what stands for a certificate, which takes Target; Needed is the least number of further labels, each of a
	// group of its own and none of them wrong, that reach it. 0 where the side is trusted.
	EValue float64 `json:"e_value"`
	Target float64 `json:"target"`
	Needed int     `json:"needed"`
	// Detector is what stands against the side while it is trusted; Warning and Alarm are where it is watched and demoted.
	Detector float64 `json:"detector"`
	Warning  float64 `json:"warning"`
	Alarm    float64 `json:"alarm"`
	// Attempts counts the certificates that were sought, each of which may be wrong with a probability of 1 - Confidence.
	Attempts int `json:"attempts"`
	// Last is the last event; nil where there was none.
	Last *Event `json:"last_event,omitempty"`
}

// Trusted is whether the model may decide on this side.
func (s Status) Trusted() bool { return s.State == Certified || s.State == Watched }

// Raised is whether more than the usual share of decisions is to be compared.
func (s Status) Raised() bool {
	return s.State == Watched || s.State == Shadow && s.Detector >= s.Warning
}

// Text says in a sentence what the side's state is and what would change it.
func (s Status) Text() string {
	risk, sure := 100*s.Alpha, 100*s.Confidence
	switch s.State {
	case Certified:
		return fmt.Sprintf("certified: the risk is below %.3g %% at %.4g %% confidence; the detector stands at %.1f and demotes at %g", risk, sure, s.Detector, s.Alarm)
	case Watched:
		return fmt.Sprintf("watched: errors have become more frequent; the detector stands at %.1f and demotes at %g", s.Detector, s.Alarm)
	default:
		return fmt.Sprintf("%s: %d labels with %d errors; at least %d more without an error are needed to show a risk below %.3g %% at %.4g %% confidence", s.State, s.Labels, s.Errors, s.Needed, risk, sure)
	}
}

// Status of one model's side; of one that has no labels, what a first one would find.
func (t *Trust) Status(model string, of certify.Side) Status {
	k := key{model, of}
	s := t.sides[k]
	if s == nil {
		s = t.begin(k, 0)
	}
	d := t.design
	status := Status{
		Model: model, Side: of, State: s.state, Online: s.online, Threshold: s.threshold, Alpha: d.Alpha, Confidence: 1 - d.Delta,
		Tally: s.tally, Target: 1 / d.Delta, Detector: s.guard.Value(), Warning: d.Warning, Alarm: d.Alarm, Attempts: s.attempts,
	}
	if !s.trusted() {
		status.EValue, status.Needed = s.earn.Value(), s.earn.Needed(d.Delta)
		for _, l := range t.held {
			if l.Model == model && l.Side == of {
				status.Held++
			}
		}
	}
	if s.changed.Seq > 0 {
		last := s.changed
		status.Last = &last
	}
	return status
}

// Statuses of all sides that there are labels or certificates for, by model and side.
func (t *Trust) Statuses() []Status {
	var list []Status
	for k := range t.sides {
		list = append(list, t.Status(k.model, k.side))
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Side, b.Side)) })
	return list
}
