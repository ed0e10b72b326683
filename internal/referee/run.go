package referee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/oracle"
)

// Bounds of what the referee keeps of hostile peers.
const (
	maxHits   = 64
	maxHit    = 64 << 10
	maxAnswer = 1 << 20
	poll      = 5 * time.Millisecond
)

// Main reads a plan from in, carries it out and writes the report to out. The process is made unreadable for the
// programs it starts, which run as the same user.
func Main(in io.Reader, out io.Writer) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("protect the referee's memory: %w", err)
	}
	var plan Plan
	if err := json.NewDecoder(in).Decode(&plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	report := plan.carryOut()
	line, err := report.Encode(plan.Secret)
	if err != nil {
		return err
	}
	_, err = out.Write(line)
	return err
}

func (p Plan) carryOut() (r Report) {
	if p.Service != nil {
		service, err := start(p.Service.Program, p.OutputLimit)
		if err != nil {
			r.Error = "start the service: " + err.Error()
			return r
		}
		defer func() {
			service.kill()
			ending := service.ending()
			r.Service = &ending
		}()
		if err := service.await(p.Service.TCP, p.Service.Within); err != nil {
			r.Error = err.Error()
			return r
		}
	}
	r.Up = true
	listener, err := listen(p.Callback)
	if err != nil {
		r.Error = "listen for callbacks: " + err.Error()
		return r
	}
	r.Main, err = p.runMain()
	if err != nil {
		r.Error = "run the input: " + err.Error()
	}
	r.Hits = listener.close()
	for _, request := range p.Requests {
		r.Answers = append(r.Answers, request.send())
	}
	return r
}

func (p Plan) runMain() (*Ending, error) {
	program, err := start(p.Main, p.OutputLimit)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return &Ending{Exit: 127, Stderr: err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	<-program.done
	ending := program.ending()
	return &ending, nil
}

// process is a started program and the bounded record of what it prints.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *bounded
	done           chan struct{}
}

func start(p Program, limit int) (*process, error) {
	cmd := exec.Command(p.Args[0], p.Args[1:]...) //nolint:gosec // running the plan's programs is what the referee is for
	cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), p.Env...)
	cmd.Stdin = strings.NewReader(p.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A child that outlives the program holds its pipes open; don't wait for it.
	cmd.WaitDelay = time.Second
	run := &process{cmd: cmd, stdout: &bounded{limit: limit}, stderr: &bounded{limit: limit}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = run.stdout, run.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(run.done)
	}()
	return run, nil
}

func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

func (p *process) ending() Ending {
	e := Ending{Exit: p.cmd.ProcessState.ExitCode(), Stdout: p.stdout.String(), Stderr: p.stderr.String()}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Exit, e.Signal = 128+int(status.Signal()), unix.SignalName(status.Signal())
	}
	return e
}

// await returns once address accepts connections.
func (p *process) await(address string, within time.Duration) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = conn.Close()
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the service ended with exit %d before it listened on %s", p.cmd.ProcessState.ExitCode(), address)
		case <-deadline.C:
			return fmt.Errorf("the service did not listen on %s within %s", address, within)
		case <-time.After(poll):
		}
	}
}

// callback listens on a loopback address and remembers what was sent to it. It answers everything with an empty 200,
// and remembers what is no HTTP as it came.
type callback struct {
	listener net.Listener
	mu       sync.Mutex // guards hits
	hits     []string
	wait     sync.WaitGroup
}

func listen(address string) (*callback, error) {
	if address == "" {
		return &callback{}, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &callback{listener: listener}
	c.wait.Go(c.serve)
	return c, nil
}

func (c *callback) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wait.Go(func() { c.record(conn) })
	}
}

func (c *callback) record(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, maxHit)
	n := 0
	for n < len(buffer) && !strings.Contains(string(buffer[:n]), "\r\n\r\n") {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		read, err := conn.Read(buffer[n:])
		n += read
		if err != nil {
			break
		}
	}
	c.mu.Lock()
	if len(c.hits) < maxHits {
		c.hits = append(c.hits, strings.ToValidUTF8(string(buffer[:n]), "?"))
	}
	c.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

func (c *callback) close() []string {
	if c.listener == nil {
		return nil
	}
	_ = c.listener.Close()
	c.wait.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits
}

// send sends the request as written, follows no redirect, and tells what came back.
func (r Request) send() oracle.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return oracle.Answer{Error: err.Error()}
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return oracle.Answer{Error: err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return oracle.Answer{Error: "read the answer: " + err.Error()}
	}
	return oracle.Answer{Status: res.StatusCode, Header: res.Header, Body: strings.ToValidUTF8(string(body), "?")}
}

// bounded keeps the head and the tail of what is written to it.
type bounded struct {
	mu         sync.Mutex // guards what follows
	limit      int
	head, tail []byte
	dropped    int
}

// Write keeps what fits and counts what does not.
func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	half := max(b.limit/2, 1)
	take := min(len(p), half-len(b.head))
	b.head = append(b.head, p[:take]...)
	b.tail = append(b.tail, p[take:]...)
	if over := len(b.tail) - half; over > 0 {
		b.dropped += over
		b.tail = append(b.tail[:0], b.tail[over:]...)
	}
	return len(p), nil
}

// String joins head and tail, with a line between that counts what was dropped.
func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped == 0 {
		return string(b.head) + string(b.tail)
	}
	return fmt.Sprintf("%s\n[%d bytes left out]\n%s", b.head, b.dropped, b.tail)
}
