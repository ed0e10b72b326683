package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"crisol"
)

// note is what the log says of a request besides its answer. A handler adds to it while it runs; nobody else looks at
// it until then.
type note struct {
	requestID    string
	validationID string
	client       string // who asks: the token, else the address it asks from
	address      string // the address it asks from
	actor        string // who asks, for the audit log
}

type noteKey struct{}

// noteOf returns the note of a request; outside of watch, one that nobody reads.
func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// watch gives every request an id (the caller's own X-Request-Id if it is harmless), logs its end without its body, and
// turns a panic into a 500.
func (s *server) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun, n := time.Now(), &note{requestID: r.Header.Get("X-Request-Id"), client: s.client(r), actor: "local"}
		n.address = n.client
		if !goodRequestID.MatchString(n.requestID) {
			n.requestID = rand.Text()
		}
		w.Header().Set("X-Request-Id", n.requestID)
		answer := &answer{ResponseWriter: w}
		r = r.WithContext(context.WithValue(r.Context(), noteKey{}, n))
		defer func() {
			if fault := recover(); fault != nil {
				s.Logger.ErrorContext(r.Context(), "request panicked", "request_id", n.requestID, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
				if answer.status == 0 {
					(&Problem{Status: http.StatusInternalServerError, Kind: crisol.KindInternal.String(), Detail: "internal fault",
						Hint: "the log of the service says more under request_id"}).write(answer, r)
				}
			}
			s.log(r, n, answer, time.Since(begun))
		}()
		next.ServeHTTP(answer, r)
	})
}

func (s *server) log(r *http.Request, n *note, a *answer, took time.Duration) {
	level := slog.LevelInfo
	if r.URL.Path == "/health" {
		level = slog.LevelDebug // it is asked every few seconds
	}
	attributes := []slog.Attr{
		slog.String("request_id", n.requestID), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", a.status), slog.Int64("bytes", a.bytes), slog.Float64("took_seconds", took.Seconds()), slog.String("remote", r.RemoteAddr),
	}
	if n.client != n.address {
		attributes = append(attributes, slog.String("client", n.client))
	}
	if n.validationID != "" {
		attributes = append(attributes, slog.String("validation_id", n.validationID))
	}
	s.Logger.LogAttrs(r.Context(), level, "request", attributes...)
}

// answer remembers what was answered.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets http.ResponseController find deadlines and flushing.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader notes the first status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts the body's bytes.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}
