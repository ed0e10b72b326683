// Package audit holds models against wargames while the service runs: A/B testing, with consequences.
//
// In go answers with what a model predicted, and what wargames say of them. Out come rows of A/B tests (who is compared is
// a coin's choice, see experiment.Coin), the bounds within which each model may be trusted now, and figures. All that is
// known about trust is a fold over judged rows: processes that share a store come to the same conclusions, and a row that
// arrives twice counts once. The switch, the rate and the coin's key are settings of the store.
//
// The package decides about no patch and runs no wargame: it says what is to be tried, and is told what came of it.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
	"crisol/internal/policy"
	"crisol/internal/store"
)

// DesignVersion is that of the sampling design; rows of another version don't mix with these.
const DesignVersion = 1

// DefaultRate is the share of confident decisions that is compared once A/B testing is on.
const DefaultRate = 0.10

// Model is one that may be asked, with the certificates that it brings along.
type Model struct {
	Version string
	Bounds  policy.Bounds
	// Profile is what its scores looked like when it was trained; nil where that isn't known, and drift can't be told.
	Profile *experiment.Profile
}

// Options configure an Auditor. Store, Models and Logger must be set.
type Options struct {
	Store store.Store
	// Models lists those there are now.
	Models func() ([]Model, error)
	Rule   policy.Rule
	// Alpha is the risk that a certificate earned here must stay below; 0 is 5 %.
	Alpha float64
	// Hold is the longest that a wargame takes: certificates wait for those that are under way.
	Hold time.Duration
	// Enabled is whether A/B testing is on until somebody switches it.
	Enabled bool
	Logger  *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// Switch is what operators set.
type Switch struct {
	Enabled bool    `json:"enabled"`
	Rate    float64 `json:"rate"`
	// Since is when it was set last; the zero time where it never was.
	Since time.Time `json:"since,omitzero"`
}

// Settings that the Auditor keeps.
const (
	switchKey   = "ab_testing"
	coinKey     = "ab_coin"
	ChampionKey = "champion"
)

// Auditor is the runtime of A/B testing. Its methods may be called by many at once.
type Auditor struct {
	Options
	coin experiment.Coin

	refresh    sync.Mutex // one fold at a time; guards what follows
	trust      *experiment.Trust
	basis      string           // what the fold began with: another one begins anew
	cursor     int64            // the last row that was looked at
	thresholds map[side]float64 // of the sides that are trusted from the start
	drifted    time.Time
	drifts     map[string]experiment.Drift

	view atomic.Pointer[view]
}

// view is what the fold came to, for readers.
type view struct {
	Switch
	design   experiment.Design
	statuses map[side]experiment.Status
	drifts   map[string]experiment.Drift
	champion string // "" where none was promoted here
	epoch    string
	seq      int64
}

type side struct {
	model string
	side  certify.Side
}

// Open reads the settings, makes the coin's key at the first start, and folds what is judged already.
func Open(ctx context.Context, o Options) (*Auditor, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Auditor{Options: o}
	var err error
	if a.coin, err = openCoin(ctx, o.Store.Settings()); err != nil {
		return nil, err
	}
	return a, a.Refresh(ctx)
}

func openCoin(ctx context.Context, settings store.Settings) (experiment.Coin, error) {
	for {
		var key []byte
		text, version, err := settings.Get(ctx, coinKey)
		if err != nil {
			return experiment.Coin{}, err
		}
		if version > 0 {
			if err := json.Unmarshal(text, &key); err != nil {
				return experiment.Coin{}, crisol.Errorf(crisol.KindInternal, "read the setting %s: %w", coinKey, err)
			}
			return experiment.NewCoin(key)
		}
		key = make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		if text, err = json.Marshal(key); err != nil {
			return experiment.Coin{}, fmt.Errorf("write the coin's key: %w", err)
		}
		if _, err := settings.Set(ctx, coinKey, text, 0); err != nil && !errors.Is(err, store.ErrChanged) {
			return experiment.Coin{}, err
		}
	}
}

// page is how many rows are read at once.
const page = 500

// Refresh reads the settings and folds the rows that were judged since. Events of trust that it finds are recorded, each
// once, whoever finds it.
func (a *Auditor) Refresh(ctx context.Context) error {
	a.refresh.Lock()
	defer a.refresh.Unlock()
	next := view{}
	var err error
	if next.Switch, _, err = a.readSwitch(ctx); err != nil {
		return err
	}
	if _, err := a.setting(ctx, ChampionKey, &next.champion); err != nil {
		return err
	}
	models, err := a.Models()
	if err != nil {
		return err
	}
	if err := a.begin(ctx, next.Switch, models); err != nil {
		return err
	}
	if err := a.fold(ctx); err != nil {
		return err
	}
	if err := a.drift(ctx, models); err != nil {
		return err
	}
	next.drifts = a.drifts
	next.design, next.seq, next.statuses = a.trust.Design(), a.trust.Seq(), map[side]experiment.Status{}
	for _, m := range models {
		for _, of := range []certify.Side{certify.Fixed, certify.NotFixed} {
			next.statuses[side{m.Version, of}] = a.trust.Status(m.Version, of)
		}
	}
	next.epoch = next.digest(a.Rule)
	a.view.Store(&next)
	return nil
}

// begin makes a new fold where there is none, or where what it rests on has changed.
func (a *Auditor) begin(ctx context.Context, s Switch, models []Model) error {
	design := experiment.Design{Rate: s.Rate, Alpha: a.Alpha, Hold: a.Hold}
	var priors []experiment.Prior
	thresholds := map[side]float64{}
	for _, m := range models {
		priors = append(priors, a.priors(m)...)
	}
	for _, p := range priors {
		thresholds[side{p.Model, p.Side}] = p.Threshold
	}
	basis := fmt.Sprintf("%+v %+v", design, priors)
	if a.trust != nil && a.basis == basis {
		return nil
	}
	trust, cursor, err := a.kept(ctx, design, priors)
	if err != nil {
		return err
	}
	a.trust, a.basis, a.cursor, a.thresholds = trust, basis, cursor, thresholds
	return nil
}

// TrustKey is the setting with what was folded of rows that may be gone.
const TrustKey = "trust"

type keptTrust struct {
	Cursor int64           `json:"cursor"` // the last row that is in it
	Trust  json.RawMessage `json:"trust"`
}

// kept is the fold to begin with: what was kept of rows that may be gone, else an empty one.
func (a *Auditor) kept(ctx context.Context, design experiment.Design, priors []experiment.Prior) (*experiment.Trust, int64, error) {
	var k keptTrust
	version, err := a.setting(ctx, TrustKey, &k)
	if err != nil {
		return nil, 0, err
	}
	if version == 0 {
		trust, err := experiment.NewTrust(design, priors...)
		return trust, 0, err
	}
	trust, err := experiment.Restore(k.Trust, design, priors...)
	return trust, k.Cursor, err
}

// KeepTrust keeps what was folded so far, and returns the number of the last row in it: rows up to it may be deleted. What
// another process kept of more rows stays.
func (a *Auditor) KeepTrust(ctx context.Context) (int64, error) {
	if err := a.Refresh(ctx); err != nil {
		return 0, err
	}
	a.refresh.Lock()
	defer a.refresh.Unlock()
	for {
		var k keptTrust
		version, err := a.setting(ctx, TrustKey, &k)
		if err != nil || k.Cursor >= a.cursor {
			return min(k.Cursor, a.cursor), err
		}
		if k.Trust, err = a.trust.Snapshot(); err != nil {
			return 0, err
		}
		k.Cursor = a.cursor
		if err := a.set(ctx, TrustKey, k, version); !errors.Is(err, store.ErrChanged) {
			return a.cursor, err
		}
	}
}

// priors are the sides that a model decides from the start: those that it is certified for, or, where confidence is all
// that the rule asks for, both. The detector watches over them.
func (a *Auditor) priors(m Model) (list []experiment.Prior) {
	for of, bound := range map[certify.Side]policy.Bound{certify.Fixed: m.Bounds.Fixed, certify.NotFixed: m.Bounds.NotFixed} {
		switch {
		case bound.Certified:
			list = append(list, experiment.Prior{Model: m.Version, Side: of, Threshold: bound.Threshold})
		case a.Rule == policy.Threshold:
			list = append(list, experiment.Prior{Model: m.Version, Side: of, Threshold: policy.DefaultThreshold})
		}
	}
	slices.SortFunc(list, func(x, y experiment.Prior) int { return strings.Compare(string(x.Side), string(y.Side)) })
	return list
}

// fold adds the labels that the fold hasn't seen.
func (a *Auditor) fold(ctx context.Context) error {
	for {
		rows, err := a.Store.ABTests().Judged(ctx, a.cursor, page)
		if err != nil || len(rows) == 0 {
			return err
		}
		var events []store.Event
		for _, row := range rows {
			if row.ABTestVersion != DesignVersion {
				continue
			}
			changes, err := a.trust.Add(a.labels(row, a.thresholds)...)
			if err != nil {
				a.Logger.ErrorContext(ctx, "an A/B test makes no label", "ab_test", row.ID, "error", err)
				continue
			}
			for _, e := range changes {
				event, err := trustEvent(e)
				if err != nil {
					return err
				}
				events = append(events, event)
			}
		}
		if err := a.tell(ctx, events); err != nil {
			return err
		}
		a.cursor = rows[len(rows)-1].JudgedSeq
	}
}

// trustEvent is an event as the stream has it. Its key is the same for whoever folds the same labels.
func trustEvent(e experiment.Event) (store.Event, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return store.Event{}, fmt.Errorf("write an event of trust: %w", err)
	}
	return store.Event{
		At: e.At, Kind: "model_" + string(e.Kind), Subject: e.Model, Body: body,
		Key: fmt.Sprintf("trust/%d/%s/%s/%s/%d", DesignVersion, e.Model, e.Side, e.Kind, e.Seq),
	}, nil
}

func (a *Auditor) tell(ctx context.Context, events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	added, err := a.Store.Events().Append(ctx, events)
	for _, e := range added {
		a.Logger.WarnContext(ctx, "the trust in a model has changed", "event", e.Kind, "model", e.Subject, "detail", string(e.Body))
	}
	return err
}

// Label is what a row says of its own model, as statistics read it.
func Label(t store.ABTest) experiment.Label {
	l := experiment.Label{
		Seq: t.JudgedSeq, At: t.CreatedAt, Judged: t.JudgedAt, Model: t.ModelVersion, Side: sideOf(t.Prediction), Score: t.Probability,
		Confidence: t.Confidence, Threshold: t.Threshold, Stratum: experiment.Stratum(t.Stratum), Decided: t.Decided,
		Propensity: t.Propensity, Verdict: t.WargamingResult, Group: t.ScenarioID,
	}
	if took := time.Duration(t.WargamingExecutionMS * float64(time.Millisecond)); took > 0 && !t.JudgedAt.IsZero() {
		l.Began = t.JudgedAt.Add(-took)
	}
	if t.PatchDigest != "" {
		l.Request = t.PatchDigest + " " + t.ScenarioDigest
	}
	return l
}

// labels are what a row says of its model and of the challengers that were asked beside it. A challenger's label has its
// own threshold; how likely it was to be there depended on what the champion made of the request, and so it weighs as
// little as the least likely.
func (a *Auditor) labels(t store.ABTest, thresholds map[side]float64) []experiment.Label {
	own := Label(t)
	floor := a.trust.Design().Floor
	if a.Rule == policy.Threshold { // what a careful caller asks for decides too who is compared
		own.Floor = floor
	}
	list := []experiment.Label{own}
	for _, version := range slices.Sorted(maps.Keys(t.Challengers)) {
		l := own
		l.Model, l.Score, l.Decided, l.Floor = version, t.Challengers[version], false, floor
		if l.Side, l.Confidence = certify.Fixed, l.Score; l.Score < 0.5 {
			l.Side, l.Confidence = certify.NotFixed, 1-l.Score
		}
		l.Threshold, l.Stratum = policy.DefaultThreshold, experiment.Unconfident
		if from, ok := thresholds[side{version, l.Side}]; ok {
			l.Threshold = from
		}
		if l.Confidence >= l.Threshold {
			l.Stratum = experiment.Confident
		}
		list = append(list, l)
	}
	return list
}

func sideOf(v crisol.Verdict) certify.Side {
	if v == crisol.Fixed {
		return certify.Fixed
	}
	return certify.NotFixed
}

// setting reads one into v, and returns its version.
func (a *Auditor) setting(ctx context.Context, key string, v any) (int64, error) {
	text, version, err := a.Store.Settings().Get(ctx, key)
	if err != nil || version == 0 {
		return 0, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return 0, crisol.Errorf(crisol.KindInternal, "read the setting %s: %w", key, err)
	}
	return version, nil
}

func (a *Auditor) readSwitch(ctx context.Context) (Switch, int64, error) {
	s := Switch{Enabled: a.Enabled, Rate: DefaultRate}
	version, err := a.setting(ctx, switchKey, &s)
	return s, version, err
}

// SetSwitch turns A/B testing on or off. A rate of 0 leaves the rate as it is. Rates below the floor are refused: with
// fewer comparisons nobody would notice in time.
func (a *Auditor) SetSwitch(ctx context.Context, enabled bool, rate float64) (Switch, error) {
	for {
		s, version, err := a.readSwitch(ctx)
		if err != nil {
			return s, err
		}
		s.Enabled, s.Since = enabled, a.Now().UTC()
		if rate != 0 {
			s.Rate = rate
		}
		if _, err := (experiment.Design{Rate: s.Rate}).WithDefaults(); err != nil || !(s.Rate <= 0.5) {
			return s, crisol.WithHint(crisol.Errorf(crisol.KindInput, "rate %g can't be had", s.Rate), "from 0.05 to 0.5; 0.10 is usual")
		}
		switch err := a.set(ctx, switchKey, s, version); {
		case errors.Is(err, store.ErrChanged):
			continue
		case err != nil:
			return s, err
		}
		body, err := json.Marshal(s)
		if err != nil {
			return s, fmt.Errorf("write an event: %w", err)
		}
		if _, err := a.Store.Events().Append(ctx, []store.Event{{At: s.Since, Kind: "ab_testing_switched", Body: body}}); err != nil {
			return s, err
		}
		return s, a.Refresh(ctx)
	}
}

func (a *Auditor) set(ctx context.Context, key string, v any, version int64) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the setting %s: %w", key, err)
	}
	_, err = a.Store.Settings().Set(ctx, key, text, version)
	return err
}

// Promote makes a model the champion of all that share the store. Who calls has seen that it can be read.
func (a *Auditor) Promote(ctx context.Context, model string) error {
	for {
		var was string
		version, err := a.setting(ctx, ChampionKey, &was)
		if err != nil {
			return err
		}
		err = a.set(ctx, ChampionKey, model, version)
		if errors.Is(err, store.ErrChanged) {
			continue
		}
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]string{"from": was, "to": model})
		if err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
		if _, err := a.Store.Events().Append(ctx, []store.Event{{At: a.Now().UTC(), Kind: "model_promoted", Subject: model, Body: body}}); err != nil {
			return err
		}
		return a.Refresh(ctx)
	}
}

// Champion is the model that was promoted here, "" where none was.
func (a *Auditor) Champion() string { return a.view.Load().champion }

// Epoch changes whenever trust does: what was decided in another epoch may be decided otherwise in this one.
func (a *Auditor) Epoch() string { return a.view.Load().epoch }

func (v *view) digest(rule policy.Rule) string {
	text := fmt.Sprint(rule, " ", v.champion, " ", v.Enabled)
	for _, k := range slices.SortedFunc(maps.Keys(v.statuses), func(x, y side) int {
		return strings.Compare(x.model+string(x.side), y.model+string(y.side))
	}) {
		s := v.statuses[k]
		text += fmt.Sprint(" ", k, s.State, s.Online, s.Threshold)
	}
	return text
}

// Bounds are where a model may be trusted now: what it brings along, less what was lost, with what was earned.
func (a *Auditor) Bounds(model string, brought policy.Bounds) policy.Bounds {
	v := a.view.Load()
	return policy.Bounds{
		Fixed:    v.bound(v.statuses[side{model, certify.Fixed}], brought.Fixed),
		NotFixed: v.bound(v.statuses[side{model, certify.NotFixed}], brought.NotFixed),
	}
}

func (v *view) bound(s experiment.Status, brought policy.Bound) policy.Bound {
	b := brought
	if !b.Certified {
		b.Threshold, b.Risk = policy.DefaultThreshold, 1
	}
	switch {
	case s.State == experiment.Demoted:
		return policy.Bound{Demoted: true, Threshold: b.Threshold, Risk: 1, Why: s.Text()}
	case !s.Trusted():
		b.Certified, b.Risk, b.Why = false, 1, s.Text()
		if brought.Why != "" {
			b.Why = brought.Why + "; " + s.Text()
		}
	case s.Online && !v.Enabled:
		return policy.Bound{Threshold: s.Threshold, Risk: 1, Why: "a certificate was earned, but A/B testing is off, so that nobody would notice when it no longer holds"}
	case s.Online:
		return policy.Bound{Certified: true, Threshold: s.Threshold, Risk: s.Alpha, Why: s.Text()}
	}
	return b
}
