// Package proxytest stands a proxy between a client and a server, which does to their connections what networks do.
//
// In go a server's address and, at any time, a Fault; out comes an address that clients use in the server's place. Bytes
// pass late, or never; connections are reset, refused, or fall silent while new ones work. It passes TCP on and knows
// nothing of what is said. It serves tests.
package proxytest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Fault is how a proxy behaves. The zero value passes everything on.
type Fault struct {
	// Latency delays each piece that passes, in both directions.
	Latency time.Duration
	// Silent lets nothing pass: connections are taken and stay, and all that is sent is lost. So it is with a black hole.
	Silent bool
	// Reset ends every connection, and each new one, with a reset.
	Reset bool
	// Refuse takes no connections, as a port on which nobody listens; those that there are pass on.
	Refuse bool
}

// Proxy is a proxy that ends with its test.
type Proxy struct {
	addr string // its own
	to   string
	t    testing.TB

	mu       sync.Mutex // guards what follows
	fault    Fault
	changed  chan struct{} // closed at the next change of the fault
	listener net.Listener  // nil while it refuses
	pairs    []*pair
	closed   bool
	running  sync.WaitGroup
}

// pair is a client's connection with that to the server.
type pair struct {
	near, far *net.TCPConn
	dead      chan struct{} // closed once nothing passes any more, though both stay open
	kill      sync.Once
}

// Start starts a proxy before a server at to (HOST:PORT).
func Start(t testing.TB, to string) *Proxy {
	t.Helper()
	p := &Proxy{to: to, t: t, changed: make(chan struct{}), addr: "127.0.0.1:0"}
	if err := p.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

func (p *Proxy) listen() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		return err
	}
	p.listener, p.addr = l, l.Addr().String()
	p.running.Go(func() { p.accept(l) })
	return nil
}

// Set makes the proxy behave otherwise from now on.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	if f.Reset {
		for _, c := range p.pairs {
			c.reset()
		}
		p.pairs = nil
	}
	switch {
	case f.Refuse && p.listener != nil:
		_ = p.listener.Close()
		p.listener = nil
	case !f.Refuse && p.listener == nil:
		if err := p.listen(); err != nil {
			p.t.Errorf("the proxy can't have its port back: %v", err)
		}
	}
}

// Forget makes the connections of this moment half-open: nothing passes over them any more, and neither side learns of it.
// New ones work.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pairs {
		c.kill.Do(func() { close(c.dead) })
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
	}
	for _, c := range p.pairs {
		c.reset()
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(near.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(near *net.TCPConn) {
	fault, _ := p.now()
	if fault.Reset {
		_ = near.SetLinger(0)
		_ = near.Close()
		return
	}
	far, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		_ = near.SetLinger(0)
		_ = near.Close()
		return
	}
	c := &pair{near: near, far: far.(*net.TCPConn), dead: make(chan struct{})}
	p.mu.Lock()
	if p.closed || p.fault.Reset {
		p.mu.Unlock()
		c.reset()
		return
	}
	p.pairs = append(p.pairs, c)
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(c, c.far, c.near) })
	both.Go(func() { p.pass(c, c.near, c.far) })
	both.Wait()
	_ = near.Close()
	_ = far.Close()
	p.mu.Lock()
	p.pairs = slices.DeleteFunc(p.pairs, func(x *pair) bool { return x == c })
	p.mu.Unlock()
}

func (c *pair) reset() {
	_ = c.near.SetLinger(0)
	_ = c.near.Close()
	_ = c.far.SetLinger(0)
	_ = c.far.Close()
}

func (p *Proxy) now() (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

// pass passes on what one side sends, as the fault of the moment has it.
func (p *Proxy) pass(c *pair, to, from *net.TCPConn) {
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 && !p.lost(c) {
			if fault, changed := p.now(); fault.Latency > 0 {
				select {
				case <-time.After(fault.Latency):
				case <-changed:
				}
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed) || p.lost(c):
			return // the other side isn't told
		default:
			_ = to.CloseWrite()
			return
		}
	}
}

// lost says whether what is sent over a connection gets nowhere.
func (p *Proxy) lost(c *pair) bool {
	select {
	case <-c.dead:
		return true
	default:
	}
	fault, _ := p.now()
	if fault.Silent {
		c.kill.Do(func() { close(c.dead) }) // a stream with a gap is of no use to anybody
	}
	return fault.Silent
}
