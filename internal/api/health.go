package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"crisol/internal/health"
)

// Board says how the parts of the service are (health.Board).
type Board interface {
	Report(ctx context.Context) health.Report
}

// Health is the answer of GET /health.
type Health struct {
	Status  string `json:"status" enum:"ok" doc:"The process is alive and answers"`
	Version string `json:"version"`
}

func (s *server) addHealth() {
	type output struct{ Body Health }
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/health", Tags: []string{"Service"},
		Summary: "Whether the service is alive", Description: "Cheap: it asks nothing of the database or the sandbox.",
	}), func(context.Context, *struct{}) (*output, error) {
		return &output{Health{Status: "ok", Version: s.Version}}, nil
	})
	report := func(id, path, summary, description string, status func(health.Report) int, answers ...string) {
		type output struct {
			Status int
			Body   health.Report
		}
		responses := map[string]*huma.Response{}
		for _, answer := range answers {
			responses[answer] = s.response("How the parts are", reflect.TypeFor[health.Report]())
		}
		huma.Register(s.huma, s.operation(huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"Service"}, Summary: summary, Description: description,
			Responses: responses,
		}), func(ctx context.Context, _ *struct{}) (*output, error) {
			r := s.Board.Report(ctx)
			return &output{status(r), r}, nil
		})
	}
	report("health-detailed", "/health/detailed", "How each part of the service is",
		"healthy: all works; degraded: it answers, with less or more slowly; unhealthy: it can't do what it is for. Always 200.",
		func(health.Report) int { return http.StatusOK }, "200")
	report("health-ready", "/health/ready", "Whether the service can do what it is for",
		"200, also when it is degraded; 503 when it is unhealthy, with the same report.",
		func(r health.Report) int {
			if r.Status == health.Unhealthy {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		}, "200", "503")
}
