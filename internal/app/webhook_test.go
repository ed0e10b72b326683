package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crisol"
	"crisol/client"
	"crisol/internal/app"
	"crisol/internal/policy"
	"crisol/internal/webhook"
)

// TestWebhook: a verdict that was given at once is posted, signed with the secret of the data directory.
func TestWebhook(t *testing.T) {
	t.Parallel()
	type post struct {
		header http.Header
		body   []byte
	}
	posts := make(chan post, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- post{r.Header, body}
	}))
	t.Cleanup(receiver.Close)
	data := t.TempDir()
	s := startWith(t, app.Config{Data: data, Rule: policy.Threshold, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s.says.Store(0.95)
	type asked struct {
		crisol.Request
		Webhook string `json:"webhook_url"`
	}
	var v crisol.Validation
	if status := s.ask(http.MethodPost, "/wargaming/ml-first", asked{query("apv-hook", bound), receiver.URL}, &v); status != http.StatusOK || v.Method != crisol.MethodML {
		t.Fatalf("%d, %+v", status, v)
	}
	secret, err := os.ReadFile(filepath.Join(data, "webhook-secret"))
	if err != nil {
		t.Fatal(err)
	}
	got := <-posts
	m, err := client.VerifyWebhook(got.header, got.body, time.Now(), string(secret))
	if err != nil {
		t.Fatal(err)
	}
	told, err := m.Validation()
	if err != nil || m.Type != "validation_finished" || told.ID != v.ID || told.Verdict != v.Verdict || told.Method != v.Method {
		t.Errorf("%+v, %v; answered %+v", told, err, v)
	}
	for _, path := range []string{"/wargaming/ml-first", "/wargaming/validate"} {
		if status := s.ask(http.MethodPost, path, asked{query("apv-hook", bound), "http://169.254.169.254/latest/"}, nil); status != http.StatusUnprocessableEntity {
			t.Errorf("an address inside, to %s: %d", path, status)
		}
	}
}

func TestWebhookSecret(t *testing.T) {
	t.Parallel()
	open := func(c app.Config) error {
		a, err := app.Open(t.Context(), c)
		if err != nil {
			return err
		}
		defer a.Close()
		s, err := a.OpenService(t.Context())
		if err != nil {
			return err
		}
		return s.Close(t.Context())
	}
	data := t.TempDir()
	path := filepath.Join(data, "webhook-secret")
	if err := open(app.Config{Data: data}); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if info, _ := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(err, info)
	}
	if err := open(app.Config{Data: data, WebhookSecret: webhook.NewSecret().Text()}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(first) {
		t.Errorf("%q became %q, %v", first, again, err)
	}
	if err := open(app.Config{Data: data, WebhookSecret: "hunter2"}); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("whsec_"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(app.Config{Data: data}); crisol.HintOf(err) == "" {
		t.Error(err)
	}
}
