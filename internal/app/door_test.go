package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crisol"
	"crisol/internal/access"
	"crisol/internal/api"
	"crisol/internal/app"
)

// selfSigned writes a certificate for localhost and its key.
func selfSigned(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"crisol.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return certificate, key, pool
}

// TestDoor: with tokens, the service lets in who shows one that has the scope, over TLS and under any name.
func TestDoor(t *testing.T) {
	t.Parallel()
	certificate, key, pool := selfSigned(t)
	a, err := app.Open(t.Context(), app.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	if err := a.Serve(t.Context(), app.Door{Addr: "0.0.0.0:0"}); crisol.KindOf(err) != crisol.KindInput {
		t.Fatalf("without tokens: %v", err)
	}
	token := func(scopes ...access.Scope) string {
		_, shown, err := access.Create(t.Context(), a.Tokens(nil), "test", scopes, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	reader, operator := token(access.Read), token(access.Operate)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	_ = probe.Close()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- a.Serve(ctx, app.Door{Addr: fmt.Sprint("0.0.0.0:", port), Certificate: certificate, Key: key, Limits: api.Limits{Accuracy: 1}})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprint("127.0.0.1:", port))
		},
	}}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(method, path, token string) (int, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://crisol.test"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(r)
		if err != nil {
			return 0, nil
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode, response.Header
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := ask(http.MethodGet, "/health", ""); status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the service doesn't come up")
		}
	}
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{http.MethodGet, "/wargaming/scenarios", "", 401}, {http.MethodGet, "/wargaming/scenarios", "crisol_x", 401},
		{http.MethodGet, "/wargaming/scenarios", reader, 200}, {http.MethodGet, "/wargaming/scenarios", operator, 403},
		{http.MethodPost, "/wargaming/ab-testing/enable", reader, 403}, {http.MethodPost, "/wargaming/ab-testing/enable", operator, 200},
		{http.MethodPost, "/wargaming/validate", operator, 403}, {http.MethodDelete, "/wargaming/cache", operator, 200},
		{http.MethodGet, "/wargaming/ml/accuracy", reader, 200}, {http.MethodGet, "/wargaming/ml/accuracy", reader, 429},
		{http.MethodGet, "/openapi.json", "", 200},
	} {
		status, header := ask(c.method, c.path, c.token)
		if status != c.want || (status == 401) != (header.Get("WWW-Authenticate") == `Bearer realm="crisol"`) {
			t.Errorf("%s %s: %d, want %d; %v", c.method, c.path, status, c.want, header)
		}
	}
}
