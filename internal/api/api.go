// Package api is the door of the service: HTTP, JSON, OpenAPI 3.1.
//
// In comes a request from the network; out goes a document, or an RFC 9457 problem with a hint. Here requests are
// bounded in size, depth and time and read strictly, and whatever a web page in the user's browser could forge is
// refused. The package knows nothing of trials and databases: it asks a Queue, a History and a Library.
//
// Wiring, as app does it (st is a store, queue a jobs.Queue, library the scenarios):
//
//	handler := api.New(api.Deps{Queue: queue, History: st, Library: library, Version: version, Logger: logger})
//	listener, err := api.Listen(ctx, "127.0.0.1:8026")
//	err = api.Serve(ctx, listener, handler, api.ServeOptions{Logger: logger}) // until ctx is done; then queue.Stop and st.Close
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/ratelimit"
	"crisol/internal/scenario"
	"crisol/internal/store"
	"crisol/internal/trail"
)

// Queue takes requests and tells when they are decided (jobs.Queue).
type Queue interface {
	// Submit checks and keeps a request; once it returns, the request will be decided.
	Submit(ctx context.Context, a jobs.Ask) (store.Submission, error)
	// Wait returns nil once the validation is finished.
	Wait(ctx context.Context, id string) error
}

// History is what is known of validations (store.Validations).
type History interface {
	Get(ctx context.Context, id string) (store.Record, error)
	List(ctx context.Context, f store.Filter) ([]store.Row, error)
}

// Library is the exploit database.
type Library interface {
	// List returns every scenario, ordered by id.
	List(ctx context.Context) ([]*scenario.Scenario, error)
	// Get returns one; an unknown id is a crisol.KindNotFound error.
	Get(ctx context.Context, id string) (*scenario.Scenario, error)
}

// Deps is what the API stands on. All but MaxBody and Now must be set.
type Deps struct {
	Queue   Queue
	Desk    Desk
	History History
	Library Library
	Auditor Auditor
	Models  Models
	Cache   Cache
	Stream  Stream
	// CheckWebhook refuses addresses that can't be posted to; nil refuses all.
	CheckWebhook func(address string) error
	// Epoch changes whenever the same request may be answered otherwise: with the model, its trust, the scenarios.
	Epoch func() string
	Now   func() time.Time
	// Access says who may do what; nil lets everybody do everything.
	Access Access
	// Anywhere says that others than this machine reach the service, under names that aren't this machine's loopback.
	Anywhere bool
	// Limiter holds clients to Limits; nil holds nobody. Proxies are those whose X-Forwarded-For is believed.
	Limiter ratelimit.Limiter
	Limits  Limits
	Proxies []netip.Prefix
	// Trail is the audit log: what changes the service is in it, or isn't done. nil logs nothing.
	Trail trail.Log
	// Board says how the parts of the service are.
	Board Board
	// Version is what /health and /openapi.json call this build.
	Version string
	Logger  *slog.Logger
	// MaxBody bounds a request's body in bytes; 0 means 12 MiB.
	MaxBody int64
}

type server struct {
	Deps
	mux  *http.ServeMux
	huma huma.API
	// members are those that a body may have, by path.
	members map[string]map[string]bool
}

// New makes the handler of the whole service.
func New(d Deps) http.Handler {
	d.MaxBody = cmp.Or(d.MaxBody, 12<<20)
	if d.Now == nil {
		d.Now = time.Now
	}
	s := &server{Deps: d, mux: http.NewServeMux()}
	s.huma = humago.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Crisol",
				Version:     d.Version,
				Description: "Does a patch fix a vulnerability, and does it break anything? Errors are RFC 9457 problem documents.",
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {
					Type: "http", Scheme: "bearer", Description: "A token of crisol token create. On loopback none is needed until there is one.",
				}},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	})
	s.addValidations()
	s.addMLFirst()
	s.addModel()
	s.addEvents()
	s.addScenarios()
	s.addAuditLog()
	s.addHealth()
	s.addDocs()
	s.members = membersOf(s.huma.OpenAPI())
	return s.watch(s.guard(s.admit(s.rate(s.limit(http.HandlerFunc(s.route))))))
}

// known says whether there is something at the path of a request, for its method. Of a path with empty segments or dots
// the mux would send the client on to another; here there is nothing at such a path.
func (s *server) known(r *http.Request) bool {
	_, pattern := s.mux.Handler(r)
	asked := r.URL.EscapedPath()
	clean := path.Clean(asked)
	return pattern != "" && (clean == asked || clean+"/" == asked)
}

// route is the mux, whose own plain-text answers (404, 405) become problems.
func (s *server) route(w http.ResponseWriter, r *http.Request) {
	if s.known(r) {
		s.mux.ServeHTTP(w, r)
		return
	}
	plain := &discarded{header: http.Header{}, status: http.StatusOK}
	if s.mux.ServeHTTP(plain, r); plain.status < http.StatusBadRequest {
		plain = &discarded{status: http.StatusNotFound}
	}
	p := &Problem{Status: plain.status, Kind: crisol.KindNotFound.String(), Detail: "no such path: " + r.URL.Path,
		Hint: "/docs lists what there is"}
	if allow := plain.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		p.Kind, p.Detail = crisol.KindInput.String(), r.Method+" is not possible here"
		p.Hint = "possible: " + allow
	}
	p.write(w, r)
}

// discarded keeps the status and the headers of an answer, and not its body.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// operation completes what every operation has: the problems it may answer with, and the limits.
func (s *server) operation(op huma.Operation, problems ...int) huma.Operation {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	problems = append(problems, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError)
	if !public[op.Path] {
		problems = append(problems, http.StatusUnauthorized, http.StatusServiceUnavailable) // who asks may not be to be told
		op.Security = []map[string][]string{{bearer: {}}, {}}
	}
	if !unlimited(op.Path) {
		problems = append(problems, http.StatusTooManyRequests)
	}
	for status, response := range s.problemResponses(problems) {
		if own := op.Responses[status]; own != nil { // it answers so without a problem too
			own.Content[problemType] = response.Content[problemType]
			continue
		}
		op.Responses[status] = response
	}
	op.MaxBodyBytes = -1    // limit has read the body already, within its bounds,
	op.BodyReadTimeout = -1 // and a deadline left on the connection would end the wait for a verdict
	return op
}
