package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tidwall/gjson"

	"crisol"
	"crisol/internal/cache"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

// Desk answers ml-first requests (desk.Desk).
type Desk interface {
	// MLFirst decides a request at once, or queues it: then the validation is nil.
	MLFirst(ctx context.Context, a jobs.Ask) (*crisol.Validation, store.Submission, error)
}

// Cache keeps answers (cache.Cache).
type Cache interface {
	Peek(item cache.Item) ([]byte, bool)
	Do(ctx context.Context, item cache.Item, compute func(context.Context) ([]byte, error)) ([]byte, cache.Source, error)
	Invalidate(ctx context.Context, scope string) (shared bool)
	InvalidateAll(ctx context.Context) (shared bool)
}

const mlFirstPath = "/wargaming/ml-first"

func (s *server) addMLFirst() {
	op := huma.Operation{
		OperationID: "ml-first", Method: http.MethodPost, Path: mlFirstPath, Tags: []string{"Validations"},
		Summary: "Validate a patch: static checks, then the model, and a wargame only where that can't be trusted",
		Description: "validation_method says who decided, and policy_reason why a model didn't. certified says of a model's " +
			"decision whether it stands under a certificate. The same request is answered from the cache (cached) as long as " +
			"the model, its certificates and the scenarios stay the same.",
	}
	huma.Register(s.huma, s.submission(op, "The verdict"), s.mlFirst)
}

// question is what an ml-first request is known by in the cache, beside the request itself.
type question struct {
	item cache.Item
	ok   bool
	// epoch is the one that the item is of.
	epoch string
}

type questionKey struct{}

// recall answers an ml-first request whose very bytes were answered before, without another look at them: what was
// answered once was well-formed. The context it returns knows the question.
func (s *server) recall(w http.ResponseWriter, r *http.Request, body []byte) (ctx context.Context, answered bool) {
	if r.URL.Path != mlFirstPath || r.URL.RawQuery != "" {
		return r.Context(), false
	}
	q := s.question(body)
	if q.ok {
		if known, hit := s.Cache.Peek(q.item); hit {
			s.write(w, known)
			return r.Context(), true
		}
	}
	return context.WithValue(r.Context(), questionKey{}, q), false
}

func (s *server) question(body []byte) question {
	scope := gjson.GetBytes(body, "apv_id")
	if scope.Type != gjson.String || scope.Str == "" {
		return question{}
	}
	epoch := s.Epoch()
	return question{ok: true, epoch: epoch, item: cache.Item{Kind: cache.Predictions, Scope: scope.Str, Key: cache.KeyOf([]byte("ml-first"), []byte(epoch), body)}}
}

func (s *server) write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that is gone can't be told
}

type rawOutput struct {
	Status      int
	Location    string `header:"Location"`
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// unsettled carries an answer that isn't to be kept out of the cache's hands.
type unsettled struct{ out *rawOutput }

func (unsettled) Error() string { return "the answer is not to be kept" }

var (
	cachedTrue  = []byte(`"cached":true`)
	cachedFalse = []byte(`"cached":false`)
)

func (s *server) mlFirst(ctx context.Context, in *struct{ Body ValidateRequest }) (*rawOutput, error) {
	ask, wait, err := s.asked(ctx, &in.Body, store.ModeMLFirst)
	if err != nil {
		return nil, err
	}
	q, _ := ctx.Value(questionKey{}).(question)
	if !q.ok || q.item.Scope != ask.Request.APVID || ask.Webhook != "" {
		out, _, err := s.decide(ctx, ask, wait)
		if err != nil {
			return nil, s.asError(ctx, err)
		}
		return out, nil
	}
	body, source, err := s.Cache.Do(ctx, q.item, func(ctx context.Context) ([]byte, error) {
		out, keep, err := s.decide(ctx, ask, wait)
		switch {
		case err != nil:
			return nil, err
		case !keep || s.Epoch() != q.epoch: // it may be another model's than the key says
			return nil, unsettled{out}
		}
		return bytes.Replace(out.Body, cachedFalse, cachedTrue, 1), nil
	})
	var loose unsettled
	switch {
	case errors.As(err, &loose):
		return loose.out, nil
	case err != nil:
		return nil, s.asError(ctx, err)
	case source == cache.Computed: // a string in JSON has no bare quote, so the first match is the member
		body = bytes.Replace(body, cachedTrue, cachedFalse, 1)
	}
	return &rawOutput{Status: http.StatusOK, ContentType: "application/json", Body: body}, nil
}

// decide answers a request; keep says whether another request like it may get the same answer.
func (s *server) decide(ctx context.Context, ask jobs.Ask, wait time.Duration) (out *rawOutput, keep bool, err error) {
	v, sub, err := s.Desk.MLFirst(ctx, ask)
	if err != nil {
		return nil, false, err
	}
	if v != nil {
		noteOf(ctx).validationID = v.ID
		out, err := raw(http.StatusOK, "", &Finished{State: string(store.Finished), FinishedAt: &v.CreatedAt, Validation: *v})
		return out, v.Verdict != crisol.Inconclusive, err
	}
	answer := s.answer(ctx, sub, wait)
	out, err = raw(answer.Status, answer.Location, answer.Body)
	done, ok := answer.Body.(*Finished)
	return out, ok && done.Verdict != crisol.Inconclusive, err
}

func raw(status int, location string, body any) (*rawOutput, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "write the answer: %w", err)
	}
	return &rawOutput{Status: status, Location: location, ContentType: "application/json", Body: append(text, '\n')}, nil
}

// queued is a submission whose row could not be read.
func queued(sub store.Submission) *Unfinished {
	r := sub.Normalised
	return &Unfinished{ID: sub.ID, State: string(store.Queued), APVID: r.APVID, CVEID: r.CVEID, PatchID: r.PatchID,
		ScenarioID: sub.ScenarioID, CreatedAt: sub.CreatedAt}
}
