package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"crisol/internal/audit"
	"crisol/internal/cache"
	"crisol/internal/experiment"
)

// Auditor says how models do against wargames, and switches A/B testing (audit.Auditor).
type Auditor interface {
	SetSwitch(ctx context.Context, enabled bool, rate float64) (audit.Switch, error)
	Status(ctx context.Context) (audit.Standing, error)
	// Seq is the last judged test that is counted.
	Seq() int64
	Accuracy(ctx context.Context, model string, since, until time.Time) (audit.Accuracy, error)
	Stats(ctx context.Context, model string, since, until time.Time) (audit.Stats, error)
	Confidence(ctx context.Context, model string, since, until time.Time) (audit.Confidence, error)
	Recent(ctx context.Context, model string, limit int) ([]audit.Trial, error)
}

// Models is the registry of models as the service sees it.
type Models interface {
	// List returns every model, with how far it is trusted.
	List(ctx context.Context) ([]Model, error)
	// Promote makes a model the champion. An unknown one is a crisol.KindNotFound error; one that tests don't show to be
	// better is a crisol.KindInput error unless it is forced.
	Promote(ctx context.Context, version string, force bool) (Model, error)
	// Champion is the version that decides.
	Champion(ctx context.Context) (string, error)
}

// Model is one model of the registry.
type Model struct {
	Version        string `json:"version"`
	Champion       bool   `json:"champion"`
	Shipped        bool   `json:"shipped" doc:"It came with Crisol"`
	FeatureVersion string `json:"feature_version,omitempty"`
	Rows           int    `json:"rows,omitempty" doc:"It was trained on"`
	Error          string `json:"error,omitempty" doc:"Why it can't be used"`
	// Certificates are those that it brings along, Trust what tests in service say.
	Certificates map[string]Certificate `json:"certificates,omitempty"`
	Trust        []experiment.Status    `json:"trust,omitempty"`
	Measured     map[string]float64     `json:"measured,omitempty" doc:"Figures of its evaluation on unseen packages"`
	Against      *experiment.Comparison `json:"against_champion,omitempty" doc:"Both models on the same tests; positive differences are in this model's favour"`
}

// Certificate says from which confidence a side is trusted, and why not where it isn't.
type Certificate struct {
	Certified bool    `json:"certified"`
	Threshold float64 `json:"threshold"`
	Risk      float64 `json:"risk"`
	Reason    string  `json:"reason"`
}

// ranges are the choices of time_range.
var ranges = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

type rangeInput struct {
	Range string `query:"time_range" enum:"1h,24h,7d,30d" default:"24h" doc:"How far back"`
	Model string `query:"model_version" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._+-]*$" doc:"One model; the champion where figures are about one, else all"`
}

func (in rangeInput) span(now time.Time) (since, until time.Time) {
	return now.Add(-ranges[in.Range]), now
}

// Confusion is the answer of GET /wargaming/ml/accuracy.
type Confusion struct {
	TimeRange string `json:"time_range"`
	audit.Accuracy
}

// StatsAnswer is the answer of GET /wargaming/ml/stats.
type StatsAnswer struct {
	TimeRange string `json:"time_range"`
	audit.Stats
}

func (s *server) addModel() {
	answered := func(id, path, summary, description string, body reflect.Type) huma.Operation {
		return s.operation(huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"Model"}, Summary: summary, Description: description,
			Responses: map[string]*huma.Response{"200": s.response(summary, body)},
		}, http.StatusNotFound, http.StatusServiceUnavailable)
	}
	huma.Register(s.huma, answered("ml-accuracy", "/wargaming/ml/accuracy", "How a model does, as wargames tell",
		"Confusion matrix, accuracy, precision, recall and F1: weighted by 1/propensity, with 95 % intervals, beside the raw counts; "+
			"the trend by the hour, and the last 20 tests. Metrics are null where they would divide by zero.", reflect.TypeFor[Confusion]()), s.accuracy)
	huma.Register(s.huma, answered("ml-stats", "/wargaming/ml/stats", "What was predicted, tested and decided",
		"Counted from records.", reflect.TypeFor[StatsAnswer]()), s.stats)
	huma.Register(s.huma, answered("ml-confidence", "/wargaming/ml/confidence-distribution", "How predictions are distributed",
		"Over ten bins of the probability of fixed, with how many of each were right.", reflect.TypeFor[audit.Confidence]()), s.confidence)
	huma.Register(s.huma, answered("ml-recent", "/wargaming/ml/recent-predictions", "The newest predictions that were or will be tested",
		"Newest first.", reflect.TypeFor[Trials]()), s.recent)
	s.addSwitch()
	s.addModels()
	s.addCache()
}

// about is the model that figures are about.
func (s *server) about(ctx context.Context, in *rangeInput) (string, error) {
	if in.Model != "" {
		return in.Model, nil
	}
	champion, err := s.Models.Champion(ctx)
	if err != nil {
		return "", s.asError(ctx, err)
	}
	return champion, nil
}

func (s *server) accuracy(ctx context.Context, in *rangeInput) (*rawOutput, error) {
	model, err := s.about(ctx, in)
	if err != nil {
		return nil, err
	}
	// It is read often, and changes with every test that is judged.
	key := cache.KeyOf([]byte("accuracy"), []byte(in.Range), []byte(model), []byte(strconv.FormatInt(s.Auditor.Seq(), 10)), []byte(s.Epoch()))
	body, _, err := s.Cache.Do(ctx, cache.Item{Kind: cache.ConfusionMatrix, Key: key}, func(ctx context.Context) ([]byte, error) {
		since, until := in.span(s.Now())
		report, err := s.Auditor.Accuracy(ctx, model, since, until)
		if err != nil {
			return nil, err
		}
		return json.Marshal(Confusion{in.Range, report})
	})
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &rawOutput{Status: http.StatusOK, ContentType: "application/json", Body: body}, nil
}

type statsOutput struct{ Body StatsAnswer }

func (s *server) stats(ctx context.Context, in *rangeInput) (*statsOutput, error) {
	since, until := in.span(s.Now())
	stats, err := s.Auditor.Stats(ctx, in.Model, since, until)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &statsOutput{StatsAnswer{in.Range, stats}}, nil
}

type confidenceOutput struct{ Body audit.Confidence }

func (s *server) confidence(ctx context.Context, in *rangeInput) (*confidenceOutput, error) {
	since, until := in.span(s.Now())
	c, err := s.Auditor.Confidence(ctx, in.Model, since, until)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &confidenceOutput{c}, nil
}

// Trials is the answer of GET /wargaming/ml/recent-predictions.
type Trials struct {
	Predictions []audit.Trial `json:"predictions" nullable:"false"`
}

type trialsOutput struct{ Body Trials }

func (s *server) recent(ctx context.Context, in *struct {
	Model string `query:"model_version" minLength:"1" maxLength:"64"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"20"`
}) (*trialsOutput, error) {
	list, err := s.Auditor.Recent(ctx, in.Model, in.Limit)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &trialsOutput{Trials{list}}, nil
}

type switchOutput struct{ Body audit.Standing }

// SwitchRequest is the body of POST /wargaming/ab-testing/enable.
type SwitchRequest struct {
	Rate float64 `json:"rate,omitempty" nullable:"true" minimum:"0.05" maximum:"0.5" doc:"Share of the model's decisions that a wargame checks; left out, it stays as it is (0.10 at first)" example:"0.1"`
}

func (s *server) addSwitch() {
	flip := func(id, path, summary string) huma.Operation {
		return s.operation(huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{"A/B testing"}, Summary: summary,
			Description: "The switch is kept in the store and holds for all that share it. Predictions beside which a wargame decides are compared in any case.",
		}, http.StatusServiceUnavailable, http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge)
	}
	huma.Register(s.huma, flip("ab-enable", "/wargaming/ab-testing/enable", "Check a share of the model's decisions by wargames"),
		func(ctx context.Context, in *struct {
			Body *SwitchRequest `required:"false"`
		}) (*switchOutput, error) {
			rate := 0.0
			if in.Body != nil {
				rate = in.Body.Rate
			}
			return s.flip(ctx, true, rate)
		})
	huma.Register(s.huma, flip("ab-disable", "/wargaming/ab-testing/disable", "Check none of the model's decisions"),
		func(ctx context.Context, _ *struct{}) (*switchOutput, error) { return s.flip(ctx, false, 0) })
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "ab-status", Method: http.MethodGet, Path: "/wargaming/ab-testing/status", Tags: []string{"A/B testing"},
		Summary:     "How A/B testing stands, and how far each model is trusted",
		Description: "needed is the least number of further tests without an error after which a side is trusted.",
	}, http.StatusServiceUnavailable), func(ctx context.Context, _ *struct{}) (*switchOutput, error) { return s.switchStatus(ctx) })
}

func (s *server) flip(ctx context.Context, enabled bool, rate float64) (*switchOutput, error) {
	act, how := "disable A/B testing", any(nil)
	if enabled {
		act, how = "enable A/B testing", SwitchRequest{rate}
	}
	err := s.change(ctx, deed{act: act, how: how}, func() error {
		_, err := s.Auditor.SetSwitch(ctx, enabled, rate)
		return err
	})
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return s.switchStatus(ctx)
}

func (s *server) switchStatus(ctx context.Context) (*switchOutput, error) {
	status, err := s.Auditor.Status(ctx)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &switchOutput{status}, nil
}

// ModelList is the answer of GET /wargaming/models.
type ModelList struct {
	Models []Model `json:"models" nullable:"false"`
}

type modelsOutput struct{ Body ModelList }

type modelOutput struct{ Body Model }

func (s *server) addModels() {
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "list-models", Method: http.MethodGet, Path: "/wargaming/models", Tags: []string{"Model"},
		Summary: "The models, their certificates, and how challengers do against the champion",
	}, http.StatusServiceUnavailable), func(ctx context.Context, _ *struct{}) (*modelsOutput, error) {
		list, err := s.Models.List(ctx)
		if err != nil {
			return nil, s.asError(ctx, err)
		}
		return &modelsOutput{ModelList{list}}, nil
	})
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "promote-model", Method: http.MethodPost, Path: "/wargaming/models/{version}/promote", Tags: []string{"Model"},
		Summary: "Make a model the champion", Description: "It decides from now on, as far as its own certificates allow. One that tests with both haven't shown to be better is refused, unless force is set.",
	}, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge), func(ctx context.Context, in *struct {
		Version string `path:"version" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$"`
		Force   bool   `query:"force" doc:"Although tests don't show that it is better"`
	}) (*modelOutput, error) {
		var m Model
		err := s.change(ctx, deed{"promote a model", in.Version, map[string]bool{"force": in.Force}}, func() (err error) {
			m, err = s.Models.Promote(ctx, in.Version, in.Force)
			return err
		})
		if err != nil {
			return nil, s.asError(ctx, err)
		}
		return &modelOutput{m}, nil
	})
}

// Invalidated is the answer of DELETE /wargaming/cache.
type Invalidated struct {
	APVID  string `json:"apv_id,omitempty" doc:"Whose answers are forgotten; absent for all"`
	Shared bool   `json:"shared" doc:"All instances know; else this one knows, and tells the others once Redis is back"`
}

func (s *server) addCache() {
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "invalidate-cache", Method: http.MethodDelete, Path: "/wargaming/cache", Tags: []string{"Service"},
		Summary: "Forget the cached answers about one APV, or all",
	}, http.StatusServiceUnavailable), func(ctx context.Context, in *struct {
		APVID string `query:"apv_id" minLength:"1" maxLength:"200" doc:"Left out, all are forgotten"`
	}) (*struct{ Body Invalidated }, error) {
		answer := Invalidated{APVID: in.APVID}
		err := s.change(ctx, deed{act: "invalidate the cache", subject: in.APVID}, func() error {
			if in.APVID == "" {
				answer.Shared = s.Cache.InvalidateAll(ctx)
			} else {
				answer.Shared = s.Cache.Invalidate(ctx, in.APVID)
			}
			return nil
		})
		if err != nil {
			return nil, s.asError(ctx, err)
		}
		return &struct{ Body Invalidated }{answer}, nil
	})
}
