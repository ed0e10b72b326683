package audit

import (
	"context"
	"slices"
	"strings"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
	"crisol/internal/policy"
	"crisol/internal/store"
)

// Standing is how A/B testing stands.
type Standing struct {
	Switch
	Policy  policy.Rule         `json:"policy"`
	Floor   float64             `json:"floor"`
	Raised  float64             `json:"raised_rate"`
	Pending int                 `json:"pending"`
	Sides   []experiment.Status `json:"sides"`
	// Drift is that of each model that brings a profile along.
	Drift map[string]experiment.Drift `json:"drift"`
	// Seq is the last judged test that is counted here.
	Seq int64 `json:"seq"`
}

// Status says how A/B testing stands, as of the last Refresh.
func (a *Auditor) Status(ctx context.Context) (Standing, error) {
	v := a.view.Load()
	s := Standing{Switch: v.Switch, Policy: a.Rule, Floor: v.design.Floor, Raised: v.design.Raised, Drift: v.drifts, Seq: v.seq, Sides: []experiment.Status{}}
	if s.Policy == "" {
		s.Policy = policy.Certified
	}
	pending, err := a.Store.ABTests().Pending(ctx, "", page)
	if err != nil {
		return s, err
	}
	s.Pending = len(pending)
	for _, status := range v.statuses {
		s.Sides = append(s.Sides, status)
	}
	slices.SortFunc(s.Sides, func(x, y experiment.Status) int {
		return strings.Compare(x.Model+string(x.Side), y.Model+string(y.Side))
	})
	return s, nil
}

// Seq is the last judged test that is counted, as of the last Refresh.
func (a *Auditor) Seq() int64 { return a.view.Load().seq }

// Sides are the statuses of one model.
func (a *Auditor) Sides(model string) map[certify.Side]experiment.Status {
	v := a.view.Load()
	sides := map[certify.Side]experiment.Status{}
	for _, of := range []certify.Side{certify.Fixed, certify.NotFixed} {
		if s, ok := v.statuses[side{model, of}]; ok {
			sides[of] = s
		}
	}
	return sides
}

// Accuracy is what tests of a time say of a model.
type Accuracy struct {
	ModelVersion string    `json:"model_version"`
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`
	experiment.Estimate
	// Complete is whether the figures rest on all tests of the time; else on the newest of them.
	Complete bool    `json:"complete"`
	Trend    []Hour  `json:"trend"`
	Recent   []Trial `json:"recent"`
}

// Hour is one hour of judged tests: as they are counted, and weighted by 1/propensity.
type Hour struct {
	Hour     time.Time         `json:"hour"`
	Tests    int64             `json:"tests"`
	Raw      experiment.Matrix `json:"raw"`
	Weighted experiment.Matrix `json:"weighted"`
	Accuracy *float64          `json:"accuracy"`
}

// Trial is one test in a list.
type Trial struct {
	ID                   string                `json:"id"`
	ValidationID         string                `json:"validation_id"`
	APVID                string                `json:"apv_id"`
	CVEID                string                `json:"cve_id,omitempty"`
	PatchID              string                `json:"patch_id,omitempty"`
	ScenarioID           string                `json:"scenario_id"`
	ModelVersion         string                `json:"model_version"`
	Prediction           crisol.Verdict        `json:"ml_prediction"`
	Probability          float64               `json:"ml_probability"`
	Confidence           float64               `json:"ml_confidence"`
	ExecutionMS          float64               `json:"ml_execution_time_ms"`
	Stratum              string                `json:"stratum"`
	Decided              bool                  `json:"decided"`
	Propensity           float64               `json:"propensity"`
	State                string                `json:"state"`
	WargamingResult      crisol.Verdict        `json:"wargaming_result,omitempty"`
	WargamingExecutionMS float64               `json:"wargaming_execution_time_ms,omitempty"`
	Correct              *bool                 `json:"ml_correct"`
	DisagreementReason   string                `json:"disagreement_reason,omitempty"`
	Explanation          []crisol.Contribution `json:"shap_values,omitempty"`
	CreatedAt            time.Time             `json:"created_at"`
}

func trial(t store.ABTest) Trial {
	return Trial{
		ID: t.ID, ValidationID: t.ValidationID, APVID: t.APVID, CVEID: t.CVEID, PatchID: t.PatchID, ScenarioID: t.ScenarioID,
		ModelVersion: t.ModelVersion, Prediction: t.Prediction, Probability: t.Probability, Confidence: t.Confidence,
		ExecutionMS: t.MLExecutionMS, Stratum: t.Stratum, Decided: t.Decided, Propensity: t.Propensity, State: t.State,
		WargamingResult: t.WargamingResult, WargamingExecutionMS: t.WargamingExecutionMS, Correct: t.Correct,
		DisagreementReason: t.DisagreementReason, Explanation: t.SHAP, CreatedAt: t.CreatedAt,
	}
}

// most bounds the tests that figures are made of at once; recent is how many are listed.
const (
	most   = 20_000
	recent = 20
)

// Accuracy estimates how a model did in a time.
func (a *Auditor) Accuracy(ctx context.Context, model string, since, until time.Time) (Accuracy, error) {
	report := Accuracy{ModelVersion: model, Since: since.UTC(), Until: until.UTC(), Trend: []Hour{}, Recent: []Trial{}}
	rows, complete, err := a.rows(ctx, store.ABFilter{ModelVersion: model, State: store.Judged, Since: since, Until: until})
	if err != nil {
		return report, err
	}
	labels := make([]experiment.Label, 0, len(rows))
	for i, row := range rows {
		if i < recent {
			report.Recent = append(report.Recent, trial(row))
		}
		if row.ABTestVersion == DesignVersion {
			labels = append(labels, Label(row))
		}
	}
	if report.Estimate, err = experiment.Weigh(labels); err != nil {
		return report, err
	}
	report.Complete = complete
	report.Trend, err = a.trend(ctx, model, since, until)
	return report, err
}

// rows reads what a filter selects, newest first, as far as the bound goes.
func (a *Auditor) rows(ctx context.Context, f store.ABFilter) (all []store.ABTest, complete bool, err error) {
	for f.Limit = page; len(all) < most; f.Before = all[len(all)-1].ID {
		rows, err := a.Store.ABTests().Recent(ctx, f)
		if err != nil {
			return nil, false, err
		}
		all = append(all, rows...)
		if len(rows) < page {
			return all, true, nil
		}
	}
	return all, false, nil
}

func (a *Auditor) trend(ctx context.Context, model string, since, until time.Time) ([]Hour, error) {
	rollups, err := a.Store.Accuracy().Hourly(ctx, since, until, model)
	if err != nil {
		return nil, err
	}
	hours := []Hour{}
	for _, r := range rollups {
		if len(hours) == 0 || !hours[len(hours)-1].Hour.Equal(r.Hour) {
			hours = append(hours, Hour{Hour: r.Hour})
		}
		h := &hours[len(hours)-1]
		c, w := r.Counts, r.Weights
		h.Tests += c.TruePositive + c.FalsePositive + c.TrueNegative + c.FalseNegative + c.Inconclusive
		sum(&h.Raw, float64(c.TruePositive), float64(c.FalsePositive), float64(c.FalseNegative), float64(c.TrueNegative))
		sum(&h.Weighted, w.TruePositive, w.FalsePositive, w.FalseNegative, w.TrueNegative)
	}
	for i := range hours {
		hours[i].Accuracy = hours[i].Weighted.Metrics().Accuracy
	}
	return hours, nil
}

func sum(m *experiment.Matrix, tp, fp, fn, tn float64) {
	m.TruePositive += tp
	m.FalsePositive += fp
	m.FalseNegative += fn
	m.TrueNegative += tn
}

// Stats count predictions of a time.
type Stats struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Predictions that were kept as tests or counted without one; Tests is how many a wargame judged or will judge.
	Predictions int64 `json:"predictions"`
	Tests       int64 `json:"tests"`
	Pending     int64 `json:"pending"`
	Correct     int64 `json:"correct"`
	Wrong       int64 `json:"wrong"`
	// Inconclusive is how many wargames couldn't tell.
	Inconclusive int64 `json:"inconclusive"`
	// Decided is how many answers were the model's.
	Decided int64 `json:"decided"`
	// PredictionMS and WargamingMS are medians over the tests; nil where there is none.
	PredictionMS *float64 `json:"ml_execution_time_ms"`
	WargamingMS  *float64 `json:"wargaming_execution_time_ms"`
	Complete     bool     `json:"complete"`
}

// Stats counts what is kept of a time; model "" is all.
func (a *Auditor) Stats(ctx context.Context, model string, since, until time.Time) (Stats, error) {
	s := Stats{Since: since.UTC(), Until: until.UTC()}
	rows, complete, err := a.rows(ctx, store.ABFilter{ModelVersion: model, Since: since, Until: until})
	if err != nil {
		return s, err
	}
	counts, err := a.Store.Counters().Range(ctx, since, until, model)
	if err != nil {
		return s, err
	}
	s.Complete, s.Tests = complete, int64(len(rows))
	var asked, fought []float64
	for _, t := range rows {
		asked = append(asked, t.MLExecutionMS)
		if t.Decided {
			s.Decided++
		}
		switch {
		case t.State == store.Pending:
			s.Pending++
			continue
		case t.Correct == nil:
			s.Inconclusive++
		case *t.Correct:
			s.Correct++
		default:
			s.Wrong++
		}
		fought = append(fought, t.WargamingExecutionMS)
	}
	s.Predictions = s.Tests
	for _, c := range counts {
		s.Predictions += c.N
		s.Decided += c.N
	}
	s.PredictionMS, s.WargamingMS = median(asked), median(fought)
	return s, nil
}

func median(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	return &values[len(values)/2]
}

// Bin is a range of confidence, the upper end excluded but for the last.
type Bin struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	// Tests that fall in it, and Predictions that they stand for, each test 1/propensity.
	Tests       int64   `json:"tests"`
	Predictions float64 `json:"predictions"`
	// Judged of them with a wargame that could tell, and Correct ones, both weighted.
	Judged  float64 `json:"judged"`
	Correct float64 `json:"correct"`
}

// Confidence is how probabilities of fixed, or confidences, are distributed.
type Confidence struct {
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Bins     []Bin     `json:"bins"`
	Complete bool      `json:"complete"`
}

// Confidence distributes the tests of a time over ten bins of the model's probability of fixed; model "" is all.
func (a *Auditor) Confidence(ctx context.Context, model string, since, until time.Time) (Confidence, error) {
	c := Confidence{Since: since.UTC(), Until: until.UTC()}
	for i := range 10 {
		c.Bins = append(c.Bins, Bin{From: float64(i) / 10, To: float64(i+1) / 10})
	}
	rows, complete, err := a.rows(ctx, store.ABFilter{ModelVersion: model, Since: since, Until: until})
	c.Complete = complete
	for _, t := range rows {
		b := &c.Bins[min(9, int(t.Probability*10))]
		b.Tests++
		b.Predictions += 1 / t.Propensity
		if t.Correct != nil {
			b.Judged += 1 / t.Propensity
			if *t.Correct {
				b.Correct += 1 / t.Propensity
			}
		}
	}
	return c, err
}

// Recent lists the newest tests; model "" is all.
func (a *Auditor) Recent(ctx context.Context, model string, limit int) ([]Trial, error) {
	rows, err := a.Store.ABTests().Recent(ctx, store.ABFilter{ModelVersion: model, Limit: limit})
	list := make([]Trial, len(rows))
	for i, row := range rows {
		list[i] = trial(row)
	}
	return list, err
}

// Compare holds a challenger against the champion over the tests in which both were asked, since a time.
func (a *Auditor) Compare(ctx context.Context, champion, challenger string, since time.Time) (experiment.Comparison, error) {
	rows, _, err := a.rows(ctx, store.ABFilter{ModelVersion: champion, State: store.Judged, Since: since})
	if err != nil {
		return experiment.Comparison{}, err
	}
	slices.SortFunc(rows, func(x, y store.ABTest) int { return int(x.JudgedSeq - y.JudgedSeq) })
	var pairs []experiment.Pair
	floor := a.view.Load().design.Floor
	for _, t := range rows {
		other, asked := t.Challengers[challenger]
		fixed, known := Label(t).Truth()
		if !asked || !known || t.ABTestVersion != DesignVersion {
			continue
		}
		pairs = append(pairs, experiment.Pair{Champion: t.Probability, Challenger: other, Fixed: fixed, Propensity: t.Propensity, Group: t.ScenarioID})
	}
	if len(pairs) == 0 {
		return experiment.Comparison{Finding: experiment.Undecided}, nil
	}
	return experiment.Compare(pairs, floor)
}
