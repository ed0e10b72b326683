package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"crisol/internal/cache/redistest"
	"crisol/internal/store/pgtest"
)

// host is a process of crisol: a service, or a worker.
type host struct {
	name    string
	program string
	args    []string
	log     string // a file that all its lives write to

	mu   sync.Mutex // guards what follows
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// start starts the process; it dies with this one.
func (h *host) start() error {
	log, err := os.OpenFile(h.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(h.program, h.args...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all", "GORACE=atexit_sleep_ms=0")
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	h.cmd, h.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // how it ended shows in its log
	}(h.done)
	return nil
}

// ended is closed when the process of now has ended; nil where there never was one.
func (h *host) ended() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done
}

func (h *host) pid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd == nil {
		return 0
	}
	return h.cmd.Process.Pid
}

func (h *host) signal(s os.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd != nil {
		_ = h.cmd.Process.Signal(s) // gone already is as good
	}
}

// end sends a signal that ends the process, and waits for that.
func (h *host) end(s os.Signal) {
	h.signal(s)
	if done := h.ended(); done != nil {
		<-done
	}
}

// rss is how much memory of the process is in use, in bytes; 0 where it can't be told.
func (h *host) rss() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid()))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64) // 0 where it can't be told
	return kib << 10
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+ .*\[.*\]:$`)

// goroutines ends the process by SIGQUIT, upon which Go tells of every goroutine that there is, and counts them.
func (h *host) goroutines() (int, error) {
	before, err := os.Stat(h.log)
	if err != nil {
		return 0, err
	}
	h.end(syscall.SIGQUIT)
	text, err := os.ReadFile(h.log)
	if err != nil {
		return 0, err
	}
	n := len(goroutine.FindAll(text[before.Size():], -1))
	if n == 0 {
		return 0, fmt.Errorf("the %s tells of no goroutine", h.name)
	}
	return n, nil
}

// cluster is a service and a worker with what they share.
type cluster struct {
	postgres        *pgtest.Server
	redis           *redistest.Server
	service, worker *host
	base            string
	// outages counts the begins and ends of the times in which the service is dead: it is odd while it is.
	outages atomic.Int64
}

// open starts all of it below dir.
func open(ctx context.Context, crisol, dir string) (*cluster, error) {
	c := &cluster{}
	var err error
	if c.postgres, err = pgtest.Run(); err != nil {
		return nil, err
	}
	redisDir := filepath.Join(dir, "redis")
	if err = os.MkdirAll(redisDir, 0o700); err == nil {
		c.redis, err = redistest.Run(redisDir)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	database, err := c.postgres.Create(ctx)
	if err != nil {
		c.close()
		return nil, err
	}
	addr, err := address()
	if err != nil {
		c.close()
		return nil, err
	}
	c.base = "http://" + addr
	crisolAs := func(name string, args ...string) *host {
		args = append(args, "--database", pgtest.TCP(database), "--redis", c.redis.URL(), "--data", filepath.Join(dir, name), "--lease", "5s", "--workers", "1")
		return &host{name: name, program: crisol, args: args, log: filepath.Join(dir, name+".log")}
	}
	c.service = crisolAs("service", "serve", "--addr", addr, "--limit-ml-first", "0", "--limit-validate", "0", "--limit-other", "0")
	c.worker = crisolAs("worker", "worker")
	if err := errors.Join(c.service.start(), c.awake(ctx), c.worker.start()); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// address is a free one on loopback, with a port below those that Linux gives to whoever asks for any: while the service is
// dead nobody else gets it by chance.
func address() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)) //nolint:gosec // it need not be a secret
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("find a free port: a hundred were taken")
}

// patience is how long the service may take to answer. How long it takes is told; on a busy machine it may be long.
const patience = 3 * time.Minute

// awake waits until the service answers.
func (c *cluster) awake(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for until := time.Now().Add(patience); time.Now().Before(until); sleep(ctx, 20*time.Millisecond) {
		select {
		case <-c.service.ended():
			return fmt.Errorf("the service ended: %s", tail(c.service.log))
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/health", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("the service does not answer: %s", tail(c.service.log))
}

// tail is the end of a log.
func tail(path string) string {
	lines := strings.Split(strings.TrimSpace(text(path)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

func (c *cluster) close() {
	for _, h := range []*host{c.service, c.worker} {
		if h != nil {
			h.end(os.Kill)
		}
	}
	if c.redis != nil {
		c.redis.Kill()
	}
	if c.postgres != nil {
		c.postgres.Close()
	}
}

// fault is something that happens to the cluster, and is over when it returns.
type fault struct {
	name   string
	spares bool // the processes of crisol live on
	do     func(ctx context.Context, c *cluster) error
}

// faults in the order in which they come.
var faults = []fault{
	{"kill -9 of the service", false, func(ctx context.Context, c *cluster) error {
		c.outages.Add(1)
		defer c.outages.Add(1)
		c.service.end(os.Kill)
		return errors.Join(c.service.start(), c.awake(ctx))
	}},
	{"kill -9 of PostgreSQL", true, func(ctx context.Context, c *cluster) error {
		c.postgres.Kill()
		sleep(ctx, 500*time.Millisecond)
		return c.postgres.Start()
	}},
	{"kill -9 of the worker", false, func(ctx context.Context, c *cluster) error {
		c.worker.end(os.Kill)
		sleep(ctx, 500*time.Millisecond)
		return c.worker.start()
	}},
	{"kill -9 of Redis", true, func(ctx context.Context, c *cluster) error {
		c.redis.Kill()
		sleep(ctx, 500*time.Millisecond)
		return c.redis.Restart()
	}},
	{"restart of the service by SIGUSR2", false, func(ctx context.Context, c *cluster) error {
		before := strings.Count(text(c.service.log), `"msg":"service starts"`)
		c.service.signal(syscall.SIGUSR2)
		for until := time.Now().Add(patience); time.Now().Before(until); sleep(ctx, 50*time.Millisecond) {
			if strings.Count(text(c.service.log), `"msg":"service starts"`) > before {
				return c.awake(ctx)
			}
		}
		return fmt.Errorf("the service never began anew: %s", tail(c.service.log))
	}},
	{"Redis frozen for 3 s", true, func(ctx context.Context, c *cluster) error {
		if err := c.redis.Freeze(); err != nil {
			return err
		}
		sleep(ctx, 3*time.Second)
		return c.redis.Thaw()
	}},
}

func text(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(content)
}

// sleep waits, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
