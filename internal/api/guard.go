package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"crisol"
)

// guard refuses what a web page in the user's browser could send. The service trusts whoever reaches it on loopback,
// and the browser reaches it too: for a page of another site (told by Sec-Fetch-Site and Origin), and for a page whose
// own name was made to resolve to 127.0.0.1 (told by Host).
func (s *server) guard(next http.Handler) http.Handler {
	forgery := http.NewCrossOriginProtection()
	forgery.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&Problem{Status: http.StatusForbidden, Kind: crisol.KindInput.String(),
			Detail: "requests from web pages of another origin are refused",
			Hint:   "use the command line, the Go client, or a page served by this service"}).write(w, r)
	}))
	protected := forgery.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !s.Anywhere && !loopbackHost(r.Host) {
			(&Problem{Status: http.StatusForbidden, Kind: crisol.KindInput.String(),
				Detail: "the Host header names another machine than this one's loopback",
				Hint:   "ask for localhost or 127.0.0.1"}).write(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// loopbackHost says whether a Host header, with or without port, can only mean this machine. Names other than
// localhost are refused though they may resolve to it: who resolves them is the attacker's choice.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
