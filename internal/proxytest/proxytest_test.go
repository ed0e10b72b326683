package proxytest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"crisol/internal/proxytest"
)

// echo is a server that sends every line back.
func echo(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

// say sends a line and returns what becomes of it within a while.
func say(c net.Conn, within time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte("x\n")); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

func TestFaults(t *testing.T) {
	p := proxytest.Start(t, echo(t))
	dial := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	const long, short = 10 * time.Second, 50 * time.Millisecond
	a := dial()
	if err := say(a, long); err != nil {
		t.Fatal(err)
	}
	p.Set(proxytest.Fault{Latency: 30 * time.Millisecond})
	begun := time.Now()
	if err := say(a, long); err != nil || time.Since(begun) < 60*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	p.Set(proxytest.Fault{})
	p.Forget()
	if err := say(a, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half-open: %v", err)
	}
	b := dial()
	if err := say(b, long); err != nil {
		t.Errorf("a new one: %v", err)
	}
	p.Set(proxytest.Fault{Silent: true})
	if err := say(b, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a black hole: %v", err)
	}
	if err := say(dial(), short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new one into a black hole: %v", err)
	}
	p.Set(proxytest.Fault{})
	c := dial()
	if err := say(c, long); err != nil {
		t.Error(err)
	}
	p.Set(proxytest.Fault{Reset: true})
	if err := say(c, long); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("reset: %v", err)
	}
	if err := say(dial(), long); err == nil {
		t.Error("a new one isn't reset")
	}
	p.Set(proxytest.Fault{})
	d := dial()
	if err := say(d, long); err != nil {
		t.Error(err)
	}
	p.Set(proxytest.Fault{Refuse: true})
	if err := say(d, long); err != nil {
		t.Errorf("one that was there: %v", err)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	p.Set(proxytest.Fault{})
	if err := say(dial(), long); err != nil {
		t.Error(err)
	}
}
