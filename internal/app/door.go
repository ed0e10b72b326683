package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"crisol"
	"crisol/internal/access"
	"crisol/internal/access/oidc"
	"crisol/internal/api"
	"crisol/internal/store"
	"crisol/internal/store/postgres"
	"crisol/internal/trail"
)

// DefaultAddr is where the service listens.
const DefaultAddr = "127.0.0.1:8026"

// Door says where a service listens, and by which certificate.
type Door struct {
	Addr string
	// Certificate and Key are PEM files; both "" speak plain HTTP.
	Certificate, Key string
	// Limits are what clients are held to; the zero value holds nobody. Proxies are believed who they speak for.
	Limits  api.Limits
	Proxies []netip.Prefix
	// OIDC lets in callers by tokens of a provider too; without an issuer there is none.
	OIDC oidc.Config
	// Listener, where it isn't nil, is open already and takes Addr's place: systemd's, or that of the process before this
	// one. The service closes it.
	Listener net.Listener
	// Opened, where it isn't nil, learns of the listener that Serve has opened.
	Opened func(net.Listener) error
	// Drain is how long the service still takes connections when it stops, and tells clients to leave those they have:
	// for one that another process goes on with.
	Drain func() time.Duration
	// Changes brings settings that hold from when they are received; nil brings none.
	Changes <-chan Change
}

// Change is what may change while a service runs.
type Change struct {
	Settings []string // their names, for the log
	Limits   api.Limits
	Proxies  []netip.Prefix
	Ages     Ages
}

// Serve runs the service until ctx is done. Trials that are under way then stay accepted and run again at the next start.
func (a *App) Serve(ctx context.Context, d Door) (err error) {
	if err := a.CheckTrials(); err != nil {
		return err
	}
	// An address that can't be had is refused before anything is opened, and long before accepted trials go on. One that
	// others reach needs to know first who may come.
	listener, refusal := d.listen(ctx)
	closed := a.tokened() || d.OIDC.Issuer != ""
	if refusal != nil && (a.Database == "" && !closed || crisol.KindOf(refusal) == crisol.KindInfrastructure) {
		return refusal
	}
	defer func() {
		if listener == nil {
			return
		}
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			a.Log.Warn("close the listener", "error", err)
		}
	}()
	s, err := a.OpenService(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	deps := s.deps()
	deps.Limits, deps.Proxies = d.Limits, d.Proxies
	if d.Limits != (api.Limits{}) {
		deps.Limiter = s.limiter()
	}
	gate := access.NewGate(a.Tokens(s.Store), nil)
	deps.Access = gate
	if d.OIDC.Issuer != "" {
		deps.Access = oidc.New(d.OIDC, gate)
	}
	if refusal != nil {
		if d.OIDC.Issuer == "" {
			if closed, err := gate.Closed(ctx); err != nil || !closed {
				return cmp.Or(err, refusal)
			}
		}
		if listener == nil {
			if listener, err = api.ListenAnywhere(ctx, d.Addr); err != nil {
				return err
			}
		}
		deps.Anywhere = true
	}
	if d.Opened != nil {
		if err := d.Opened(listener); err != nil {
			return err
		}
	}
	if d.Certificate != "" || d.Key != "" {
		if listener, err = api.Secure(listener, d.Certificate, d.Key, a.Log); err != nil {
			return err
		}
	} else if deps.Anywhere {
		a.Log.Warn("the service speaks plain HTTP where others can hear it: tokens can be read on the way", "addr", d.Addr)
	}
	if _, err := deps.Trail.Append(ctx, trail.Entry{At: time.Now(), Actor: "service", Act: "start", Subject: d.Addr, Outcome: trail.Done}); err != nil {
		return err // what changes the service couldn't be logged either
	}
	s.Maintain(ctx)
	a.Log.Info("service starts", "addr", d.Addr, "data", a.Data, "sandbox", a.Sandbox.Name(), "scenarios", len(s.index.All()), "policy", cmp.Or(a.Rule, "certified"))
	return api.Serve(ctx, listener, s.front(ctx, deps, d.Changes), api.ServeOptions{Logger: a.Log, Drain: d.Drain})
}

// listen opens the address if only this machine can reach it. A refusal beside a listener says that others can reach what
// is open already.
func (d Door) listen(ctx context.Context) (net.Listener, error) {
	if d.Listener == nil {
		return api.Listen(ctx, d.Addr)
	}
	return d.Listener, api.CheckLoopback(d.Listener.Addr())
}

// front answers HTTP, by other rules from when a change brings them.
func (s *Service) front(ctx context.Context, deps api.Deps, changes <-chan Change) http.Handler {
	var now atomic.Pointer[http.Handler]
	put := func() {
		handler := api.New(deps)
		now.Store(&handler)
	}
	put()
	if changes != nil {
		s.goOn(ctx, func(ctx context.Context) {
			for {
				select {
				case <-ctx.Done():
					return
				case c := <-changes:
					if err := s.logChange(ctx, deps.Trail, c); err != nil {
						s.app.Log.Error("settings were read again and stay as they were: the change can't be logged", "error", err)
						continue
					}
					deps.Limits, deps.Proxies = c.Limits, c.Proxies
					if deps.Limiter == nil && c.Limits != (api.Limits{}) {
						deps.Limiter = s.limiter()
					}
					put()
					s.ages.Store(&c.Ages)
					s.app.Log.Info("settings were read again", "changed", c.Settings)
				}
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*now.Load()).ServeHTTP(w, r) })
}

// logChange tells the audit log of settings that were read again.
func (s *Service) logChange(ctx context.Context, log trail.Log, c Change) error {
	detail, err := json.Marshal(struct {
		Settings []string   `json:"settings"`
		Limits   api.Limits `json:"limits"`
	}{c.Settings, c.Limits})
	if err == nil {
		_, err = log.Append(ctx, trail.Entry{At: time.Now(), Actor: "service", Act: "read the settings again", Detail: detail, Outcome: trail.Done})
	}
	return err
}

// Tokens is where the tokens of this configuration are kept: in the database that services share, else in a file.
func (a *App) Tokens(st store.Store) access.Keeper {
	if a.Database != "" {
		return access.Shared{Settings: st.Settings()}
	}
	return TokenFile(a.Data)
}

// AuditLog is where changes of this configuration are logged: in the database that services share, else in a file.
func (a *App) AuditLog(st store.Store) trail.Log {
	if shared, ok := st.(*postgres.Store); ok {
		return shared.AuditLog()
	}
	return AuditFile(a.Data)
}

// AuditFile is the audit log of a service that runs alone.
func AuditFile(data string) trail.File { return trail.File{Path: filepath.Join(data, "audit.log")} }

// TokenFile keeps the tokens of a service that runs alone.
func TokenFile(data string) access.File {
	return access.File{Path: filepath.Join(data, "tokens.json")}
}

// tokened says whether a service that runs alone has tokens; one that can't tell says so when it is asked.
func (a *App) tokened() bool {
	tokens, err := TokenFile(a.Data).Load(context.Background())
	return err != nil || len(tokens) > 0
}
