package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/api/apitest"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

// stuck is a trial that ends only with its context, and tells on begun that it runs.
func stuck(begun chan<- string) apitest.Flow {
	return apitest.Flow{Runs: func(ctx context.Context, _ crisol.Request, id string) (crisol.Validation, error) {
		begun <- id
		<-ctx.Done()
		return crisol.Validation{}, ctx.Err()
	}}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	var asked crisol.Request
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		asked = r
		return apitest.Decide(crisol.Fixed)(ctx, r, id)
	}}, apitest.Config{})
	for _, path := range []string{"/wargaming/validate", "/wargaming/execute"} {
		r := send(t, request(t, s, http.MethodPost, path, full, "Content-Type", "application/json; charset=UTF-8"))
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %s", r.Status, r.body)
		}
		body := r.json(t)
		for member, want := range map[string]any{
			"state": "finished", "apv_id": "apv-001", "cve_id": "CVE-2019-10744", "patch_id": "p-7", "verdict": "fixed",
			"patch_validated": true, "validation_method": "wargaming", "cached": false, "assurance": "A3", "reason": "because p-7",
		} {
			if body[member] != want {
				t.Errorf("%s = %v, want %v", member, body[member], want)
			}
		}
		gates := body["wargaming_result"].(map[string]any)["gates"].([]any)
		if gates[0].(map[string]any)["gate"] != "exploit_patched" || body["request"] != nil || body["$schema"] != nil {
			t.Errorf("%s", r.body)
		}
		one := get(t, s, "/wargaming/validations/"+body["validation_id"].(string)).json(t)
		if one["verdict"] != "fixed" || one["request"].(map[string]any)["patch_diff"] != "--- a/x\n+++ b/x\n" {
			t.Errorf("%v", one)
		}
	}
	want := crisol.Request{APVID: "apv-001", CVEID: "CVE-2019-10744", PatchID: "p-7", PatchDiff: "--- a/x\n+++ b/x\n",
		ConfidenceThreshold: 0.8, Wait: "30s", MinAssurance: crisol.A1}
	if asked != want {
		t.Errorf("the trial was asked %+v, want %+v", asked, want)
	}
}

func TestShortForm(t *testing.T) {
	t.Parallel()
	var asked crisol.Request
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		asked = r
		return apitest.Decide(crisol.Inconclusive)(ctx, r, id)
	}}, apitest.Config{})
	r := post(t, s, `{"apv_id":"apv-002","cve_id":"CVE-2024-0001","vulnerability":{"type":"sql_injection","severity":"high","affected_code":"q(s)"},"patch":{"type":"parameterized_query","code":"q(?,s)"},"patch_diff":null}`)
	if body := r.json(t); r.StatusCode != http.StatusOK || body["verdict"] != "inconclusive" || body["patch_validated"] != false || body["reason"] == "" {
		t.Fatalf("%s: %s", r.Status, r.body)
	}
	if *asked.Patch != (crisol.CodePatch{Type: "parameterized_query", Code: "q(?,s)"}) ||
		*asked.Vulnerability != (crisol.Vulnerability{Type: "sql_injection", Severity: "high", AffectedCode: "q(s)"}) || asked.Wait != "30s" {
		t.Errorf("%+v", asked)
	}
}

func TestAcceptedThenFinished(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	begun := make(chan struct{}, 1)
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		begun <- struct{}{}
		<-release
		return apitest.Decide(crisol.Broken)(ctx, r, id)
	}}, apitest.Config{})
	r := post(t, s, with(t, "wait", "0s"))
	body := r.json(t)
	id := body["validation_id"].(string)
	if r.StatusCode != http.StatusAccepted || r.Header.Get("Location") != "/wargaming/validations/"+id || body["apv_id"] != "apv-001" {
		t.Fatalf("%s %v: %s", r.Status, r.Header, r.body)
	}
	<-begun
	for _, path := range []string{r.Header.Get("Location"), r.Header.Get("Location") + "?wait=20ms"} {
		r = get(t, s, path)
		body = r.json(t)
		_, verdict := body["verdict"]
		_, validated := body["patch_validated"]
		if r.StatusCode != http.StatusOK || body["state"] != "running" || body["attempts"] != 1.0 || verdict || validated {
			t.Fatalf("%s: %s", r.Status, r.body)
		}
	}
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	if body = get(t, s, "/wargaming/validations/"+id+"?wait=10s").json(t); body["state"] != "finished" || body["verdict"] != "broken" {
		t.Fatalf("%v", body)
	}
}

func TestWaitRunsOut(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, stuck(make(chan string, 1)), apitest.Config{})
	if r := post(t, s, with(t, "wait", "30ms")); r.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s", r.Status, r.body)
	}
}

// TestHangingUp: the trial of a client that is gone goes on.
func TestHangingUp(t *testing.T) {
	t.Parallel()
	begun, release := make(chan string, 1), make(chan struct{})
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		begun <- id
		select {
		case <-release:
			return apitest.Decide(crisol.Fixed)(ctx, r, id)
		case <-ctx.Done():
			return crisol.Validation{}, ctx.Err()
		}
	}}, apitest.Config{})
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	r := request(t, s, http.MethodPost, "/wargaming/validate", full).WithContext(ctx)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		gone <- err
	}()
	id := <-begun
	hangUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the client got %v", err)
	}
	close(release)
	if body := get(t, s, "/wargaming/validations/"+id+"?wait=10s").json(t); body["verdict"] != "fixed" {
		t.Fatalf("%v", body)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{API: func(d *api.Deps) { d.MaxBody = 4000 }})
	nested := `{"apv_id":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`
	for _, c := range []struct {
		name   string
		body   string
		status int
		says   []string
	}{
		{"unknown member", with(t, "patch_dif", "x"), 422, []string{"unexpected property", "body.patch_dif", "openapi.json"}},
		{"unknown member that is null", strings.Replace(full, "{", `{"patch_dif":null,`, 1), 422, []string{"unexpected property", "body.patch_dif"}},
		{"unknown member inside", with(t, "patch_diff", nil, "patch", map[string]any{"code": "x", "lang": "js"}), 422, []string{"body.patch.lang"}},
		{"no apv_id", with(t, "apv_id", nil), 422, []string{"apv_id"}},
		{"wrong type", with(t, "apv_id", 7), 422, []string{"body.apv_id", "expected string"}},
		{"two faults", with(t, "apv_id", "", "confidence_threshold", 7), 422, []string{"body.apv_id", "body.confidence_threshold"}},
		{"bad level", with(t, "min_assurance", "A9"), 422, []string{"body.min_assurance", "A1, A2"}},
		{"bad scenario id", with(t, "scenario_id", "../../etc"), 422, []string{"body.scenario_id"}},
		{"no patch", with(t, "patch_diff", nil), 422, []string{"there is no patch", "send patch_diff"}},
		{"both patches", with(t, "patch", map[string]any{"code": "x"}), 422, []string{"exclude each other"}},
		{"short form without affected code", with(t, "patch_diff", nil, "patch", map[string]any{"code": "x"}), 422, []string{"affected_code"}},
		{"wait without unit", with(t, "wait", "30"), 422, []string{"body.wait", "from 0s to 10m"}},
		{"negative wait", with(t, "wait", "-1s"), 422, []string{"body.wait"}},
		{"long wait", with(t, "wait", "10m1s"), 422, []string{"body.wait"}},
		{"empty", "", 422, []string{"it is empty"}},
		{"not JSON", `{"apv_id":`, 422, []string{"it is not JSON"}},
		{"two texts", full + full, 422, []string{"something follows"}},
		{"text after", full + "x", 422, []string{"body"}},
		{"an array", `["apv_id"]`, 422, []string{"not a JSON object"}},
		{"a string", `"apv_id"`, 422, []string{"not a JSON object"}},
		{"twice", `{"apv_id":"a","APV_ID":"b"}`, 422, []string{"comes twice"}},
		{"not UTF-8", "{\"apv_id\":\"\xff\"}", 422, []string{"not UTF-8"}},
		{"deep", nested, 422, []string{"nested deeper"}},
		{"many tokens", `{"apv_id":[` + strings.Repeat("1,", 1500) + `1]}`, 422, []string{"more than 1000 tokens"}},
		{"too large", with(t, "patch_diff", strings.Repeat("x", 5000)), 413, []string{"larger than 4000 bytes"}},
		{"unknown scenario", with(t, "scenario_id", "nowhere"), 404, []string{"no scenario", "crisol scenario list", "not_found"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantProblem(t, post(t, s, c.body), c.status, c.says...) })
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/vnd.x+json", ";"} {
		t.Run("content type "+contentType, func(t *testing.T) {
			wantProblem(t, send(t, request(t, s, http.MethodPost, "/wargaming/validate", full, "Content-Type", contentType)), 415, "application/json")
		})
	}
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"/wargaming/validations/no-uuid":                                               {422, "path.id"},
		"/wargaming/validations/0190c6e4-0000-7000-8000-000000000000":                  {404, "no such validation"},
		"/wargaming/validations/0190c6e4-0000-7000-8000-000000000000?wait=1s":          {404, "no such validation"},
		"/wargaming/validations/0190c6e4-0000-7000-8000-000000000000?wait=1h":          {422, "query.wait"},
		"/wargaming/validations?limit=0":                                               {422, "query.limit"},
		"/wargaming/validations?limit=201":                                             {422, "query.limit"},
		"/wargaming/validations?limit=ten":                                             {422, "query.limit"},
		"/wargaming/validations?verdict=good":                                          {422, "query.verdict"},
		"/wargaming/validations?cursor=x":                                              {422, "query.cursor"},
		"/wargaming/validations?since=yesterday":                                       {422, "query.since"},
		"/wargaming/validations?sort=asc":                                              {422, "query.sort"},
		"/wargaming/validations?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": {422, "query.since"},
		"/wargaming/validations?limit=":                                                {422, "has no value"},
		"/wargaming/validations?apv_id=a&apv_id=b":                                     {422, "comes twice"},
		"/wargaming/validations?apv_id=%zz":                                            {422, "malformed"},
		"/wargaming/validations?apv_id=%ff":                                            {422, "not UTF-8"},
		"/wargaming//validations":                                                      {404, "/docs"},
		"/wargaming/validations/.":                                                     {404, "/docs"},
		"/wargaming/scenarios/nowhere":                                                 {404, "no scenario"},
		"/wargaming/scenarios/CVE-2020-7598@1":                                         {404, "no scenario"},
		"/wargaming/scenarios/..%2f":                                                   {422, "path.id"},
		"/no/such":                                                                     {404, "/docs"},
		"/wargaming/validate":                                                          {405, "possible: POST"},
	} {
		t.Run(path, func(t *testing.T) { wantProblem(t, get(t, s, path), want.status, want.says) })
	}
	r := send(t, request(t, s, http.MethodDelete, "/health", ""))
	wantProblem(t, r, 405)
	if !strings.Contains(r.Header.Get("Allow"), "GET") {
		t.Errorf("Allow: %q", r.Header.Get("Allow"))
	}
	for _, method := range []string{http.MethodPost, http.MethodPut} { // without a body, as net/http sends nil
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/wargaming/validate", nil)
		if err != nil {
			t.Fatal(err)
		}
		wantProblem(t, send(t, r), map[string]int{http.MethodPost: 415, http.MethodPut: 405}[method])
	}
	wantProblem(t, send(t, request(t, s, http.MethodDelete, "/wargaming/cache?apv_id=", "")), 422, "has no value")
	if rows, err := s.Store.List(t.Context(), store.Filter{Limit: 1}); err != nil || len(rows) > 0 {
		t.Errorf("a refused request was kept: %v, %v", rows, err)
	}
}

// TestRefusalsOfTheFlow: kinds become statuses, and what is our own fault is not told.
func TestRefusalsOfTheFlow(t *testing.T) {
	t.Parallel()
	var refusal error
	var logged log
	s := apitest.Start(t, apitest.Flow{Checks: func(context.Context, crisol.Request) (store.Accepted, error) {
		if refusal == nil {
			panic("index out of range at /home/secret")
		}
		return store.Accepted{}, refusal
	}}, apitest.Config{Log: &logged})
	for _, c := range []struct {
		err    error
		status int
		kind   string
		says   string
	}{
		{crisol.WithHint(crisol.Errorf(crisol.KindInput, "patch does not apply"), "rebase it"), 422, "input", "rebase it"},
		{crisol.Errorf(crisol.KindTarget, "target does not build"), 422, "target", "does not build"},
		{crisol.Errorf(crisol.KindNotFound, "no scenario for CVE-1"), 404, "not_found", "CVE-1"},
		{crisol.Errorf(crisol.KindInfrastructure, "registry does not answer"), 503, "infrastructure", "registry"},
		{errors.New("nil map at /home/secret"), 500, "internal", "internal fault"},
		{nil, 500, "internal", "internal fault"},
	} {
		refusal = c.err
		r := post(t, s, full)
		if p := wantProblem(t, r, c.status, c.says); p["kind"] != c.kind || strings.Contains(string(r.body), "secret") {
			t.Errorf("%s", r.body)
		}
		if got := r.Header.Get("Retry-After"); (got != "") != (c.status == 503) {
			t.Errorf("%d with Retry-After %q", c.status, got)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Count(logged.String(), "/home/secret") != 2 {
		t.Errorf("our own faults are not in the log:\n%s", logged.String())
	}
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, stuck(make(chan string, 5)), apitest.Config{Jobs: func(c *jobs.Config) { c.Bound = 2 }})
	for range 2 {
		post(t, s, with(t, "wait", "0s"))
	}
	r := post(t, s, with(t, "wait", "0s"))
	wantProblem(t, r, http.StatusServiceUnavailable, "too many validations", "try again later", "infrastructure")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestDatabaseGone: a database that does not answer is a 503, and an accepted request keeps its id.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{API: func(d *api.Deps) { d.History = noHistory{}; d.Library = apitest.Library{Err: errors.New("x")} }})
	r := post(t, s, full)
	if body := r.json(t); r.StatusCode != http.StatusAccepted || body["state"] != "queued" || r.Header.Get("Location") != "/wargaming/validations/"+body["validation_id"].(string) {
		t.Errorf("%s: %s", r.Status, r.body)
	}
	wantProblem(t, get(t, s, "/wargaming/validations"), 503, "disk")
	wantProblem(t, get(t, s, r.Header.Get("Location")), 503, "disk")
	wantProblem(t, get(t, s, "/wargaming/scenarios"), 500)
	wantProblem(t, get(t, s, "/wargaming/scenarios/x"), 500)
	if r := get(t, s, "/health"); r.StatusCode != http.StatusOK {
		t.Errorf("health depends on the database: %s", r.body)
	}
}

type noHistory struct{}

var errDisk = crisol.Errorf(crisol.KindInfrastructure, "read database: disk I/O error")

func (noHistory) Get(context.Context, string) (store.Record, error)       { return store.Record{}, errDisk }
func (noHistory) List(context.Context, store.Filter) ([]store.Row, error) { return nil, errDisk }

func TestListFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		return apitest.Decide(map[string]crisol.Verdict{"p-0": crisol.Fixed}[r.PatchID]+map[bool]crisol.Verdict{true: crisol.NotFixed}[r.PatchID != "p-0"])(ctx, r, id)
	}}, apitest.Config{})
	var ids []string
	for n := range 7 {
		ids = append(ids, post(t, s, with(t, "patch_id", fmt.Sprint("p-", n), "apv_id", fmt.Sprint("apv-", n%2), "cve_id", fmt.Sprint("CVE-", n%3))).json(t)["validation_id"].(string))
	}
	slices.Reverse(ids)
	list := func(query string) (got []string, next string) {
		t.Helper()
		r := get(t, s, "/wargaming/validations?"+query)
		if r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", r.Status, r.body)
		}
		var page api.Page
		if err := json.Unmarshal(r.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Validations {
			got = append(got, v.ID)
		}
		return got, page.NextCursor
	}
	third := get(t, s, "/wargaming/validations/"+ids[4]).json(t)["created_at"].(string)
	for query, want := range map[string][]string{
		"":                                ids,
		"verdict=fixed":                   ids[6:],
		"verdict=not_fixed&limit=2":       ids[:2],
		"apv_id=apv-1":                    {ids[1], ids[3], ids[5]},
		"cve_id=CVE-0&apv_id=apv-0":       {ids[0], ids[6]},
		"patch_id=p-3":                    {ids[3]},
		"scenario_id=CVE-2019-10744":      ids,
		"scenario_id=other":               nil,
		"state=finished&limit=7":          ids,
		"state=queued":                    nil,
		"since=" + url.QueryEscape(third): ids[:5],
		"until=" + url.QueryEscape(third): ids[5:],
		"cursor=" + ids[2]:                ids[3:],
	} {
		if got, _ := list(query); !slices.Equal(got, want) {
			t.Errorf("%q lists %v, want %v", query, got, want)
		}
	}
	var walked []string
	for cursor := "limit=3"; ; {
		page, next := list(cursor)
		walked = append(walked, page...)
		if next == "" {
			break
		}
		cursor = "limit=3&cursor=" + next
	}
	if !slices.Equal(walked, ids) {
		t.Errorf("pages give %v, want %v", walked, ids)
	}
	if r := get(t, s, "/wargaming/validations?state=queued"); string(bytes.TrimSpace(r.body)) != `{"validations":[]}` {
		t.Errorf("an empty page is %s", r.body)
	}
}

// TestPagesUnderInserts walks through pages over HTTP while requests come in.
func TestPagesUnderInserts(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{Jobs: func(c *jobs.Config) { c.Bound = 10_000 }})
	old := map[string]bool{}
	for range 15 {
		old[post(t, s, with(t, "wait", "0s")).json(t)["validation_id"].(string)] = true
	}
	stop := make(chan struct{})
	var inserts sync.WaitGroup
	inserts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				post(t, s, with(t, "wait", "0s"))
			}
		}
	})
	for range 2 {
		seen := map[string]int{}
		for cursor := ""; ; {
			body := get(t, s, fmt.Sprintf("/wargaming/validations?limit=%d%s", 1+rand.IntN(9), cursor)).json(t) //nolint:gosec // any sizes do
			for _, v := range body["validations"].([]any) {
				seen[v.(map[string]any)["validation_id"].(string)]++
			}
			next, more := body["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		for id, times := range seen {
			if times != 1 {
				t.Errorf("%s came %d times", id, times)
			}
		}
		for id := range old {
			if seen[id] != 1 {
				t.Errorf("%s came %d times", id, seen[id])
			}
		}
	}
	close(stop)
	inserts.Wait()
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	list := get(t, s, "/wargaming/scenarios").json(t)["scenarios"].([]any)
	first := list[0].(map[string]any)
	if len(list) != 2 || first["id"] != "CVE-2019-10744" || first["package"] != "pkg:npm/lodash@4.17.11" || first["exploits"] != 1.0 || first["verified"] != "2026-02-03" {
		t.Errorf("%v", list)
	}
	if second := list[1].(map[string]any); second["package"] != "app" || second["verified"] != nil {
		t.Errorf("%v", second)
	}
	for _, id := range []string{"CVE-2019-10744", "GHSA-jf85-cpcp-j695"} {
		if found := get(t, s, "/wargaming/scenarios?cve_id="+id).json(t)["scenarios"].([]any); len(found) != 1 {
			t.Errorf("%s: %v", id, found)
		}
	}
	one := get(t, s, "/wargaming/scenarios/CVE-2019-10744").json(t)
	target := one["target"].(map[string]any)
	if target["reference"].(map[string]any)["package"] != "pkg:npm/lodash@4.17.12" || fmt.Sprint(one["files"]) != "[exploit.js]" ||
		fmt.Sprint(target["service"].(map[string]any)["run"]) != "[node app.js]" || fmt.Sprint(target["build"].([]any)[0].(map[string]any)["run"]) != "[make]" {
		t.Errorf("%v", one)
	}
}

// TestForgery: what a web page in the user's browser can send is refused before anything is read.
func TestForgery(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for _, c := range []struct {
		name   string
		method string
		host   string
		header []string
		status int
	}{
		{"plain", http.MethodPost, "", nil, 200},
		{"localhost", http.MethodPost, "localhost" + port, nil, 200},
		{"no port", http.MethodPost, "LOCALHOST", nil, 200},
		{"IPv6", http.MethodPost, "[::1]" + port, nil, 200},
		{"another of 127/8", http.MethodPost, "127.9.9.9", nil, 200},
		{"own page", http.MethodPost, "", []string{"Origin", s.URL, "Sec-Fetch-Site", "same-origin"}, 200},
		{"typed by the user", http.MethodGet, "", []string{"Sec-Fetch-Site", "none"}, 200},
		{"rebound name", http.MethodPost, "evil.example" + port, nil, 403},
		{"rebound name, reading", http.MethodGet, "evil.example" + port, nil, 403},
		{"rebound name with own origin", http.MethodPost, "evil.example" + port, []string{"Origin", "http://evil.example" + port, "Sec-Fetch-Site", "same-origin"}, 403},
		{"name that begins like ours", http.MethodGet, "localhost.evil.example", nil, 403},
		{"name that ends like ours", http.MethodGet, "evil.localhost", nil, 403},
		{"address of the network", http.MethodGet, "192.168.1.2", nil, 403},
		{"any address", http.MethodGet, "0.0.0.0" + port, nil, 403},
		{"page of another site", http.MethodPost, "", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"page of another port", http.MethodPost, "", []string{"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"}, 403},
		{"old browser", http.MethodPost, "", []string{"Origin", "https://evil.example"}, 403},
		{"sandboxed frame", http.MethodPost, "", []string{"Origin", "null"}, 403},
		{"form", http.MethodPost, "", []string{"Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "/wargaming/validate"
			if c.method == http.MethodGet {
				path = "/wargaming/validations"
			}
			r := request(t, s, c.method, path, full, c.header...)
			if c.host != "" {
				r.Host = c.host
			}
			got := send(t, r)
			if got.StatusCode != c.status {
				t.Fatalf("%s: %s", got.Status, got.body)
			}
			if c.status == 403 {
				wantProblem(t, got, 403)
			}
			if got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers: %v", got.Header)
			}
		})
	}
}

func TestNoHostHeader(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /health HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), " 403 ") {
		t.Errorf("%s, %v", answer, err)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var logged log
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{Log: &logged})
	r := send(t, request(t, s, http.MethodPost, "/wargaming/validate", with(t, "patch_diff", "TOP SECRET PATCH"), "X-Request-Id", "abc-1"))
	id := r.json(t)["validation_id"].(string)
	if r.Header.Get("X-Request-Id") != "abc-1" {
		t.Errorf("request id %q", r.Header.Get("X-Request-Id"))
	}
	if r := send(t, request(t, s, http.MethodGet, "/wargaming/scenarios", "", "X-Request-Id", "a b")); r.Header.Get("X-Request-Id") == "a b" {
		t.Error("a bad request id was taken over")
	}
	if err := s.Stop(t.Context()); err != nil { // the last line of a request comes after its answer
		t.Fatal(err)
	}
	var found bool
	for line := range strings.Lines(logged.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		found = found || entry["msg"] == "request" && entry["request_id"] == "abc-1" && entry["validation_id"] == id &&
			entry["status"] == 200.0 && entry["method"] == "POST" && entry["bytes"].(float64) > 100
	}
	if !found || strings.Contains(logged.String(), "TOP SECRET") {
		t.Errorf("log:\n%s", logged.String())
	}
}

// TestAnswersMatchOpenAPI holds every kind of answer against the schema that /openapi.json gives for it.
func TestAnswersMatchOpenAPI(t *testing.T) {
	t.Parallel()
	begun := make(chan string, 1)
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		if r.PatchID == "slow" {
			return stuck(begun).Runs(ctx, r, id)
		}
		return apitest.Decide(crisol.Fixed)(ctx, r, id)
	}}, apitest.Config{})
	r := get(t, s, "/openapi.json")
	spec, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
	if err != nil || spec.(map[string]any)["openapi"] != "3.1.0" {
		t.Fatalf("%v, openapi %v", err, spec.(map[string]any)["openapi"])
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", spec); err != nil {
		t.Fatal(err)
	}
	slow := with(t, "patch_id", "slow", "wait", "0s")
	finished := post(t, s, full)
	unfinished := post(t, s, slow)
	for _, c := range []struct {
		method, path string
		reply        reply
	}{
		{"post", "/wargaming/validate", finished},
		{"post", "/wargaming/execute", unfinished},
		{"post", "/wargaming/validate", post(t, s, "{}")},
		{"post", "/wargaming/validate", post(t, s, with(t, "scenario_id", "nowhere"))},
		{"post", "/wargaming/validate", send(t, request(t, s, "POST", "/wargaming/validate", full, "Content-Type", "text/plain"))},
		{"post", "/wargaming/validate", send(t, request(t, s, "POST", "/wargaming/validate", full, "Origin", "https://evil.example"))},
		{"get", "/wargaming/validations", get(t, s, "/wargaming/validations")},
		{"get", "/wargaming/validations/{id}", get(t, s, "/wargaming/validations/"+finished.json(t)["validation_id"].(string))},
		{"get", "/wargaming/validations/{id}", get(t, s, "/wargaming/validations/"+unfinished.json(t)["validation_id"].(string))},
		{"get", "/wargaming/validations/{id}", get(t, s, "/wargaming/validations/x")},
		{"get", "/wargaming/scenarios", get(t, s, "/wargaming/scenarios")},
		{"get", "/wargaming/scenarios/{id}", get(t, s, "/wargaming/scenarios/CVE-2019-10744")},
		{"get", "/wargaming/scenarios/{id}", get(t, s, "/wargaming/scenarios/app-xss")},
		{"get", "/health", get(t, s, "/health")},
	} {
		name := fmt.Sprintf("%s %s %d", c.method, c.path, c.reply.StatusCode)
		pointer := strings.NewReplacer("~", "~0", "/", "~1")
		schema, err := compiler.Compile(fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/%s/schema", pointer.Replace(c.path),
			c.method, c.reply.StatusCode, pointer.Replace(c.reply.Header.Get("Content-Type"))))
		if err != nil {
			t.Errorf("%s is not documented: %v", name, err)
			continue
		}
		body, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.reply.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(body); err != nil {
			t.Errorf("%s: %v in %s", name, err, c.reply.body)
		}
	}
	for body, valid := range map[string]bool{full: true, with(t, "apv_id", nil): false, with(t, "patch_dif", "x"): false} {
		schema, err := compiler.Compile("openapi.json#/paths/~1wargaming~1validate/post/requestBody/content/application~1json/schema")
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != valid {
			t.Errorf("the schema says %v of %s", err, body)
		}
	}
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	r := get(t, s, "/")
	if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%s, %v", r.Status, r.Header)
	}
	for _, want := range []string{"/wargaming/validate", "/wargaming/validations/{id}", "min_assurance", "Problem", "1.2.3-test"} {
		if !strings.Contains(string(r.body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, foreign := range []string{"<script", "https://", "//unpkg"} {
		if at := strings.Index(string(r.body), foreign); at >= 0 {
			t.Errorf("the page loads %q: %.200s", foreign, r.body[at:])
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	if r := get(t, s, "/health"); string(bytes.TrimSpace(r.body)) != `{"status":"ok","version":"1.2.3-test"}` {
		t.Errorf("%s", r.body)
	}
}

func TestRefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	for addr, says := range map[string]string{
		"0.0.0.0:0": "not a loopback address", "[::]:0": "not a loopback address", ":0": "every address",
		"192.0.2.1:0": "not a loopback address", "[::ffff:192.0.2.1]:0": "not a loopback address", "8026": "missing port",
		"no-such-host.invalid:0": "no-such-host.invalid",
	} {
		l, err := api.Listen(t.Context(), addr)
		if err == nil {
			t.Errorf("listens on %s: %v", addr, l.Close())
			continue
		}
		if crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", addr, err)
		}
		if says == "not a loopback address" && !strings.Contains(crisol.HintOf(err), "127.0.0.1") {
			t.Errorf("%s: hint %q", addr, crisol.HintOf(err))
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.1.2.3:0"} {
		l, err := api.Listen(t.Context(), addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		_, err = api.Listen(t.Context(), l.Addr().String())
		if crisol.KindOf(err) != crisol.KindInfrastructure || crisol.HintOf(err) == "" {
			t.Errorf("a port in use: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestServeEndsWaits: the end of the service sends those who wait away with 202, and returns.
func TestServeEndsWaits(t *testing.T) {
	t.Parallel()
	begun := make(chan string, 1)
	s := apitest.Start(t, stuck(begun), apitest.Config{})
	answered := make(chan reply, 1)
	go func() { answered <- post(t, s, with(t, "wait", "10m")) }()
	id := <-begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := errors.Join(s.Stop(ctx), s.Stop(ctx)); err != nil {
		t.Fatal(err)
	}
	if r := <-answered; r.StatusCode != http.StatusAccepted || r.json(t)["validation_id"] != id {
		t.Errorf("%s: %s", r.Status, r.body)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	l, err := api.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	logger := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	reached := make(chan struct{})
	go func() {
		served <- api.Serve(ctx, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(reached) }), api.ServeOptions{Logger: logger})
	}()
	response, err := http.Get("http://" + addr + "/") // it waits in the listener's queue if need be
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	<-reached
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestStopIsBounded: an answer that does not come to its end is cut off.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	l, err := api.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := api.NewServer(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(reached); <-release }), slog.New(slog.DiscardHandler))
	if err := errors.Join(s.Start(t.Context()), s.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := http.Get("http://" + s.Addr() + "/"); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	<-gone
	close(release)
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{full, "", "{}", "[]", `{"a":{"b":[1,2,{"c":null}]}}`, `{"a":1,"A":2}`, "{\"a\":\"\xff\"}", `{"a":1}{"b":2}`} {
		f.Add([]byte(seed))
	}
	handler := api.New(api.Deps{Queue: refusing{}, History: noHistory{}, Library: apitest.Library{}, Version: "x", Logger: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/wargaming/validate", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		w := &recorder{header: http.Header{}}
		handler.ServeHTTP(w, r)
		if w.status != http.StatusUnprocessableEntity && w.status != http.StatusServiceUnavailable {
			t.Fatalf("%d: %s", w.status, w.body.Bytes())
		}
		var p api.Problem
		if err := json.Unmarshal(w.body.Bytes(), &p); err != nil || p.Status != w.status {
			t.Fatalf("%v in %s", err, w.body.Bytes())
		}
	})
}

// refusing is a queue that takes nothing, and so shows that a body was read.
type refusing struct{}

func (refusing) Submit(_ context.Context, a jobs.Ask) (store.Submission, error) {
	if r := a.Request; r.APVID == "" || (r.PatchDiff == "") == (r.Patch == nil) {
		panic("a request got through that is none")
	}
	return store.Submission{}, errDisk
}
func (refusing) Wait(context.Context, string) error { return nil }

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
