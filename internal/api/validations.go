package api

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

// How long a caller may wait for a verdict in one request.
const (
	defaultWait = 30 * time.Second
	maxWait     = 10 * time.Minute
)

// ValidateRequest is the body of a validation request.
type ValidateRequest struct {
	APVID         string                `json:"apv_id" minLength:"1" maxLength:"200" doc:"The caller's name for the vulnerability" example:"apv-001"`
	CVEID         string                `json:"cve_id,omitempty" nullable:"true" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" doc:"The public name of the vulnerability; finds the scenario where scenario_id does not" example:"CVE-2019-10744"`
	PatchID       string                `json:"patch_id,omitempty" nullable:"true" maxLength:"200" doc:"The caller's name for the patch" example:"p-7"`
	PatchDiff     string                `json:"patch_diff,omitempty" nullable:"true" doc:"The patch as a unified diff. Either this or patch"`
	Vulnerability *RequestVulnerability `json:"vulnerability,omitempty" doc:"With the short form: the code that is vulnerable"`
	Patch         *RequestPatch         `json:"patch,omitempty" doc:"The patch in short form: the code that replaces vulnerability.affected_code. Either this or patch_diff"`
	Confidence    float64               `json:"confidence_threshold,omitempty" nullable:"true" minimum:"0" maximum:"1" doc:"The confidence wanted of a model; it can only make the service more careful than it is by itself. A wargame does not use it" example:"0.8"`
	ScenarioID    string                `json:"scenario_id,omitempty" nullable:"true" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" doc:"The scenario to fight; null finds it by cve_id" example:"CVE-2019-10744"`
	Wait          string                `json:"wait,omitempty" nullable:"true" default:"30s" maxLength:"20" doc:"How long to wait for the verdict, from 0s to 10m; then comes 202" example:"30s"`
	Webhook       string                `json:"webhook_url,omitempty" nullable:"true" maxLength:"2000" format:"uri" doc:"Is posted the verdict, signed as Standard Webhooks has it, when it is there and when it is revoked; only public addresses, and those that the operator allows"`
	MinAssurance  string                `json:"min_assurance,omitempty" nullable:"true" enum:"A1,A2,A3,A4" doc:"patch_validated stays false below this level" example:"A1"`
}

// RequestVulnerability is what a request says of the weakness.
type RequestVulnerability struct {
	Type         string `json:"type,omitempty" maxLength:"64" example:"sql_injection"`
	Severity     string `json:"severity,omitempty" maxLength:"16" example:"high"`
	AffectedCode string `json:"affected_code,omitempty"`
}

// RequestPatch is the short form of a patch.
type RequestPatch struct {
	Type string `json:"type,omitempty" maxLength:"64" example:"parameterized_query"`
	Code string `json:"code" minLength:"1"`
}

// request is the noun behind the body, checked for what a schema can't say.
func (r *ValidateRequest) request() (crisol.Request, error) {
	switch {
	case r.PatchDiff == "" && r.Patch == nil:
		return crisol.Request{}, input("body", "there is no patch", "send patch_diff, or patch and vulnerability with code on both sides")
	case r.PatchDiff != "" && r.Patch != nil:
		return crisol.Request{}, input("body", "patch_diff and patch exclude each other", "send one of them")
	case r.Patch != nil && (r.Vulnerability == nil || r.Vulnerability.AffectedCode == ""):
		return crisol.Request{}, input("body.vulnerability.affected_code", "the short form needs it", "send the code that patch.code replaces")
	}
	assurance, err := crisol.ParseAssurance(r.MinAssurance)
	if err != nil {
		return crisol.Request{}, err
	}
	request := crisol.Request{
		APVID: r.APVID, CVEID: r.CVEID, PatchID: r.PatchID, PatchDiff: r.PatchDiff, ConfidenceThreshold: r.Confidence,
		ScenarioID: r.ScenarioID, Wait: r.Wait, MinAssurance: assurance, Patch: (*crisol.CodePatch)(r.Patch),
		Vulnerability: (*crisol.Vulnerability)(r.Vulnerability),
	}
	return request, nil
}

func (s *server) checkWebhook(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	if s.CheckWebhook == nil {
		return input("body.webhook_url", "this service posts to no webhooks", "leave it out")
	}
	if err := s.CheckWebhook(address); err != nil {
		return s.asError(ctx, err)
	}
	return nil
}

func parseWait(location, wait string, absent time.Duration) (time.Duration, error) {
	if wait == "" {
		return absent, nil
	}
	d, err := time.ParseDuration(wait)
	if err != nil || d < 0 || d > maxWait {
		return 0, input(location, "want a duration from 0s to 10m", `for example "30s"; "0s" answers at once with 202`)
	}
	return d, nil
}

// Finished is a validation that has its verdict, with all its evidence.
type Finished struct {
	State      string     `json:"state" enum:"finished"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	crisol.Validation
	Revision
	Request *crisol.Request `json:"request,omitempty" doc:"What was asked, as it was understood; only where one validation is asked for by its id"`
}

// Revision says what became of a verdict after its scenario changed and the patch was judged anew.
type Revision struct {
	SupersededBy  string     `json:"superseded_by,omitempty" doc:"The validation that judged the same patch anew"`
	Revoked       bool       `json:"revoked,omitempty" doc:"The verdict no longer holds, and patch_validated is false; superseded_by has the one that does"`
	RevokedReason string     `json:"revoked_reason,omitempty"`
	RevokedAt     *time.Time `json:"revoked_at,omitempty"`
}

func revision(r store.Row) Revision {
	out := Revision{SupersededBy: r.SupersededBy, Revoked: r.Revoked, RevokedReason: r.RevokedReason}
	if r.Revoked {
		out.RevokedAt = &r.RevokedAt
	}
	return out
}

// Unfinished is a validation without a verdict. It has no verdict member at all, so that nobody takes one for the other.
type Unfinished struct {
	ID         string          `json:"validation_id"`
	State      string          `json:"state" enum:"queued,running"`
	APVID      string          `json:"apv_id"`
	CVEID      string          `json:"cve_id,omitempty"`
	PatchID    string          `json:"patch_id,omitempty"`
	ScenarioID string          `json:"scenario_id,omitempty"`
	Attempts   int             `json:"attempts" doc:"How often its trial was started"`
	LastError  string          `json:"last_error,omitempty" doc:"Why the attempt before failed"`
	CreatedAt  time.Time       `json:"created_at"`
	Request    *crisol.Request `json:"request,omitempty" doc:"What was asked, as it was understood; only where one validation is asked for by its id"`
}

// Summary is a validation in a list: without evidence, and without a verdict until it is finished.
type Summary struct {
	ID                   string           `json:"validation_id"`
	State                string           `json:"state" enum:"queued,running,finished"`
	APVID                string           `json:"apv_id"`
	CVEID                string           `json:"cve_id,omitempty"`
	PatchID              string           `json:"patch_id,omitempty"`
	ScenarioID           string           `json:"scenario_id,omitempty"`
	Verdict              crisol.Verdict   `json:"verdict,omitempty"`
	PatchValidated       bool             `json:"patch_validated"`
	Method               crisol.Method    `json:"validation_method,omitempty"`
	Cached               bool             `json:"cached"`
	Assurance            crisol.Assurance `json:"assurance"`
	Confidence           float64          `json:"confidence"`
	ResidualRisk         float64          `json:"residual_risk"`
	ExecutionTimeSeconds float64          `json:"execution_time_seconds"`
	Reason               string           `json:"reason,omitempty"`
	CreatedAt            time.Time        `json:"created_at"`
	FinishedAt           *time.Time       `json:"finished_at,omitempty"`
	Revision
}

// Page is some summaries, newest first.
type Page struct {
	Validations []Summary `json:"validations" nullable:"false"`
	NextCursor  string    `json:"next_cursor,omitempty" doc:"Asks for the next page as cursor; absent on the last one"`
}

func (s *server) addValidations() {
	for path, id := range map[string]string{"/wargaming/validate": "validate", "/wargaming/execute": "execute"} {
		op := huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{"Validations"},
			Summary: "Validate a patch by a wargame",
			Description: "A real exploit is replayed against the vulnerable and the patched target, then benign inputs and tests. " +
				"Once 200 or 202 is answered the request is on the disk and will be decided, whatever happens to the connection " +
				"or the service. Members that are null count as absent.",
		}
		if id == "execute" {
			op.Summary = "The same as /wargaming/validate"
		}
		huma.Register(s.huma, s.submission(op, "The verdict, with its evidence"), s.validate)
	}
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "list-validations", Method: http.MethodGet, Path: "/wargaming/validations", Tags: []string{"Validations"},
		Summary: "Past and present validations, newest first",
	}, http.StatusServiceUnavailable), s.list)
	one := huma.Operation{
		OperationID: "get-validation", Method: http.MethodGet, Path: "/wargaming/validations/{id}", Tags: []string{"Validations"},
		Summary:     "One validation with all its evidence",
		Description: "state tells whether it is finished; only then there is a verdict.",
		Responses:   map[string]*huma.Response{"200": s.response("The validation", reflect.TypeFor[Finished](), reflect.TypeFor[Unfinished]())},
	}
	huma.Register(s.huma, s.operation(one, http.StatusNotFound, http.StatusServiceUnavailable), s.get)
	s.describeNouns()
}

// submission completes an operation that takes a request to be validated.
func (s *server) submission(op huma.Operation, verdict string) huma.Operation {
	accepted := s.response("Accepted; the verdict is not there yet", reflect.TypeFor[Unfinished]())
	accepted.Headers = map[string]*huma.Param{"Location": {Description: "Where the validation is found", Schema: &huma.Schema{Type: huma.TypeString}}}
	op.Responses = map[string]*huma.Response{"200": s.response(verdict, reflect.TypeFor[Finished]()), "202": accepted}
	return s.operation(op, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable)
}

// response documents a body that is one of some types.
func (s *server) response(description string, types ...reflect.Type) *huma.Response {
	schema := s.schema(types[0])
	if len(types) > 1 {
		schema = &huma.Schema{}
		for _, t := range types {
			schema.OneOf = append(schema.OneOf, s.schema(t))
		}
	}
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// describeNouns tells the choices of the root package's words, which may not know huma.
func (s *server) describeNouns() {
	choices := map[string]map[string][]any{
		"Finished":      {"verdict": verdicts, "validation_method": methods, "assurance": assurances},
		"Summary":       {"verdict": verdicts, "validation_method": methods, "assurance": assurances},
		"Gate":          {"outcome": outcomes},
		"Check":         {"outcome": outcomes, "side": {"vulnerable", "patched"}},
		"WargameResult": {"status": {"success", "failed", "error", "timeout"}},
	}
	schemas := s.huma.OpenAPI().Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		for property, values := range choices[name] {
			schemas[name].Properties[property].Enum = values
			schemas[name].PrecomputeMessages()
		}
	}
}

var (
	verdicts   = []any{"fixed", "not_fixed", "broken", "inconclusive"}
	methods    = []any{"static", "ml", "wargaming", "wargaming_fallback"}
	assurances = []any{"", "A1", "A2", "A3", "A4"}
	outcomes   = []any{"passed", "failed", "skipped", "error"}
)

type validateOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     any
}

func (s *server) validate(ctx context.Context, in *struct{ Body ValidateRequest }) (*validateOutput, error) {
	ask, wait, err := s.asked(ctx, &in.Body, store.ModeValidate)
	if err != nil {
		return nil, err
	}
	sub, err := s.Queue.Submit(ctx, ask)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return s.answer(ctx, sub, wait), nil
}

// asked reads a request, and how long its caller would wait. The error is one to be told.
func (s *server) asked(ctx context.Context, body *ValidateRequest, mode store.Mode) (jobs.Ask, time.Duration, error) {
	request, err := body.request()
	if err != nil {
		return jobs.Ask{}, 0, s.asError(ctx, err)
	}
	if err := s.checkWebhook(ctx, body.Webhook); err != nil {
		return jobs.Ask{}, 0, err
	}
	wait, err := parseWait("body.wait", body.Wait, defaultWait)
	return jobs.Ask{Request: request, Mode: mode, Webhook: body.Webhook, Client: noteOf(ctx).client}, wait, err
}

// answer waits for the verdict of a submission, and says where it will be found if it isn't there in time.
func (s *server) answer(ctx context.Context, sub store.Submission, wait time.Duration) *validateOutput {
	noteOf(ctx).validationID = sub.ID
	body, finished, err := s.await(ctx, sub.ID, wait)
	if err != nil { // it is accepted all the same, and the caller must learn under which id
		s.Logger.ErrorContext(ctx, "accepted validation could not be read", "validation_id", sub.ID, "error", err)
		body = queued(sub)
	}
	if finished {
		return &validateOutput{Status: http.StatusOK, Body: body}
	}
	return &validateOutput{Status: http.StatusAccepted, Location: "/wargaming/validations/" + sub.ID, Body: body}
}

// await waits for a verdict as long as it may, and returns how things stand then.
func (s *server) await(ctx context.Context, id string, wait time.Duration) (body any, finished bool, err error) {
	if wait > 0 {
		within, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		// Whether the verdict, the end of the wait, of the connection or of the service came first: what counts is read next.
		_ = s.Queue.Wait(within, id)
	}
	read, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	record, err := s.History.Get(read, id)
	if err != nil {
		return nil, false, err
	}
	return document(record, nil), record.Validation != nil, nil
}

// document renders a record in the form of its state.
func document(record store.Record, request *crisol.Request) any {
	if record.Validation != nil {
		out := &Finished{State: string(store.Finished), FinishedAt: &record.FinishedAt, Validation: *record.Validation, Revision: revision(record.Row), Request: request}
		out.PatchValidated = out.PatchValidated && !record.Revoked
		return out
	}
	return &Unfinished{
		ID: record.ID, State: string(record.State), APVID: record.APVID, CVEID: record.CVEID, PatchID: record.PatchID,
		ScenarioID: record.ScenarioID, Attempts: record.Attempts, LastError: record.LastError, CreatedAt: record.CreatedAt,
		Request: request,
	}
}

type getInput struct {
	ID   string `path:"id" format:"uuid" doc:"The validation_id of an answer"`
	Wait string `query:"wait" minLength:"1" maxLength:"20" doc:"How long to wait for the verdict, from 0s (the default) to 10m" example:"30s"`
}

type getOutput struct{ Body any }

func (s *server) get(ctx context.Context, in *getInput) (*getOutput, error) {
	wait, err := parseWait("query.wait", in.Wait, 0)
	if err != nil {
		return nil, err
	}
	noteOf(ctx).validationID = in.ID
	if wait > 0 {
		if _, _, err := s.await(ctx, in.ID, wait); err != nil {
			return nil, s.asError(ctx, err)
		}
	}
	record, err := s.History.Get(context.WithoutCancel(ctx), in.ID)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &getOutput{Body: document(record, &record.Request)}, nil
}

type listInput struct {
	State      string    `query:"state" enum:"queued,running,finished"`
	Verdict    string    `query:"verdict" enum:"fixed,not_fixed,broken,inconclusive"`
	APVID      string    `query:"apv_id" minLength:"1" maxLength:"200"`
	CVEID      string    `query:"cve_id" minLength:"1" maxLength:"64"`
	PatchID    string    `query:"patch_id" minLength:"1" maxLength:"200"`
	ScenarioID string    `query:"scenario_id" minLength:"1" maxLength:"128"`
	Revoked    bool      `query:"revoked" doc:"Only those whose verdict was revoked"`
	Since      time.Time `query:"since" doc:"Created at this time (RFC 3339) or later"`
	Until      time.Time `query:"until" doc:"Created before this time (RFC 3339)"`
	Limit      int       `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor     string    `query:"cursor" format:"uuid" doc:"The next_cursor of the page before"`
}

type listOutput struct{ Body Page }

func (s *server) list(ctx context.Context, in *listInput) (*listOutput, error) {
	if !in.Since.IsZero() && !in.Until.IsZero() && !in.Since.Before(in.Until) {
		return nil, input("query.since", "it is not before until", "swap them")
	}
	rows, err := s.History.List(ctx, store.Filter{
		State: store.State(in.State), Verdict: crisol.Verdict(in.Verdict), APVID: in.APVID, CVEID: in.CVEID,
		PatchID: in.PatchID, ScenarioID: in.ScenarioID, Revoked: in.Revoked, Since: in.Since, Until: in.Until, Before: in.Cursor,
		Limit: in.Limit + 1, // one more tells whether there is a next page
	})
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	page := Page{Validations: []Summary{}}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		page.NextCursor = rows[in.Limit-1].ID
	}
	for _, row := range rows {
		page.Validations = append(page.Validations, summary(row))
	}
	return &listOutput{Body: page}, nil
}

func summary(r store.Row) Summary {
	out := Summary{
		ID: r.ID, State: string(r.State), APVID: r.APVID, CVEID: r.CVEID, PatchID: r.PatchID, ScenarioID: r.ScenarioID,
		Verdict: r.Verdict, PatchValidated: r.PatchValidated && !r.Revoked, Method: r.Method, Cached: r.Cached, Assurance: r.Assurance,
		Confidence: r.Confidence, ResidualRisk: r.ResidualRisk, ExecutionTimeSeconds: r.ExecutionSeconds,
		Reason: r.Reason, CreatedAt: r.CreatedAt, Revision: revision(r),
	}
	if !r.FinishedAt.IsZero() {
		out.FinishedAt = &r.FinishedAt
	}
	return out
}
