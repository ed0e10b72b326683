// Package access says who may do what: API tokens with scopes.
//
// In go what a caller shows and what it wants to do; out comes who it is, or a refusal. A token is random, shown once when
// it is made, and kept as a digest only; it is looked up by its public part and compared in constant time. Where there is
// no token at all, everything is open: that is for a service on loopback, and for nothing else. The package knows nothing of
// HTTP, nor where tokens are kept (see Keeper).
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"crisol"
)

// Scope is something that a token allows.
type Scope string

// The scopes. None includes another.
const (
	Read    Scope = "read"    // verdicts, figures, events
	Submit  Scope = "submit"  // patches to be validated
	Operate Scope = "operate" // A/B testing, models, the cache
)

// Scopes are all there are.
var Scopes = []Scope{Read, Submit, Operate}

// ParseScopes reads names of scopes; none stands for read and submit.
func ParseScopes(names []string) ([]Scope, error) {
	if len(names) == 0 {
		return []Scope{Read, Submit}, nil
	}
	var list []Scope
	for _, name := range names {
		if !slices.Contains(Scopes, Scope(name)) {
			return nil, crisol.Errorf(crisol.KindInput, "scope %q: want read, submit or operate", name)
		}
		if !slices.Contains(list, Scope(name)) {
			list = append(list, Scope(name))
		}
	}
	return list, nil
}

// Token is one as it is kept: without its secret.
type Token struct {
	ID      string     `json:"id"` // public, the first part of the token
	Name    string     `json:"name"`
	Scopes  []Scope    `json:"scopes"`
	Digest  string     `json:"digest"` // SHA-256 of the secret, in hex
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// usable says whether the token counts at a time.
func (t Token) usable(at time.Time) bool {
	return t.Revoked == nil && (t.Expires == nil || at.Before(*t.Expires))
}

// Keeper keeps tokens.
type Keeper interface {
	// Load returns all of them.
	Load(ctx context.Context) ([]Token, error)
	// Change replaces all by what do makes of them. do may be called again when somebody else changed them meanwhile.
	Change(ctx context.Context, do func([]Token) ([]Token, error)) error
}

const prefix = "crisol_"

var form = regexp.MustCompile(`^crisol_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$`)

// maxName bounds a token's name.
const maxName = 100

// Create makes a token and returns it with what its bearer must show, which nobody can tell again.
func Create(ctx context.Context, k Keeper, name string, scopes []Scope, expires *time.Time, now time.Time) (Token, string, error) {
	if name = strings.TrimSpace(name); name == "" || len(name) > maxName {
		return Token{}, "", crisol.Errorf(crisol.KindInput, "a token needs a name of 1 to %d bytes, such as that of the program that bears it", maxName)
	}
	id := strings.ToLower(rand.Text()[:12]) // base 32
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // it never fails
	secret := base64.RawURLEncoding.EncodeToString(raw[:])
	t := Token{ID: id, Name: name, Scopes: scopes, Digest: digest(secret), Created: now.UTC().Truncate(time.Second), Expires: expires}
	err := k.Change(ctx, func(all []Token) ([]Token, error) { return append(all, t), nil })
	return t, prefix + id + "_" + secret, err
}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Revoke ends a token, by its id.
func Revoke(ctx context.Context, k Keeper, id string, now time.Time) (revoked Token, err error) {
	err = k.Change(ctx, func(all []Token) ([]Token, error) {
		i := slices.IndexFunc(all, func(t Token) bool { return t.ID == id })
		if i < 0 {
			return nil, crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "there is no token %q", id), "crisol token list shows them")
		}
		if all[i].Revoked == nil {
			at := now.UTC().Truncate(time.Second)
			all[i].Revoked = &at
		}
		revoked = all[i]
		return all, nil
	})
	return revoked, err
}

// Identity is who asks.
type Identity struct {
	// Client is the token's id; "" where nobody has to show one.
	Client string
	Name   string
	scopes []Scope
	open   bool
}

// Bearer is who bears a token that somebody else vouches for.
func Bearer(client, name string, scopes []Scope) Identity {
	return Identity{Client: client, Name: name, scopes: scopes}
}

// May says whether the identity has a scope.
func (i Identity) May(s Scope) bool { return i.open || slices.Contains(i.scopes, s) }

// ErrUnknown refuses who shows no token, or none that counts.
var ErrUnknown = errors.New("no valid token")

// staleAfter is how long tokens are taken for what they were: a revocation takes effect within it.
const staleAfter = 2 * time.Second

// Gate knows the tokens. Use NewGate.
type Gate struct {
	keeper Keeper
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	tokens map[string]Token
	read   time.Time
}

// NewGate makes a Gate; a nil clock is time.Now.
func NewGate(k Keeper, now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	return &Gate{keeper: k, now: now}
}

// Closed says whether there is a token, so that callers must show one. Tokens that were revoked count too: a service that
// had tokens once doesn't open when the last one goes.
func (g *Gate) Closed(ctx context.Context) (bool, error) {
	tokens, err := g.load(ctx)
	return len(tokens) > 0, err
}

// Check says who bears a token. An error that isn't ErrUnknown says that it can't be told.
func (g *Gate) Check(ctx context.Context, shown string) (Identity, error) {
	tokens, err := g.load(ctx)
	if err != nil {
		return Identity{}, err
	}
	if len(tokens) == 0 {
		return Identity{open: true}, nil
	}
	parts := form.FindStringSubmatch(shown)
	if parts == nil {
		return Identity{}, ErrUnknown
	}
	t := tokens[parts[1]] // of an unknown one the digest is "", which nothing has
	same := subtle.ConstantTimeCompare([]byte(digest(parts[2])), []byte(t.Digest)) == 1
	if !same || !t.usable(g.now()) {
		return Identity{}, ErrUnknown
	}
	return Identity{Client: t.ID, Name: t.Name, scopes: t.Scopes}, nil
}

// load returns the tokens by id. Those that were read before serve on when they can't be read now.
func (g *Gate) load(ctx context.Context) (map[string]Token, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tokens != nil && g.now().Sub(g.read) < staleAfter {
		return g.tokens, nil
	}
	all, err := g.keeper.Load(ctx)
	if err != nil {
		if g.tokens != nil {
			return g.tokens, nil // a revocation waits until they can be read
		}
		return nil, err
	}
	g.tokens, g.read = make(map[string]Token, len(all)), g.now()
	for _, t := range all {
		g.tokens[t.ID] = t
	}
	return g.tokens, nil
}
