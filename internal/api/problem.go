package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"crisol"
)

// Problem is an error as RFC 9457 wants it told, with the hint, the kind and the request's id as further members.
type Problem struct { //nolint:errname // its name in /openapi.json
	Type      string          `json:"type" doc:"Always about:blank: kind tells problems apart" example:"about:blank"`
	Title     string          `json:"title" doc:"The status in words" example:"Unprocessable Entity"`
	Status    int             `json:"status" example:"422"`
	Detail    string          `json:"detail,omitempty" doc:"What went wrong this time"`
	Kind      string          `json:"kind" enum:"input,not_found,target,infrastructure,internal" doc:"Whose fault it is; infrastructure may succeed when tried again"`
	Hint      string          `json:"hint,omitempty" doc:"The next step, where one is known"`
	RequestID string          `json:"request_id,omitempty" doc:"Names this request in the log of the service"`
	Errors    []ProblemDetail `json:"errors,omitempty" doc:"Every single fault of the request"`
}

// ProblemDetail is one fault of a request.
type ProblemDetail struct {
	Message  string `json:"message" example:"unexpected property"`
	Location string `json:"location,omitempty" example:"body.patch_dif"`
}

// Error is the detail. With GetStatus and ContentType it makes a Problem an error that huma renders as it is.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is what RFC 9457 calls such a document.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// retryAfter is what a 503 tells in Retry-After, in seconds, where nothing better is known.
const retryAfter = "5"

// retryIn is what a 503 tells in Retry-After: as long as the error says, where it says so.
func retryIn(err error) string {
	var told interface{ RetryAfter() time.Duration }
	if !errors.As(err, &told) {
		return retryAfter
	}
	return strconv.Itoa(max(1, int(math.Ceil(told.RetryAfter().Seconds()))))
}

func (p *Problem) complete(ctx context.Context) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	p.RequestID = noteOf(ctx).requestID
}

// write sends the problem where huma doesn't: before and beside its operations.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p.complete(r.Context())
	w.Header().Set("Content-Type", problemType)
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that is gone can't be told
}

// asError renders an error of the house. What is our own fault is logged and not told.
func (s *server) asError(ctx context.Context, err error) error {
	var told *Problem
	if errors.As(err, &told) {
		return told
	}
	kind := crisol.KindOf(err)
	p := &Problem{Status: statusOf(kind), Kind: kind.String(), Detail: err.Error(), Hint: crisol.HintOf(err)}
	switch p.Status {
	case http.StatusInternalServerError:
		s.Logger.ErrorContext(ctx, "request failed", "request_id", noteOf(ctx).requestID, "error", err)
		p.Detail, p.Hint = "internal fault", "the log of the service says more under request_id"
	case http.StatusServiceUnavailable:
		s.Logger.WarnContext(ctx, "request refused", "request_id", noteOf(ctx).requestID, "error", err)
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {retryIn(err)}})
	}
	return p
}

func statusOf(kind crisol.Kind) int {
	switch kind {
	case crisol.KindInput, crisol.KindTarget:
		return http.StatusUnprocessableEntity
	case crisol.KindNotFound:
		return http.StatusNotFound
	case crisol.KindInfrastructure:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// input makes the 422 of a fault that the schema can't express.
func input(location, message, hint string) error {
	return &Problem{
		Status: http.StatusUnprocessableEntity, Kind: crisol.KindInput.String(),
		Detail: location + ": " + message, Hint: hint, Errors: []ProblemDetail{{Message: message, Location: location}},
	}
}

// asProblem is the transformer that gives every error the same form. huma's own errors carry the value that they
// refuse; it is left out, since it may be a whole patch.
func asProblem(ctx huma.Context, _ string, v any) (any, error) {
	var p *Problem
	switch e := v.(type) {
	case *Problem:
		p = e
	case *huma.ErrorModel:
		p = &Problem{Status: e.Status, Kind: crisol.KindInput.String(), Detail: e.Detail}
		if e.Status >= http.StatusInternalServerError {
			p.Kind, p.Detail = crisol.KindInternal.String(), "internal fault"
			break
		}
		var faults []string
		for _, d := range e.Errors {
			p.Errors = append(p.Errors, ProblemDetail{Message: d.Message, Location: d.Location})
			faults = append(faults, strings.TrimPrefix(d.Location+": "+d.Message, ": "))
		}
		p.Detail = strings.Join(append([]string{p.Detail}, faults...), "; ")
		p.Hint = "/openapi.json describes what is expected"
	default:
		return v, nil
	}
	p.complete(ctx.Context())
	return p, nil
}

// problemResponses documents statuses as problems.
func (s *server) problemResponses(statuses []int) map[string]*huma.Response {
	meaning := map[int]string{
		http.StatusUnauthorized:          "The service wants a token, and none that is valid is shown",
		http.StatusForbidden:             "The token lacks a scope; or a web page of another origin, or a Host that is not this machine's loopback",
		http.StatusNotFound:              "The request names something that does not exist",
		http.StatusRequestEntityTooLarge: "The body is larger than the service takes",
		http.StatusUnsupportedMediaType:  "The body is not application/json",
		http.StatusUnprocessableEntity:   "The request is malformed or can't be carried out; errors names each fault",
		http.StatusTooManyRequests:       "The client asks more often than it may; RateLimit and Retry-After say when to come again",
		http.StatusInternalServerError:   "A fault of the service",
		http.StatusServiceUnavailable:    "The queue is full or infrastructure fails; try again after Retry-After",
	}
	schema, atLeast := s.schema(reflect.TypeFor[Problem]()), 1.0
	responses := map[string]*huma.Response{}
	slices.Sort(statuses)
	for _, status := range slices.Compact(statuses) {
		response := &huma.Response{Description: meaning[status], Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
		if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
			response.Headers = map[string]*huma.Param{"Retry-After": {
				Description: "Seconds to wait before the next try", Required: true, Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &atLeast}}}
		}
		responses[strconv.Itoa(status)] = response
	}
	return responses
}

func (s *server) schema(t reflect.Type) *huma.Schema {
	return s.huma.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// bodyProblem tells what kept a body from being read.
func bodyProblem(err error, limit int64) *Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Kind: crisol.KindInput.String(),
			Detail: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes"}
	}
	return &Problem{Status: http.StatusUnprocessableEntity, Kind: crisol.KindInput.String(), Detail: "read body: " + err.Error(),
		Hint: "/openapi.json describes what is expected", Errors: []ProblemDetail{{Message: err.Error(), Location: "body"}}}
}
