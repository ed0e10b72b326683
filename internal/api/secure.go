package api

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"crisol"
)

// reloadAfter is how long a certificate is taken for what it was.
const reloadAfter = 10 * time.Second

// Secure speaks TLS on a listener, with the certificate and the key of two PEM files. They are read again when they have
// changed; files that can't be read then are told in the log, and the certificate that was read before serves on.
func Secure(listener net.Listener, certificate, key string, logger *slog.Logger) (net.Listener, error) {
	p := &pair{certificate: certificate, key: key, logger: logger}
	if _, err := p.get(nil); err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "read the certificate %s and its key %s: %w", certificate, key, err), "both in PEM; the certificate with its chain")
	}
	return tls.NewListener(listener, &tls.Config{GetCertificate: p.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// pair is a certificate with its key, in files.
type pair struct {
	certificate, key string
	logger           *slog.Logger

	mu      sync.Mutex // guards what follows
	known   *tls.Certificate
	of      [2]time.Time // when the files that it was read from were changed
	checked time.Time
}

func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.known != nil && now.Sub(p.checked) < reloadAfter {
		return p.known, nil
	}
	p.checked = now
	changed, err := p.changed()
	if err == nil && p.known != nil && changed == p.of {
		return p.known, nil
	}
	if err == nil {
		var read tls.Certificate
		if read, err = tls.LoadX509KeyPair(p.certificate, p.key); err == nil {
			p.known, p.of = &read, changed
			return p.known, nil
		}
	}
	if p.known == nil {
		return nil, err
	}
	p.logger.Error("the certificate has changed and can't be read; the one before serves on", "certificate", p.certificate, "error", err)
	return p.known, nil
}

func (p *pair) changed() (times [2]time.Time, err error) {
	for i, path := range []string{p.certificate, p.key} {
		info, err := os.Stat(path)
		if err != nil {
			return times, err
		}
		times[i] = info.ModTime()
	}
	return times, nil
}
