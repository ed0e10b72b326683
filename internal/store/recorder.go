package store

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"crisol"
)

// Entry is an answer that was given without a trial, and what is to be kept of it.
type Entry struct {
	// Submission and Validation are of the finished validation; Validation is nil where only the rest is to be kept.
	Submission Submission
	Validation *crisol.Validation
	FinishedAt time.Time

	ABTest *ABTest
	// Unaudited is counted where the prediction was not sampled; its N is taken as 1 where it is 0. It is counted only
	// together with a Validation, once, however often the entry is recorded.
	Unaudited *Count
	Events    []Event // appended when the validation is new; with a Key where there is no validation
	// Deliveries are enqueued by their own IDs.
	Deliveries []Delivery
}

// Check refuses an entry that no database could keep, so that it is never accepted into a journal which it would
// block.
func (e Entry) Check() error {
	if e.Validation != nil {
		if err := (Ending{ID: e.Submission.ID, Validation: *e.Validation, At: e.FinishedAt}).Check(); err != nil {
			return err
		}
		if _, err := json.Marshal(e.Submission.Normalised); err != nil {
			return crisol.Errorf(crisol.KindInternal, "validation %q: the request can't be written: %w", e.Submission.ID, err)
		}
	}
	if e.Validation == nil && e.Unaudited != nil {
		return crisol.Errorf(crisol.KindInternal, "a count without a validation would be counted at every retry")
	}
	for _, event := range e.Events {
		if e.Validation == nil && event.Key == "" {
			return crisol.Errorf(crisol.KindInternal, "event %q without a validation and without a key would be kept at every retry", event.Kind)
		}
		if err := event.Check(); err != nil {
			return err
		}
	}
	if e.ABTest != nil {
		return e.ABTest.Check()
	}
	return nil
}

// Check refuses an event that could not be kept.
func (e Event) Check() error {
	if e.Kind == "" || len(e.Body) > 0 && !json.Valid(e.Body) {
		return crisol.Errorf(crisol.KindInternal, "event %q about %q: it has no kind, or a body that is no JSON", e.Kind, e.Subject)
	}
	return nil
}

// Recorder keeps what was answered already.
type Recorder interface {
	// Record keeps entries in one transaction. What is kept already, by the ID of its validation or A/B test, is left as
	// it is, so that a batch whose outcome could not be learned may be recorded again.
	Record(ctx context.Context, entries []Entry) error
}

// Ending is the end of a validation, with all that is to be kept in the same transaction.
type Ending struct {
	ID         string
	Validation crisol.Validation
	At         time.Time
	// Fence is that of the Attempt whose end this is; 0 where nobody works on it, or where whoever does is overruled (a
	// cancellation).
	Fence int64

	ABTest     *ABTest // judged by this trial; one that is kept already stays as it is
	Events     []Event
	Deliveries []Delivery
}

// Check refuses an end that could not be kept.
func (e Ending) Check() error {
	v := e.Validation
	refuse := func(what string, value any) error {
		return crisol.Errorf(crisol.KindInternal, "validation %q: %s is %v", e.ID, what, value)
	}
	switch {
	case e.ID == "":
		return refuse("the id", `""`)
	case !known(v.Verdict):
		return refuse("the verdict", v.Verdict)
	case v.PatchValidated && v.Verdict != crisol.Fixed:
		return refuse("the patch counts as validated, but the verdict", v.Verdict)
	case e.At.IsZero():
		return refuse("the time of its end", "not set")
	}
	for _, x := range []float64{v.Confidence, v.ResidualRisk, v.ExecutionTimeSeconds} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return refuse("a figure", x)
		}
	}
	if _, err := json.Marshal(v); err != nil {
		return crisol.Errorf(crisol.KindInternal, "validation %q: the verdict can't be written: %w", e.ID, err)
	}
	for _, event := range e.Events {
		if err := event.Check(); err != nil {
			return err
		}
	}
	if e.ABTest != nil {
		return e.ABTest.Check()
	}
	return nil
}
