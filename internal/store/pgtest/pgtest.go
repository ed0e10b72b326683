// Package pgtest starts real PostgreSQL servers for tests.
//
// Out comes the connection string of an empty database, or a server of its own that a test may kill, stop and start. A
// server listens on a Unix socket and on a free port of the loopback interface, writes to disk as in production (fsync
// is on), and runs as an unprivileged user when the test runs as root, which PostgreSQL refuses. It dies with the test
// process, however that ends. A machine without PostgreSQL fails the test; see scripts/deps.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server with a directory of its own.
type Server struct {
	dir   string
	port  int
	owner *syscall.Credential // nil for that of this process
	extra []string            // settings of this server alone, NAME=VALUE

	mu   sync.Mutex // guards what follows
	proc *os.Process
	done chan struct{} // closed when proc has ended

	databases atomic.Int64
}

// shared is the server that tests which don't harm it use together.
var shared = sync.OnceValues(func() (*Server, error) { return start() })

// used is the shared server once there is one.
var used atomic.Pointer[Server]

// Main runs the tests of a package, and then stops the shared server. TestMain calls it with m.Run, and exits with what
// it returns.
func Main(run func() int) int {
	defer func() {
		if s := used.Load(); s != nil {
			s.remove()
		}
	}()
	return run()
}

// Database makes an empty database on the server that the tests of this binary share, and returns its connection string.
// TestMain must call Main.
func Database(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	used.Store(s)
	return s.Database(t)
}

// New starts a server for one test, which may kill it. Settings are NAME=VALUE, as in postgresql.conf.
func New(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Run starts a server for who isn't a test, and must close it.
func Run() (*Server, error) { return start() }

// Close ends the server and deletes its files.
func (s *Server) Close() { s.remove() }

// start makes a server's directory and starts the server.
func start(settings ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "crisol-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, extra: settings}
	if err := s.init(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) init() error {
	if os.Geteuid() == 0 {
		owner, err := unprivileged()
		if err != nil {
			return err
		}
		s.owner = owner
		if err := os.Chown(s.dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	cmd, err := s.command("initdb", "--pgdata="+s.data(), "--username=crisol", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	runtime.LockOSThread() // while it runs: the end of the thread that starts a process would be its death signal
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Any local user may reach the port, so that way in takes a password; the socket lies in a directory of the owner's.
	hba := "local all all trust\nhost all all 127.0.0.1/32 password\n"
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(hba), 0o600); err != nil { //nolint:gosec // the file is there, and stays its owner's
		return err
	}
	return nil
}

// unprivileged is the user that PostgreSQL's package made, or nobody.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("there is no user postgres or nobody for PostgreSQL to run as; it refuses to run as root")
}

// binary finds a program of PostgreSQL's, which Debian keeps off the PATH.
func binary(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well formed
	if len(found) == 0 {
		return "", fmt.Errorf("%s is missing: install PostgreSQL 14 or later (scripts/deps does on Debian)", name)
	}
	newest, best := "", -1
	for _, path := range found {
		if version, err := strconv.Atoi(strings.Split(path, "/")[4]); err == nil && version > best {
			newest, best = path, version
		}
	}
	return newest, nil
}

func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	path, err := binary(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	// The kernel ends the server when the thread that started it ends: see run.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	return cmd, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Start starts the server, which must not run, and waits until it answers. It keeps its address.
func (s *Server) Start() error {
	var err error
	for range 5 { // another process may take a port before the server does
		if s.port == 0 {
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		if err = s.run(); err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "could not create any TCP/IP sockets") {
			return err
		}
		if s.databases.Load() == 0 { // nobody knows the address yet
			s.port = 0
		}
	}
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // the port is all that was wanted
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) run() error {
	args := []string{"-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_permissions=0700", "max_connections=200",
		"shared_buffers=32MB", "fsync=on", "deadlock_timeout=200ms", "timezone=UTC"}, s.extra...) {
		args = append(args, "-c", setting)
	}
	cmd, err := s.command("postgres", args...)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	cmd.Stdout, cmd.Stderr = log, log
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // until the server has ended, so that its death signal means that of this process
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended shows in its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.mu.Lock()
	s.proc, s.done = cmd.Process, done
	s.mu.Unlock()
	return s.await(done)
}

// await waits until the server answers. It asks often, since the server has no signal that it is ready.
func (s *Server) await(done chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.socket("postgres"))
		if err == nil {
			_, err = conn.Exec(ctx, "ALTER USER crisol PASSWORD '"+password+"'")
			if err = errors.Join(err, conn.Close(ctx)); err == nil {
				return nil
			}
		}
		select {
		case <-done:
			return fmt.Errorf("postgres ended at its start: %s", s.log())
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w; %s", err, s.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// log is what the server wrote since its last start.
func (s *Server) log() string {
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// password guards the port of a server that holds nothing but tests' rows.
const password = "crisol"

func (s *Server) socket(database string) string {
	return fmt.Sprintf("host=%s port=%d user=crisol dbname=%s", s.dir, s.port, database)
}

// Database makes an empty database and returns its connection string, by the Unix socket.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	connection, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// Create makes an empty database and returns its connection string, by the Unix socket.
func (s *Server) Create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("crisol_%d", s.databases.Add(1))
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return s.socket(name), nil
}

// DatabaseIn makes an empty database whose tables lie in a directory, which must be empty: a small disk, say.
func (s *Server) DatabaseIn(t testing.TB, dir string) string {
	t.Helper()
	if s.owner != nil {
		if err := os.Chown(dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	n := s.databases.Add(1)
	for _, statement := range []string{
		fmt.Sprintf("CREATE TABLESPACE disk_%d LOCATION '%s'", n, dir), fmt.Sprintf("CREATE DATABASE crisol_%d TABLESPACE disk_%d", n, n),
	} {
		if err := s.exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return s.socket(fmt.Sprintf("crisol_%d", n))
}

func (s *Server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.socket("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// TCP turns a connection string of Database into one by the loopback interface, with a password.
func TCP(connection string) string {
	var host, port, user, name string
	_, err := fmt.Sscanf(connection, "host=%s port=%s user=%s dbname=%s", &host, &port, &user, &name)
	if err != nil {
		panic(fmt.Sprintf("connection string %q is not of pgtest: %v", connection, err))
	}
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: "127.0.0.1:" + port, Path: name}).String()
}

// Address is where the server listens, as host:port.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Kill ends the server and all its processes at once, as a loss of power would, and waits until they are gone.
func (s *Server) Kill() {
	s.mu.Lock()
	proc, done := s.proc, s.done
	s.mu.Unlock()
	if proc == nil {
		return
	}
	children := childrenOf(proc.Pid)
	_ = proc.Kill() // gone already is as good
	<-done
	for _, pid := range children {
		// What is left would hold the shared memory and keep the next server from starting. Some end by themselves.
		for range 500 {
			if syscall.Kill(pid, syscall.SIGKILL) != nil || !alive(pid) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// alive says whether a process still has its memory: one that has ended may wait for long to be reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func childrenOf(pid int) (pids []int) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // it is gone
	}
	for field := range strings.FieldsSeq(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// Stop ends the server in order, cutting connections, and waits until it has ended.
func (s *Server) Stop() {
	s.mu.Lock()
	proc, done := s.proc, s.done
	s.mu.Unlock()
	if proc == nil {
		return
	}
	_ = proc.Signal(syscall.SIGINT) // "fast shutdown"; gone already is as good
	<-done
}

// Pause freezes the server's processes until Resume: connections stay open, and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	proc := s.proc
	s.mu.Unlock()
	if proc == nil {
		return
	}
	_ = proc.Signal(sig)
	for _, pid := range childrenOf(proc.Pid) {
		_ = syscall.Kill(pid, sig)
	}
}

// remove ends the server and deletes its files.
func (s *Server) remove() {
	s.signal(syscall.SIGCONT)
	s.Kill() // nothing on its disk is of use any more
	if err := os.RemoveAll(s.dir); err != nil {
		time.Sleep(100 * time.Millisecond) // a dying backend may have written one more file
		_ = os.RemoveAll(s.dir)
	}
}
