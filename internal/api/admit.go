package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"crisol"
	"crisol/internal/access"
)

// Access knows who bears a token (access.Gate).
type Access interface {
	Check(ctx context.Context, shown string) (access.Identity, error)
}

// public are paths that anybody may ask: they tell nothing of what is kept here.
var public = map[string]bool{"/health": true, "/docs": true, "/openapi.json": true}

// bearer is what /openapi.json calls the way in which a token is shown.
const bearer = "bearer"

// submits says whether a path takes requests to be validated.
func submits(path string) bool {
	return path == mlFirstPath || path == "/wargaming/validate" || path == "/wargaming/execute"
}

// needed is the scope that a request takes.
func needed(r *http.Request) access.Scope {
	if r.URL.Path == auditLogPath {
		return access.Operate // it tells who else is there
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return access.Read
	}
	if submits(r.URL.Path) {
		return access.Submit
	}
	return access.Operate
}

// admit lets in who may. The note of the request learns who it is.
func (s *server) admit(next http.Handler) http.Handler {
	if s.Access == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if public[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			shown = ""
		}
		who, err := s.Access.Check(r.Context(), strings.TrimSpace(shown))
		switch scope := needed(r); {
		case errors.Is(err, access.ErrUnknown):
			w.Header().Set("WWW-Authenticate", `Bearer realm="crisol"`)
			(&Problem{Status: http.StatusUnauthorized, Kind: crisol.KindInput.String(), Detail: "no valid token is shown",
				Hint: "send Authorization: Bearer and a token of crisol token create"}).write(w, r)
			return
		case err != nil:
			s.Logger.ErrorContext(r.Context(), "tokens can't be told", "request_id", noteOf(r.Context()).requestID, "error", err)
			(&Problem{Status: http.StatusServiceUnavailable, Kind: crisol.KindInfrastructure.String(), Detail: "tokens can't be told from one another now"}).write(w, r)
			return
		case !who.May(scope):
			w.Header().Set("WWW-Authenticate", `Bearer realm="crisol", error="insufficient_scope", scope="`+string(scope)+`"`)
			(&Problem{Status: http.StatusForbidden, Kind: crisol.KindInput.String(), Detail: "the token lacks the scope " + string(scope),
				Hint: "make one with crisol token create --scope " + string(scope)}).write(w, r)
			return
		}
		if who.Client != "" {
			n := noteOf(r.Context())
			n.client, n.actor = who.Client, strings.TrimSpace(who.Client+" "+who.Name)
		}
		next.ServeHTTP(w, r)
	})
}
