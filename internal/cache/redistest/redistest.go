// Package redistest starts real Redis servers for tests and benchmarks.
//
// In go a directory and settings; out comes a server on a port of its own on loopback, with handles that do to it what
// happens to servers: killed, frozen, thawed, restarted. It ends with the process that started it. A machine without
// Redis makes the test fail: what is said about a Redis that dies can't be shown without one.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is one Redis server. Its methods are not safe for concurrent use.
type Server struct {
	// Addr is HOST:PORT, the same after a restart.
	Addr    string
	dir     string
	setting []string
	command *exec.Cmd
	exited  chan struct{}
}

// startFor bounds how long a server may take to be ready.
const startFor = 20 * time.Second

// Start starts a server that ends with the test. Settings are arguments of redis-server, such as "--save", "3600 1";
// without any it keeps nothing on disk.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Run(t.TempDir(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Run starts a server that ends with Kill or with this process. dir is where it keeps what it writes.
func Run(dir string, settings ...string) (*Server, error) {
	var failed error
	for range 5 { // the port may be taken between choosing and using it
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), dir: dir, setting: settings}
		if failed = s.run(); failed == nil {
			return s, nil
		}
	}
	return nil, failed
}

func freePort() (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// binary finds the server. Debian's redis-tools holds its program under the name of a tool, and runs as the server when
// it is called so; that package, unlike redis-server, starts no service on the machine.
var binary = sync.OnceValues(func() (string, error) {
	for _, name := range []string{"redis-server", "redis-check-rdb", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		version := exec.Command(path, "--version")
		version.Args[0] = "redis-server"
		if out, err := version.Output(); err == nil && strings.Contains(string(out), "erver v=") {
			return path, nil
		}
	}
	return "", errors.New("there is no redis-server: make deps installs one")
})

func (s *Server) run() error {
	path, err := binary()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	args := []string{"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--daemonize", "no", "--loglevel", "notice"}
	if len(s.setting) == 0 {
		args = append(args, "--save", "")
	}
	s.command = exec.Command(path, append(args, s.setting...)...)
	s.command.Args[0] = "redis-server"
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	s.exited = make(chan struct{})
	started, ready := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // until the server has ended, so that its death signal means that of this process
		defer runtime.UnlockOSThread()
		defer close(s.exited)
		err := s.command.Start()
		started <- err
		if err != nil {
			return
		}
		ready <- waitReady(output)
		_, _ = io.Copy(io.Discard, output)
		_ = s.command.Wait() // killed, as a rule
	}()
	if err := <-started; err != nil {
		return err
	}
	select {
	case err = <-ready:
	case <-time.After(startFor):
		err = fmt.Errorf("redis-server is not ready after %v", startFor)
	}
	if err != nil {
		s.Kill()
	}
	return err
}

// waitReady reads the log until the server takes connections.
func waitReady(log io.Reader) error {
	var said []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return nil
		}
		said = append(said, lines.Text())
	}
	return fmt.Errorf("redis-server ended: %s", strings.Join(said, "\n"))
}

// URL is what a client connects to.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Kill ends the server as kill -9 does, and waits until it is gone. Killing a dead one does nothing.
func (s *Server) Kill() {
	_ = s.command.Process.Kill()
	<-s.exited
}

// Restart starts a killed server again, on its old port. What it kept on disk, it loads.
func (s *Server) Restart() error { return s.run() }

// Freeze stops the server without ending it: connections stay, and nothing is answered.
func (s *Server) Freeze() error { return s.command.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() error { return s.command.Process.Signal(syscall.SIGCONT) }

// Do sends one command and returns its answer: the text of a string, the digits of a number, "" for nil. An array's
// elements come joined by line feeds.
func (s *Server) Do(args ...string) (string, error) {
	var dialer net.Dialer
	within, cancel := context.WithTimeout(context.Background(), startFor)
	defer cancel()
	conn, err := dialer.DialContext(within, "tcp", s.Addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startFor)); err != nil {
		return "", err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(conn, text.String()); err != nil {
		return "", err
	}
	return readReply(bufio.NewReader(conn))
}

// readReply reads an answer in the protocol's second form.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 {
		return "", fmt.Errorf("read an answer: %q, %w", line, err)
	}
	kind, text := line[0], line[1:len(line)-2]
	switch kind {
	case '-':
		return "", errors.New(text)
	case '+', ':':
		return text, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return "", err
	}
	if kind == '$' {
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	}
	var all []string
	for range n {
		element, err := readReply(r)
		if err != nil {
			return "", err
		}
		all = append(all, element)
	}
	return strings.Join(all, "\n"), nil
}
