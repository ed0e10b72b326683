package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"crisol"
)

// Bounds of a connection. There is no bound on the whole of a request: a caller may wait ten minutes for its verdict.
// limit bounds the body, writeFor whatever is beyond the longest wait.
const (
	readHeaderFor  = 10 * time.Second
	writeFor       = maxWait + time.Minute
	idleFor        = 2 * time.Minute
	maxHeaderBytes = 32 << 10
	stopFor        = 10 * time.Second
)

// ServeOptions configure Serve. Logger must be set.
type ServeOptions struct {
	Logger *slog.Logger
	// Drain says, once ctx is done, how long connections are still taken and clients told to leave those they have; nil is
	// not at all.
	Drain func() time.Duration
}

// Serve answers on listener (see Listen) until ctx is done. Then it takes no more connections, sends those who wait for
// a verdict away with what there is (202), and returns when all answers are written or ten seconds are over.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, o ServeOptions) error {
	var leaving atomic.Bool
	s := NewServer(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(&parting{ResponseWriter: w, leaving: &leaving}, r)
	}), o.Logger)
	if err := s.Start(ctx); err != nil {
		return err
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.failed:
	}
	if o.Drain != nil && failed == nil {
		leaving.Store(true)
		time.Sleep(o.Drain())
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopFor)
	defer cancel()
	return errors.Join(failed, s.Stop(within))
}

// parting tells clients of a server that leaves to open another connection for their next request.
type parting struct {
	http.ResponseWriter
	leaving *atomic.Bool
	begun   bool
}

// Unwrap lets http.ResponseController find deadlines, flushing and hijacking.
func (p *parting) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader says so in the headers, which are the last word on the connection.
func (p *parting) WriteHeader(status int) {
	if !p.begun && p.leaving.Load() {
		p.Header().Set("Connection", "close")
	}
	p.begun = p.begun || status >= http.StatusOK
	p.ResponseWriter.WriteHeader(status)
}

// Write sends headers first if that wasn't done.
func (p *parting) Write(b []byte) (int, error) {
	if !p.begun {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriter.Write(b)
}

// Server is a listener with its HTTP server. Start and Stop may each be called twice.
type Server struct {
	listener net.Listener
	handler  http.Handler
	logger   *slog.Logger
	failed   chan error // of serving, at most one
	stopping atomic.Bool

	mu     sync.Mutex // guards what follows
	http   *http.Server
	hangUp context.CancelFunc // ends the context of every request
	done   chan struct{}
}

// NewServer makes a server that does not answer yet. The listener is the server's from here on: Stop closes it.
func NewServer(listener net.Listener, handler http.Handler, logger *slog.Logger) *Server {
	return &Server{listener: listener, handler: handler, logger: logger, failed: make(chan error, 1)}
}

// Start serves in the background. ctx bounds the start only.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	base, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	s.hangUp, s.done = hangUp, make(chan struct{})
	s.http = &http.Server{
		Handler: s.handler, BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: readHeaderFor, WriteTimeout: writeFor, IdleTimeout: idleFor, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	s.logger.InfoContext(ctx, "listening", "addr", s.Addr())
	go func(server *http.Server, done chan struct{}) {
		defer close(done)
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !s.stopping.Load() {
			s.failed <- crisol.Errorf(crisol.KindInfrastructure, "serve %s: %w", s.Addr(), err)
		}
	}(s.http, s.done)
	return nil
}

// Addr is where the server listens, with the port that the system chose if that was left open.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop takes no more connections, ends waits, and waits for answers in work until ctx is done; what is left then is
// cut off.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	s.hangUp()
	// First no more connections are taken, and only then is looked for those that there are: one taken in between would be
	// neither refused nor answered.
	s.stopping.Store(true)
	_ = s.listener.Close()
	<-s.done
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(crisol.Errorf(crisol.KindInfrastructure, "stop serving %s: %w", s.Addr(), err), s.http.Close())
	}
	s.http = nil
	return err
}

// Listen opens addr if only this machine can reach it.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "listen on %q: %w", addr, err), "want HOST:PORT, for example 127.0.0.1:8026")
	}
	ip, err := loopback(ctx, host)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(ip, port)) // the address that was checked, not the name
	if err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "listen on %s: %w", addr, err),
			"is another crisol running? choose another port with --addr")
	}
	return listener, nil
}

// ListenAnywhere opens any address. What answers there must know who asks.
func ListenAnywhere(ctx context.Context, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "listen on %q: %w", addr, err), "want HOST:PORT, for example 0.0.0.0:8026")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "listen on %s: %w", addr, err), "is another crisol running? choose another port with --addr")
	}
	return listener, nil
}

// CheckLoopback refuses an address that others than this machine can reach.
func CheckLoopback(addr net.Addr) error {
	if addr.Network() == "unix" {
		return nil
	}
	address, err := netip.ParseAddrPort(addr.String())
	if err != nil || !address.Addr().Unmap().IsLoopback() {
		return refused(addr.String(), "it is not a loopback address")
	}
	return nil
}

func refused(host, why string) error {
	return crisol.WithHint(crisol.Errorf(crisol.KindInput,
		"listen on %q: %s, and without authentication whoever reaches the service may run trials", host, why),
		"listen on 127.0.0.1 or [::1], or make a token first: crisol token create")
}

// loopback resolves host to an address of the loopback interface. Every address that it resolves to must be one.
func loopback(ctx context.Context, host string) (string, error) {
	if host == "" {
		return "", refused(host, "it means every address of this machine")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if !addr.Unmap().IsLoopback() {
			return "", refused(host, "it is not a loopback address")
		}
		return addr.String(), nil
	}
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(within, "ip", host)
	if err != nil {
		return "", crisol.Errorf(crisol.KindInput, "listen on %q: %w", host, err)
	}
	for _, addr := range addrs {
		if !addr.Unmap().IsLoopback() {
			return "", refused(host, fmt.Sprintf("it resolves to %s, which is not a loopback address", addr))
		}
	}
	if len(addrs) == 0 {
		return "", refused(host, "it resolves to no address")
	}
	// IPv4 first: what people and their scripts ask for.
	for _, addr := range addrs {
		if addr.Unmap().Is4() {
			return addr.Unmap().String(), nil
		}
	}
	return addrs[0].String(), nil
}
