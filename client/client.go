// Package client speaks to a Crisol service over HTTP.
//
// In goes a crisol.Request; out comes a crisol.Validation, or an error whose kind (crisol.KindOf) says whose fault it
// is and whose hint (crisol.HintOf) says what to do next. The package knows nothing of how a verdict is reached.
//
//	c, err := client.New("http://127.0.0.1:8026")
//	v, err := c.Validate(ctx, crisol.Request{APVID: "apv-001", CVEID: "CVE-2019-10744", PatchDiff: diff})
//	if err == nil && v.PatchValidated { ... }
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"crisol"
)

// Client is a connection to one service. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *http.Client
	userAgent string
	token     string
	poll      time.Duration
	retries   int
	pause     time.Duration
}

// Option changes a Client that New makes.
type Option func(*Client)

// WithHTTPClient makes requests through c: proxies, TLS, a transport of one's own. Its Timeout must leave room for the
// wait for a verdict, so none is best.
func WithHTTPClient(c *http.Client) Option { return func(client *Client) { client.http = c } }

// WithUserAgent names the caller to the service; the default is "crisol-client".
func WithUserAgent(name string) Option { return func(c *Client) { c.userAgent = name } }

// WithToken shows a token of crisol token create with every request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithPoll sets how long one request waits for a verdict before the next one asks again; the default is 30 s, the
// most is 10 minutes.
func WithPoll(d time.Duration) Option { return func(c *Client) { c.poll = d } }

// WithRetries sets how often a request that the service could not take (503) or that did not reach it is tried again,
// and the first pause, which doubles, where the service names none. The default is 3 times after 1 s. A request for a
// validation is sent again only when it was refused, never when it may have been accepted.
func WithRetries(n int, pause time.Duration) Option {
	return func(c *Client) { c.retries, c.pause = n, pause }
}

// New makes a client of the service at baseURL, for example http://127.0.0.1:8026.
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(baseURL, "/"))
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "service address: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "service address %q is not one", baseURL), "for example http://127.0.0.1:8026")
	}
	c := &Client{base: base, http: &http.Client{}, userAgent: "crisol-client", poll: 30 * time.Second, retries: 3, pause: time.Second}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// State says how far a validation has come.
type State string

// The states of a validation.
const (
	Queued   State = "queued"
	Running  State = "running"
	Finished State = "finished"
)

// Record is one validation as the service knows it.
type Record struct {
	State State `json:"state"`
	// Validation has a verdict, and evidence, only when State is Finished.
	crisol.Validation
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Revision
	// Attempts counts the trials that were started, and LastError says why the one before failed, until finished.
	Attempts  int    `json:"attempts,omitempty"`
	LastError string `json:"last_error,omitempty"`
	// Request is what was asked; set by Get.
	Request *crisol.Request `json:"request,omitempty"`
}

// Revision says what became of a verdict later: the scenario that it rested on changed, and the patch was judged anew.
type Revision struct {
	// SupersededBy is the validation that judged anew, "" for none.
	SupersededBy string `json:"superseded_by,omitempty"`
	// Revoked: the verdict no longer holds; SupersededBy has the one that does.
	Revoked       bool      `json:"revoked,omitempty"`
	RevokedReason string    `json:"revoked_reason,omitempty"`
	RevokedAt     time.Time `json:"revoked_at,omitzero"`
}

// Summary is a validation in a list, without evidence, and without a verdict until it is finished.
type Summary struct {
	ID                   string           `json:"validation_id"`
	State                State            `json:"state"`
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
	FinishedAt           time.Time        `json:"finished_at,omitzero"`
	Revision
}

// Filter selects validations. A zero field selects all.
type Filter struct {
	State      State
	Verdict    crisol.Verdict
	APVID      string
	CVEID      string
	PatchID    string
	ScenarioID string
	Since      time.Time // created at or after
	Until      time.Time // created before
	Revoked    bool      // only those whose verdict was revoked
	// PageSize is how many come in one request, 1 to 200; 0 leaves it to the service.
	PageSize int
}

// Scenario is one entry of the exploit database.
type Scenario struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Ecosystem string   `json:"ecosystem"` // npm, pypi, golang, maven, cargo, or dir
	Package   string   `json:"package"`   // the purl of the vulnerable version; of a folder its name
	Type      string   `json:"type,omitempty"`
	Severity  string   `json:"severity,omitempty"`
	CVE       string   `json:"cve,omitempty"`
	Aliases   []string `json:"aliases,omitempty"`
	CWE       []string `json:"cwe,omitempty"`
	Exploits  int      `json:"exploits"`
	Benign    int      `json:"benign"`
	Tests     int      `json:"tests"`
	Digest    string   `json:"digest"`
	Verified  string   `json:"verified,omitempty"` // 2006-01-02
}

// Health is what the service says of itself.
type Health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// Ask changes how a validation is asked for.
type Ask func(*ask)

type ask struct {
	crisol.Request
	Webhook string `json:"webhook_url,omitempty"`
	path    string
}

// MLFirst has static checks and the model decide, and a wargame only where these can't be trusted.
func MLFirst() Ask { return func(a *ask) { a.path = "/wargaming/ml-first" } }

// Webhook has the verdict posted to a URL, signed, when it is there, and again when it is revoked.
func Webhook(url string) Ask { return func(a *ask) { a.Webhook = url } }

// Validate asks for a validation and waits for its verdict as long as ctx allows. When ctx ends first, the error
// carries the id (IDOf), under which Get finds the verdict later: what was accepted will be decided. r.Wait is how
// long the first request waits; "" means not at all, so that the id is known at once and a connection that breaks
// during the wait loses nothing.
func (c *Client) Validate(ctx context.Context, r crisol.Request, asks ...Ask) (crisol.Validation, error) {
	if r.Wait == "" {
		r.Wait = "0s"
	}
	record, err := c.Submit(ctx, r, asks...)
	if err != nil {
		return crisol.Validation{}, err
	}
	record, err = c.Await(ctx, record, nil)
	return record.Validation, err
}

// Await waits for the verdict of what Submit or Get returned, as long as ctx allows; else the error carries the id. At
// every look heard, which may be nil, is told how things stand.
func (c *Client) Await(ctx context.Context, record Record, heard func(Record)) (Record, error) {
	for {
		if heard != nil {
			heard(record)
		}
		if record.State == Finished {
			return record, nil
		}
		id := record.ID
		var err error
		if record, err = c.get(ctx, id, c.poll); err != nil {
			return Record{}, &acceptedError{id: id, err: err}
		}
	}
}

// Submit asks for a validation and returns what there is when r.Wait is over (30 s if it names none): State tells
// whether it is decided.
func (c *Client) Submit(ctx context.Context, r crisol.Request, asks ...Ask) (Record, error) {
	a := ask{Request: r, path: "/wargaming/validate"}
	for _, change := range asks {
		change(&a)
	}
	body, err := json.Marshal(a)
	if err != nil {
		return Record{}, crisol.Errorf(crisol.KindInput, "encode request: %w", err)
	}
	var record Record
	return record, c.do(ctx, http.MethodPost, a.path, nil, body, &record)
}

// Get returns one validation with its evidence, finished or not.
func (c *Client) Get(ctx context.Context, id string) (Record, error) { return c.get(ctx, id, 0) }

func (c *Client) get(ctx context.Context, id string, wait time.Duration) (Record, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	var record Record
	return record, c.do(ctx, http.MethodGet, "/wargaming/validations/"+url.PathEscape(id), query, nil, &record)
}

// List walks through the validations that f selects, newest first, and fetches pages as it goes. It ends at the first
// error.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		query := f.query()
		for {
			var page struct {
				Validations []Summary `json:"validations"`
				NextCursor  string    `json:"next_cursor"`
			}
			if err := c.do(ctx, http.MethodGet, "/wargaming/validations", query, nil, &page); err != nil {
				yield(Summary{}, err)
				return
			}
			for _, summary := range page.Validations {
				if !yield(summary, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}

func (f Filter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"state": string(f.State), "verdict": string(f.Verdict), "apv_id": f.APVID, "cve_id": f.CVEID,
		"patch_id": f.PatchID, "scenario_id": f.ScenarioID,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !value.IsZero() {
			query.Set(name, value.Format(time.RFC3339Nano))
		}
	}
	if f.Revoked {
		query.Set("revoked", "true")
	}
	if f.PageSize > 0 {
		query.Set("limit", strconv.Itoa(f.PageSize))
	}
	return query
}

// Scenarios returns the exploit database of the service.
func (c *Client) Scenarios(ctx context.Context) ([]Scenario, error) {
	var list struct {
		Scenarios []Scenario `json:"scenarios"`
	}
	return list.Scenarios, c.do(ctx, http.MethodGet, "/wargaming/scenarios", nil, nil, &list)
}

// Health asks whether the service is alive.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var health Health
	return health, c.do(ctx, http.MethodGet, "/health", nil, nil, &health)
}

// acceptedError is an error after the service has accepted a request.
type acceptedError struct {
	id  string
	err error
}

func (e *acceptedError) Error() string {
	return fmt.Sprintf("validation %s was accepted, but its verdict could not be had: %v", e.id, e.err)
}

func (e *acceptedError) Unwrap() error { return e.err }

// IDOf returns the id of the validation that was accepted before Validate failed, or "".
func IDOf(err error) string {
	var accepted *acceptedError
	if errors.As(err, &accepted) {
		return accepted.id
	}
	return ""
}

// do makes a request and decodes its answer, and tries again what is worth it.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte, into any) error {
	pause := c.pause
	for try := 0; ; try++ {
		after, err := c.once(ctx, method, path, query, body, into)
		if err == nil || after < 0 || try >= c.retries {
			return err
		}
		if after == 0 {
			after, pause = pause, 2*pause
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(after):
		}
	}
}

// maxAnswer bounds what is read of an answer: evidence is long, but not that long.
const maxAnswer = 256 << 20

// once makes one request. With an error comes after which pause it is worth another: 0 leaves the pause to the
// caller, a negative one says never.
func (c *Client) once(ctx context.Context, method, path string, query url.Values, body []byte, into any) (after time.Duration, err error) {
	target := *c.base
	target.Path += path
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return -1, crisol.Errorf(crisol.KindInput, "%s %s: %w", method, path, err)
	}
	request.Header.Set("Accept", "application/json")
	c.mark(request)
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		if method != http.MethodGet || ctx.Err() != nil { // a POST may have arrived
			after = -1
		}
		return after, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%s %s: %w", method, target.Redacted(), err),
			"is the service running? crisol serve starts it")
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return -1, crisol.Errorf(crisol.KindInfrastructure, "%s %s: read answer: %w", method, path, err)
	}
	if response.StatusCode >= 300 {
		if after = -1; response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusTooManyRequests {
			after = retryAfter(response.Header)
		}
		return after, problem(method, path, response, content)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return -1, crisol.Errorf(crisol.KindInfrastructure, "%s %s: decode answer: %w", method, path, err)
	}
	return 0, nil
}

// mark says who asks.
func (c *Client) mark(request *http.Request) {
	request.Header.Set("User-Agent", c.userAgent)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
}

func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 60)) * time.Second
}

// problem turns an RFC 9457 document back into an error with kind and hint. What is no such document came from
// something else than the service, which is told.
func problem(method, path string, response *http.Response, content []byte) error {
	var p struct {
		Detail string `json:"detail"`
		Kind   string `json:"kind"`
		Hint   string `json:"hint"`
	}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if mediaType != "application/problem+json" || json.Unmarshal(content, &p) != nil {
		return crisol.WithHint(crisol.Errorf(kindOfStatus(response.StatusCode), "%s %s: %s", method, path, response.Status),
			"the answer is not one of Crisol: is the address right?")
	}
	kind, known := kinds[p.Kind]
	if !known {
		kind = kindOfStatus(response.StatusCode)
	}
	err := crisol.Errorf(kind, "%s", p.Detail)
	if p.Hint != "" {
		err = crisol.WithHint(err, "%s", p.Hint)
	}
	return err
}

var kinds = map[string]crisol.Kind{
	crisol.KindInput.String(): crisol.KindInput, crisol.KindNotFound.String(): crisol.KindNotFound,
	crisol.KindTarget.String(): crisol.KindTarget, crisol.KindInfrastructure.String(): crisol.KindInfrastructure,
	crisol.KindInternal.String(): crisol.KindInternal,
}

func kindOfStatus(status int) crisol.Kind {
	switch {
	case status == http.StatusNotFound:
		return crisol.KindNotFound
	case status == http.StatusTooManyRequests, status >= 502:
		return crisol.KindInfrastructure
	case status >= 500:
		return crisol.KindInternal
	default:
		return crisol.KindInput
	}
}
