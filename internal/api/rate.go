package api

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"crisol"
	"crisol/internal/ratelimit"
)

// Limits are how many requests a client may make in a minute; 0 is no limit.
type Limits struct {
	MLFirst, Validate, Accuracy, Other int
}

// DefaultLimits are those of the service's contract.
var DefaultLimits = Limits{MLFirst: 100, Validate: 50, Accuracy: 10, Other: 1000}

// route is the class of limits that a path falls in, and its limit.
func (l Limits) route(path string) (string, ratelimit.Limit) {
	switch path {
	case mlFirstPath:
		return "ml-first", ratelimit.PerMinute(l.MLFirst)
	case "/wargaming/validate", "/wargaming/execute":
		return "validate", ratelimit.PerMinute(l.Validate)
	case "/wargaming/ml/accuracy":
		return "accuracy", ratelimit.PerMinute(l.Accuracy)
	}
	return "other", ratelimit.PerMinute(l.Other)
}

// unlimited are paths that machines ask, which must not be refused.
func unlimited(path string) bool {
	return path == "/health" || strings.HasPrefix(path, "/health/") || path == "/metrics"
}

// rate spends one request of the client's limit.
func (s *server) rate(next http.Handler) http.Handler {
	if s.Limiter == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unlimited(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		class, limit := s.Limits.route(r.URL.Path)
		d := s.Limiter.Take(r.Context(), noteOf(r.Context()).client+" "+class, limit)
		if limit.Requests > 0 { // draft-ietf-httpapi-ratelimit-headers
			w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", class, limit.Requests, int(limit.Period.Seconds())))
			w.Header().Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", class, d.Remaining, seconds(d.Reset)))
		}
		if d.Allowed {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", strconv.Itoa(max(1, seconds(d.Retry))))
		(&Problem{Status: http.StatusTooManyRequests, Kind: crisol.KindInput.String(),
			Detail: fmt.Sprintf("more than %d requests a minute", limit.Requests),
			Hint:   fmt.Sprintf("try again in %d s", max(1, seconds(d.Retry)))}).write(w, r)
	})
}

// seconds rounds up: who comes back a moment early is refused again.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// client says who asks: the address of the connection or, where that is a proxy that the operator trusts, the last one
// in X-Forwarded-For that isn't.
func (s *server) client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !s.trusts(host) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return host
		}
		if host = hop.Unmap().String(); !s.trusts(host) {
			return host
		}
	}
	return host
}

func (s *server) trusts(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, proxy := range s.Proxies {
		if proxy.Contains(address.Unmap()) {
			return true
		}
	}
	return false
}
