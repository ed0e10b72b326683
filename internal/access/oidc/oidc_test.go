package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"crisol"
	"crisol/internal/access"
	"crisol/internal/access/oidc"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// provider is an OpenID Connect provider that can be made to fail, and to change its key.
type provider struct {
	*httptest.Server
	t     *testing.T
	key   atomic.Pointer[jose.JSONWebKey]
	down  atomic.Bool
	asked atomic.Int64
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	p.rotate("one")
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		var answer any = map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/a", "token_endpoint": p.URL + "/t",
			"id_token_signing_alg_values_supported": []string{"ES256"}}
		if r.URL.Path == "/keys" {
			answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.Load().Public()}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(p.Close)
	return p
}

// rotate makes a new key.
func (p *provider) rotate(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key.Store(&jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"})
}

// token signs claims beside those that every good token has.
func (p *provider) token(more map[string]any) string {
	p.t.Helper()
	return p.sign(p.key.Load(), more)
}

func (p *provider) sign(key *jose.JSONWebKey, more map[string]any) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	claims := map[string]any{"iss": p.URL, "aud": "crisol", "sub": "ada", "exp": noon.Add(time.Hour).Unix(), "iat": noon.Unix(), "scope": "openid crisol:submit crisol:read"}
	for name, value := range more {
		claims[name] = value
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// none is a gate of a service that has no tokens of its own: it lets everybody in.
type none struct{}

func (none) Check(context.Context, string) (access.Identity, error) { return access.Identity{}, nil }

func TestTokens(t *testing.T) {
	p := newProvider(t)
	now := noon
	g := oidc.New(oidc.Config{Issuer: p.URL, Audience: "crisol", Prefix: "crisol:", Now: func() time.Time { return now }}, none{})
	who, err := g.Check(t.Context(), p.token(nil))
	if err != nil || who.Client != "oidc:ada" || !who.May(access.Submit) || !who.May(access.Read) || who.May(access.Operate) {
		t.Fatalf("%+v, %v", who, err)
	}
	if who, err := g.Check(t.Context(), p.token(map[string]any{"scope": []string{"crisol:operate", "submit"}})); err != nil || !who.May(access.Operate) || who.May(access.Submit) {
		t.Errorf("a list: %+v, %v", who, err)
	}
	if who, err := g.Check(t.Context(), p.token(map[string]any{"scope": 7})); err != nil || who.May(access.Read) {
		t.Errorf("no scopes: %+v, %v", who, err)
	}
	forged := &jose.JSONWebKey{Key: func() any { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k }(), KeyID: "one", Algorithm: "ES256"}
	good := p.token(nil)
	parts := strings.Split(good, ".")
	for name, shown := range map[string]string{
		"another audience": p.token(map[string]any{"aud": "else"}), "another issuer": p.token(map[string]any{"iss": "https://else"}),
		"expired": p.token(map[string]any{"exp": noon.Add(-time.Minute).Unix()}), "not yet": p.token(map[string]any{"nbf": noon.Add(time.Hour).Unix()}),
		"no subject": p.token(map[string]any{"sub": ""}), "a forged signature": p.sign(forged, nil), "no signature": parts[0] + "." + parts[1] + ".",
		"alg none": "eyJhbGciOiJub25lIn0." + parts[1] + ".", "nothing": "", "no token": "a.b.c", "too long": good + strings.Repeat("x", 20_000),
	} {
		now = now.Add(time.Minute) // keys may be asked for again
		if who, err := g.Check(t.Context(), shown); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

// TestKeys: a new key is found, and strangers can't make Crisol ask for keys all the time.
func TestKeys(t *testing.T) {
	p := newProvider(t)
	now := noon
	g := oidc.New(oidc.Config{Issuer: p.URL, Audience: "crisol", Now: func() time.Time { return now }}, none{})
	if _, err := g.Check(t.Context(), p.token(nil)); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	p.rotate("two")
	if _, err := g.Check(t.Context(), p.token(nil)); err != nil {
		t.Fatalf("a new key: %v", err)
	}
	before := p.asked.Load()
	for range 50 {
		if _, err := g.Check(t.Context(), p.sign(&jose.JSONWebKey{Key: p.key.Load().Key, KeyID: rand.Text(), Algorithm: "ES256"}, nil)); !errors.Is(err, access.ErrUnknown) {
			t.Fatal(err)
		}
	}
	if asked := p.asked.Load() - before; asked > 1 {
		t.Errorf("50 unknown keys made %d questions", asked)
	}
}

// TestDown: a provider that can't be asked lets nobody in, and tokens of known keys count on.
func TestDown(t *testing.T) {
	p := newProvider(t)
	now := noon
	g := oidc.New(oidc.Config{Issuer: p.URL, Audience: "crisol", Now: func() time.Time { return now }}, none{})
	p.down.Store(true)
	if _, err := g.Check(t.Context(), p.token(nil)); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("%v", err)
	}
	p.down.Store(false)
	now = now.Add(time.Minute)
	known := p.token(nil)
	if _, err := g.Check(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	p.down.Store(true)
	now = now.Add(time.Minute)
	if _, err := g.Check(t.Context(), known); err != nil {
		t.Errorf("a known key: %v", err)
	}
	p.rotate("two")
	if _, err := g.Check(t.Context(), p.token(nil)); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for issuer, good := range map[string]bool{"https://id.example/realm": true, "http://127.0.0.1:1": true, "http://localhost": true, "http://id.example": false, "id.example": false, "": false} {
		if err := (oidc.Config{Issuer: issuer, Audience: "crisol"}).Check(); (err == nil) != good {
			t.Errorf("%q: %v", issuer, err)
		}
	}
	if err := (oidc.Config{Issuer: "https://id.example"}).Check(); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
}
