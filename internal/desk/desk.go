// Package desk answers ml-first requests: at once where that can be, by the queue where it can't.
//
// In goes a request; out comes its validation, kept in the journal before it is told, or the submission under which a
// worker will decide it. What a model decided may be compared with a wargame later; the auditor says whether, after the
// decision, so that the comparison can neither change nor delay the answer.
package desk

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"crisol"
	"crisol/internal/audit"
	"crisol/internal/jobs"
	"crisol/internal/store"
	"crisol/internal/validate"
)

// Flow is the flow that decides (validate.Flow).
type Flow interface {
	Resolve(crisol.Request) (validate.Plan, error)
	Glance(context.Context, validate.Plan) (validate.Answer, bool, error)
}

// Queue takes what needs a trial (jobs.Queue).
type Queue interface {
	Submit(ctx context.Context, a jobs.Ask) (store.Submission, error)
}

// Journal keeps what was answered (spool.Spool).
type Journal interface {
	Put(store.Entry) error
}

// Auditor says which decisions of a model are compared with a wargame (audit.Auditor).
type Auditor interface {
	Plan(p audit.Prediction, sub store.Submission) (*store.ABTest, *store.Count, error)
}

// Desk answers. All fields must be set.
type Desk struct {
	Flow    Flow
	Queue   Queue
	Journal Journal
	Auditor Auditor
	Logger  *slog.Logger
	Now     func() time.Time
}

// MLFirst decides a request at once, or queues it: then the validation is nil.
func (d *Desk) MLFirst(ctx context.Context, a jobs.Ask) (*crisol.Validation, store.Submission, error) {
	a.Mode = store.ModeMLFirst
	plan, err := d.Flow.Resolve(a.Request)
	if err != nil {
		return nil, store.Submission{}, err
	}
	answer, decided, err := d.Flow.Glance(ctx, plan)
	if err != nil {
		return nil, store.Submission{}, err
	}
	if !decided {
		sub, err := d.Queue.Submit(ctx, a)
		return nil, sub, err
	}
	return d.keep(ctx, a, plan, answer)
}

// keep gives a decision its identity and puts it into the journal.
func (d *Desk) keep(ctx context.Context, a jobs.Ask, plan validate.Plan, answer validate.Answer) (*crisol.Validation, store.Submission, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, store.Submission{}, fmt.Errorf("make an id: %w", err)
	}
	now := d.Now().UTC().Truncate(time.Microsecond)
	v := answer.Validation
	v.ID, v.CreatedAt = id.String(), now
	sub := store.Submission{
		ID: v.ID, CreatedAt: now, Mode: a.Mode, Client: a.Client, Priority: a.Priority, Webhook: a.Webhook,
		Accepted: store.Accepted{ScenarioID: v.ScenarioID, ScenarioDigest: v.ScenarioDigest, PatchDigest: v.PatchDigest, Normalised: plan.Request},
	}
	entry := store.Entry{Submission: sub, Validation: &v, FinishedAt: now}
	if event, err := jobs.FinishedEvent(v, now); err == nil {
		entry.Events = []store.Event{event}
	} else {
		d.Logger.ErrorContext(ctx, "an event could not be written", "validation_id", v.ID, "error", err)
	}
	if a.Webhook != "" {
		delivery, err := jobs.FinishedDelivery(v, a.Webhook, now)
		if err != nil {
			return nil, store.Submission{}, err
		}
		entry.Deliveries = []store.Delivery{delivery}
	}
	if answer.Opinion != nil && v.Method == crisol.MethodML {
		// A comparison that can't be planned costs a label, and not the answer.
		if entry.ABTest, entry.Unaudited, err = d.Auditor.Plan(Prediction(answer), sub); err != nil {
			d.Logger.ErrorContext(ctx, "an A/B test could not be planned", "validation_id", v.ID, "error", err)
		}
	}
	if err := d.Journal.Put(entry); err != nil {
		return nil, store.Submission{}, err
	}
	return &v, sub, nil
}

// Prediction is what an answer's model said, as the auditor takes it.
func Prediction(a validate.Answer) audit.Prediction {
	o := a.Opinion
	return audit.Prediction{
		MLPrediction: o.Prediction, Bounds: o.Bounds, FeatureVersion: o.FeatureVersion, Features: o.Features, Others: o.Others,
		Took: o.Took, Decided: a.Method == crisol.MethodML,
	}
}
