// Package oidc lets callers in by bearer tokens of an OpenID Connect provider, beside those that Crisol makes.
//
// In goes what a caller shows; out comes who it is, by the provider's signature, issuer, audience and time, with the scopes
// that a claim names. The provider is asked when the first token comes, not at start, and its keys again when a token
// names an unknown one, at most every few seconds: a stranger can't make Crisol ask as often as it likes. Crisol needs
// no secret of its own at the provider. The package knows nothing of HTTP on Crisol's side.
package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"crisol"
	"crisol/internal/access"
)

// Config says whom to believe. Issuer and Audience must be set.
type Config struct {
	// Issuer is the provider's URL, as its tokens name it: https, or http on loopback.
	Issuer string
	// Audience is what tokens must be made for.
	Audience string
	// Claim names the scopes, as one text with spaces or as a list; "" is "scope".
	Claim string
	// Prefix stands before the names of Crisol's scopes in the claim, such as "crisol:".
	Prefix string
	Client *http.Client     // nil has the system's certificates and a time limit
	Now    func() time.Time // nil is time.Now
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "the OIDC issuer %q is no https URL", c.Issuer), "want it as the provider's tokens name it; http on loopback only")
	}
	if c.Audience == "" {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "tokens of any audience would be let in"), "name with --oidc-audience what tokens for this service are made for")
	}
	return nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// Bounds of what is asked of a provider.
const (
	askFor   = 5 * time.Second
	askEvery = 5 * time.Second
	maxToken = 16 << 10
)

// Gate checks tokens of a provider, and leaves all others to the next gate.
type Gate struct {
	Config
	next Next
	ask  *asker

	mu       sync.Mutex // guards verifier
	verifier *oidc.IDTokenVerifier
}

// Next checks the tokens that aren't a provider's (access.Gate).
type Next interface {
	Check(ctx context.Context, shown string) (access.Identity, error)
}

// New makes a Gate before another.
func New(c Config, next Next) *Gate {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Claim == "" {
		c.Claim = "scope"
	}
	ask := &asker{inner: http.DefaultTransport, now: c.Now}
	if c.Client != nil && c.Client.Transport != nil {
		ask.inner = c.Client.Transport
	}
	return &Gate{Config: c, next: next, ask: ask}
}

// Check says who bears a token. access.ErrUnknown refuses it; any other error says that it can't be told.
func (g *Gate) Check(ctx context.Context, shown string) (access.Identity, error) {
	if strings.Count(shown, ".") != 2 || len(shown) > maxToken { // not a signed JWT
		who, err := g.next.Check(ctx, shown)
		if err == nil && who.Client == "" { // it would let in everybody, for want of tokens of Crisol's own
			return access.Identity{}, access.ErrUnknown
		}
		return who, err
	}
	verifier, err := g.find(ctx)
	if err != nil {
		return access.Identity{}, err
	}
	token, err := verifier.Verify(ctx, shown)
	if err != nil {
		if failed := g.ask.failure(); failed != nil && strings.Contains(err.Error(), "fetching keys") {
			return access.Identity{}, crisol.Errorf(crisol.KindInfrastructure, "ask the OIDC provider for its keys: %w", failed)
		}
		return access.Identity{}, access.ErrUnknown
	}
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil || token.Subject == "" {
		return access.Identity{}, access.ErrUnknown
	}
	return access.Bearer("oidc:"+token.Subject, "", g.scopes(claims[g.Claim])), nil
}

// scopes are those of Crisol's that a claim names.
func (g *Gate) scopes(claim json.RawMessage) (list []access.Scope) {
	var names []string
	var text string
	if json.Unmarshal(claim, &text) == nil {
		names = strings.Fields(text)
	} else if json.Unmarshal(claim, &names) != nil {
		return nil // neither form: none
	}
	for _, scope := range access.Scopes {
		for _, name := range names {
			if name == g.Prefix+string(scope) {
				list = append(list, scope)
				break
			}
		}
	}
	return list
}

// find asks the provider who it is, once.
func (g *Gate) find(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.verifier != nil {
		return g.verifier, nil
	}
	within, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	client := &http.Client{Transport: g.ask, Timeout: askFor}
	provider, err := oidc.NewProvider(oidc.ClientContext(within, client), g.Issuer)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "ask the OIDC provider %s who it is: %w", g.Issuer, err)
	}
	g.ask.reset() // the keys are another question
	// Keys are fetched in the background of whichever request needs them.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), client)
	g.verifier = provider.VerifierContext(lasting, &oidc.Config{ClientID: g.Audience, Now: g.Now})
	return g.verifier, nil
}

// errTooSoon keeps strangers from making Crisol ask.
var errTooSoon = errors.New("the provider was asked moments ago")

// asker is a transport that asks at most so often, and remembers how the last question ended.
type asker struct {
	inner http.RoundTripper
	now   func() time.Time

	mu     sync.Mutex // guards what follows
	asked  time.Time
	failed error // of the last question that was asked
}

// RoundTrip asks, or says that it is too soon.
func (a *asker) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	if now := a.now(); !a.asked.IsZero() && now.Sub(a.asked) < askEvery && !now.Before(a.asked) {
		a.mu.Unlock()
		return nil, errTooSoon
	}
	a.asked = a.now()
	a.mu.Unlock()
	response, err := a.inner.RoundTrip(r)
	failed := err
	if err == nil && response.StatusCode >= http.StatusInternalServerError {
		failed = errors.New(response.Status)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = failed
	return response, err
}

func (a *asker) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func (a *asker) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = time.Time{}
}
