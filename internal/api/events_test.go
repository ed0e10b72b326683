package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crisol"
	"crisol/internal/api/apitest"
	"crisol/internal/jobs"
	"crisol/internal/stream"
)

// TestEvents: a verdict is told to who listens, over both transports, and to who comes back.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, handshake, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/wargaming?kind="+jobs.EventFinished, nil)
	if err != nil {
		t.Fatal(err)
	}
	if handshake.Body != nil {
		_ = handshake.Body.Close()
	}
	defer func() { _ = conn.CloseNow() }()
	sub, err := s.Queue.Submit(ctx, jobs.Ask{Request: crisol.Request{APVID: "apv-1", PatchDiff: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var heard stream.Message
	var v crisol.Validation
	if err := json.Unmarshal(text, &heard); err != nil || json.Unmarshal(heard.Body, &v) != nil || heard.Kind != jobs.EventFinished ||
		heard.Subject != sub.ID || v.Verdict != crisol.Fixed || heard.ID != 1 {
		t.Fatalf("%s, %v", text, err)
	}
	for name, header := range map[string]http.Header{"?after=0": {}, "": {"Last-Event-ID": {"0"}}, "?subject=" + sub.ID: {"Last-Event-ID": {"0"}}} {
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/wargaming/events"+name, nil)
		request.Header = header
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(response.Body)
		var data string
		for data == "" && lines.Scan() {
			data, _ = strings.CutPrefix(lines.Text(), "data: ")
			if data == lines.Text() {
				data = ""
			}
		}
		_ = response.Body.Close()
		if data != string(text) || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %q, want %q", name, data, text)
		}
	}
}

func TestEventsRefusals(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	for name, c := range map[string]struct {
		path   string
		header http.Header
		status int
	}{
		"bad number":            {"/wargaming/events?after=-2", nil, 422},
		"no number":             {"/wargaming/events", http.Header{"Last-Event-Id": {"x"}}, 422},
		"unknown parameter":     {"/wargaming/events?since=1", nil, 422},
		"no upgrade":            {"/ws/wargaming", nil, 426},
		"a page of another one": {"/ws/wargaming", http.Header{"Origin": {"http://evil.example"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}, 403},
		"so over SSE":           {"/wargaming/events", http.Header{"Origin": {"http://evil.example"}}, 403},
	} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+c.path, nil)
		for k, v := range c.header {
			request.Header[k] = v
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
}
