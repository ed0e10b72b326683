package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// Driver starts one runtime on a Scene.
type Driver interface {
	// Overhead is how many processes and threads of the runtime itself count beside the command's own.
	Overhead() int
	// Start starts the runtime, on the thread that called it, and returns once the command's tree can be killed.
	Start(*Scene) (*Process, error)
	// Exit tells the command's exit status from the runtime's. Its error says that the command never ran.
	Exit(p *Process, stderr []byte) (int, error)
}

// Scene is all that a driver needs to know of a run.
type Scene struct {
	Args   []string
	Dir    string
	Env    []string // complete
	Limits sandbox.Limits

	// Root is, when Crisol is root, a directory laid out as the sandbox's root, all of it mounted and read-only
	// except /work, /tmp and /dev/shm; /proc is an empty directory. It is "" otherwise.
	Root string
	// View is the host directory to show at /work when Root is "".
	View string
	// Shm is the directory to show at /dev/shm, within the bounds of /tmp; "" for a tmpfs of the runtime's own.
	Shm string
	// Binds are what to show read-only when Root is "", and Files what to make up.
	Binds []sandbox.Mount
	Links map[string]string
	Files map[string]string
	// State is a private directory for the runtime's own files; it goes with the run.
	State string

	// Attr is how the runtime's process is to be started; a driver may copy and change it.
	Attr syscall.SysProcAttr

	Stdin          *os.File // nil for none
	Stdout, Stderr *os.File
	began          func()
	group          *group
}

// Nest names a cgroup that a runtime which insists on one may make below the run's; "" where there are none.
func (s *Scene) Nest() string {
	if s.group == nil || s.group.hierarchy.version != 1 {
		return ""
	}
	s.group.nested = true
	return nestedPrefix + s.group.name
}

// Command prepares the runtime's process: an empty environment, the streams, and death with Crisol.
func (s *Scene) Command(name string, args ...string) *exec.Cmd {
	attr := s.Attr
	cmd := &exec.Cmd{Path: name, Args: append([]string{name}, args...), Env: []string{}, Dir: "/", SysProcAttr: &attr,
		Stdout: s.Stdout, Stderr: s.Stderr}
	if s.Stdin != nil {
		cmd.Stdin = s.Stdin
	}
	return cmd
}

// Began is called by a driver when the set-up is over as far as it can tell: the processor time before it is not the
// command's.
func (s *Scene) Began() { s.began() }

// Process is a started runtime.
type Process struct {
	Cmd *exec.Cmd
	// Init is the first process of the sandbox's pid namespace as the host numbers it; 0 when not known. When it
	// dies, the kernel kills everything in the namespace.
	Init int
	// InitFD is a pidfd of Init, or -1.
	InitFD int
	// Private is the driver's own.
	Private any
}

// kill kills the tree, innermost first, so that the runtime can't mistake the kill for an exit of its own accord.
func (p *Process) kill() {
	if p.InitFD >= 0 {
		_ = unix.PidfdSendSignal(p.InitFD, unix.SIGKILL, nil, 0)
		_ = p.Cmd.Process.Kill()
		return
	}
	// The runtime waits for the first process of its namespace, which the kernel lets go only after all others.
	inner := children(p.Cmd.Process.Pid)
	for _, pid := range inner {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if len(inner) == 0 {
		_ = p.Cmd.Process.Kill()
	}
}

// wait waits for the runtime and then for the namespace's first process, which dies last of its namespace.
func (p *Process) wait() error {
	_ = p.Cmd.Wait() // how it ended is read from the state
	if p.InitFD < 0 {
		return nil
	}
	defer unix.Close(p.InitFD)
	_ = unix.PidfdSendSignal(p.InitFD, unix.SIGKILL, nil, 0)
	deadline := time.Now().Add(10 * time.Second)
	for {
		fds := []unix.PollFd{{Fd: int32(p.InitFD), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		switch {
		case n > 0:
			// Where Crisol is the init of its container, the runtime's orphan is now Crisol's to reap.
			_, _ = unix.Wait4(p.Init, nil, unix.WNOHANG, nil)
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the sandbox to die: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("process %d survives being killed", p.Init)
		}
	}
}

// perform is one run, on the slot's thread.
func (h *Host) perform(ctx context.Context, s *slot, c sandbox.Command, d Driver) (result sandbox.Result, err error) {
	stop := s.spoil() // until proven otherwise
	set, err := h.layOut(c)
	if err != nil {
		stop()
		return result, infrastructure("lay out the sandbox", err)
	}
	defer func() {
		if e := set.strike(); e != nil {
			err = errors.Join(err, infrastructure("clear the sandbox away", e))
			return
		}
		stop()
	}()
	g, drop, err := h.groupFor(s, c.Limits, d.Overhead())
	if err != nil {
		return result, infrastructure("limit the sandbox", err)
	}
	defer func() { err = errors.Join(err, drop()) }()

	play := &play{host: h, set: set, group: g, command: c, driver: d}
	if result, err = play.run(ctx); err != nil {
		return result, err
	}
	if c.After != nil {
		if err := set.after(c.After); err != nil {
			return result, err
		}
	}
	if c.Keep != "" && result.Stopped == "" {
		if err := set.keep(c.Keep); err != nil {
			return result, infrastructure("keep what the sandbox wrote", err)
		}
	}
	return result, nil
}

// spoil marks the slot as unfit for another run until the returned function says that all went well.
func (s *slot) spoil() func() {
	s.spoilt = true
	return func() { s.spoilt = false }
}

// groupFor returns the cgroup of a run: the slot's (v1), a new one (v2), or nil.
func (h *Host) groupFor(s *slot, l sandbox.Limits, overhead int) (*group, func() error, error) {
	nothing := func() error { return nil }
	if s.group != nil {
		return s.group, s.group.tidy, s.group.limit(l, overhead+1) // the slot's own thread counts
	}
	if h.groups.version != 2 {
		return nil, nothing, nil
	}
	g, err := h.groups.make()
	if err != nil {
		return nil, nothing, err
	}
	if err := g.limit(l, overhead); err != nil {
		return nil, nothing, errors.Join(err, g.remove())
	}
	return g, g.remove, nil
}

// play is one run while it lasts.
type play struct {
	host    *Host
	set     set
	group   *group
	command sandbox.Command
	driver  Driver

	cpuBefore time.Duration
	started   time.Time
}

func (p *play) run(ctx context.Context) (sandbox.Result, error) {
	stdout, err := openStream(p.command.Limits.Output)
	if err != nil {
		return sandbox.Result{}, infrastructure("open the sandbox's output", err)
	}
	stderr, err := openStream(p.command.Limits.Output)
	if err != nil {
		stdout.abandon()
		return sandbox.Result{}, infrastructure("open the sandbox's output", err)
	}
	stdin, feed, err := openStdin(p.command.Stdin)
	if err != nil {
		stdout.abandon()
		stderr.abandon()
		return sandbox.Result{}, infrastructure("open the sandbox's input", err)
	}
	defer feed()

	scene := p.scene(stdin, stdout.write, stderr.write)
	p.started = time.Now()
	p.began()
	process, err := p.driver.Start(scene)
	if stdin != nil {
		stdin.Close()
	}
	stdout.start()
	stderr.start()
	if err != nil {
		out := stderr.finish()
		stdout.finish()
		if p.group != nil {
			err = errors.Join(err, p.group.empty(5*time.Second))
		}
		return sandbox.Result{}, infrastructure("start the sandbox", explain(err, out))
	}
	w := p.watch(ctx, process)
	err = process.wait()
	if p.group != nil {
		err = errors.Join(err, p.group.empty(10*time.Second))
	}
	seen := w.end()
	result := sandbox.Result{Wall: time.Since(p.started), Stdout: stdout.finish(), Stderr: stderr.finish()}
	if err != nil {
		return result, infrastructure("end the sandbox", err)
	}
	return p.judge(ctx, process, seen, result)
}

// explain adds a runtime's own words to an error.
func explain(err error, stderr sandbox.Output) error {
	if len(stderr.Head) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, firstLine(stderr.Head))
}

func firstLine(b []byte) []byte {
	for i, c := range b {
		if c == '\n' {
			return b[:i]
		}
	}
	return b
}

// scene gathers what the driver needs.
func (p *play) scene(stdin, stdout, stderr *os.File) *Scene {
	dir := p.command.Dir
	if dir == "" {
		dir = sandbox.WorkDir
	}
	s := &Scene{Args: p.command.Args, Dir: dir, Env: p.host.system.environment(dir, p.command.Env),
		Limits: p.command.Limits, Stdin: stdin, Stdout: stdout, Stderr: stderr, began: p.began,
		// A process group of its own keeps a terminal's Ctrl-C from the sandbox. A session of its own would make the
		// kernel schedule each run as a newcomer (autogroup), which costs 20 ms where the machine is busy; the
		// terminal is kept out by having no device inside.
		Attr: syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}}
	p.set.furnish(s)
	if g := p.group; g != nil {
		s.group = g
		if g.hierarchy.version == 2 && g.lock != nil {
			s.Attr.UseCgroupFD, s.Attr.CgroupFD = true, int(g.lock.Fd())
		}
	}
	return s
}

func (p *play) began() {
	if p.group != nil {
		p.cpuBefore, _ = p.group.cpu()
		p.group.resetPeak()
	}
}

// cpu is what the tree has used since it began, as far as a cgroup tells.
func (p *play) cpu() (time.Duration, bool) {
	if p.group == nil {
		return 0, false
	}
	now, ok := p.group.cpu()
	return now - p.cpuBefore, ok
}

// judge turns how the runtime ended into how the command ended.
func (p *play) judge(ctx context.Context, process *Process, seen sightings, r sandbox.Result) (sandbox.Result, error) {
	exit, err := p.driver.Exit(process, r.Stderr.Head)
	state := process.Cmd.ProcessState
	r.MaxRSS = seen.rss
	if p.group != nil {
		r.MaxRSS = max(r.MaxRSS, p.group.peak())
	}
	if cpu, ok := p.cpu(); ok {
		r.CPU = cpu
	} else {
		r.CPU = max(seen.cpu, state.UserTime()+state.SystemTime())
	}
	r.Unenforced = p.host.unenforced()
	r.Stopped = seen.stopped
	if r.Stopped == "" && p.group != nil &&
		(p.group.oomKills() > 0 || exit == 128+int(syscall.SIGKILL) && p.group.hitLimit()) {
		r.Stopped = "memory"
	}
	if r.Stopped == "" && ctx.Err() != nil && seen.cancelled {
		return r, fmt.Errorf("run in the sandbox: %w", context.Cause(ctx))
	}
	switch {
	case seen.stopped != "":
		r.Exit = 128 + int(syscall.SIGKILL)
	case err != nil && r.Stopped == "":
		return r, infrastructure("run in the sandbox", err)
	case err != nil:
		r.Exit = 128 + int(syscall.SIGKILL)
	default:
		r.Exit = exit
	}
	r.Signal = signalName(r.Exit)
	if r.Signal == "SIGXCPU" && r.Stopped == "" && !p.host.groups.has("cpuacct") {
		r.Stopped = "cpu" // the resource limit was faster than the watch
	}
	return r, nil
}

// signalName names the signal of an exit status of 128+n.
func signalName(exit int) string {
	if exit <= 128 || exit > 128+64 {
		return ""
	}
	return unix.SignalName(syscall.Signal(exit - 128))
}

// openStdin returns the reading end of the command's input, and a function that ends the feeding of it.
func openStdin(content []byte) (*os.File, func(), error) {
	if len(content) == 0 {
		return nil, func() {}, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = write.Write(content) // a command need not read what it is given
		write.Close()
	}()
	return read, func() {
		_ = write.SetWriteDeadline(time.Now())
		<-done
	}, nil
}

// unenforced lists the limits that can't be kept here, whatever the runtime.
func (h *Host) unenforced() []string {
	var missing []string
	if !h.mounts {
		missing = append(missing, "disk")
	}
	return missing
}

// Enforced says by which means the stage keeps each limit.
func (h *Host) Enforced() map[string]string {
	e := map[string]string{
		"wall": "deadline, then SIGKILL of the pid namespace", "output": "bounded reader",
		"memory": "sampled every 20 ms", "cpu": "sampled every 20 ms, rlimit", "processes": "rlimit", "disk": "tmpfs size",
	}
	if h.groups.has("memory") {
		e["memory"] = h.groups.means() + ", files of the view apart"
	}
	if h.groups.has("cpuacct") {
		e["cpu"] = h.groups.means()
	}
	if h.groups.has("pids") {
		e["processes"] = h.groups.means()
	}
	if !h.mounts {
		e["disk"] = ""
	}
	return e
}

// View says how views are made.
func (h *Host) View() string {
	if h.mounts {
		return "overlay"
	}
	return "copy"
}

// set is the scenery of one run.
type set interface {
	// furnish tells the scene what was laid out.
	furnish(*Scene)
	// tmpfs is how many bytes the private file systems hold.
	tmpfs() int64
	// after shows the view to f.
	after(f func(*os.Root) error) error
	// keep saves the private layer.
	keep(dir string) error
	// strike takes everything away.
	strike() error
}

func (h *Host) layOut(c sandbox.Command) (set, error) {
	for _, layer := range c.Layers {
		if info, err := os.Stat(layer); err != nil {
			return nil, fmt.Errorf("open a layer: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("open a layer: %s is no directory", layer)
		}
	}
	if h.mounts {
		return mountSet(h.system, c)
	}
	return copySet(h.system, c, h.root)
}

func openView(dir string, f func(*os.Root) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return infrastructure("open the view", err)
	}
	defer root.Close()
	return f(root)
}

// Notes are what a report should say of the machine beside the limits.
func (h *Host) Notes() []string {
	var notes []string
	if !h.mounts {
		notes = append(notes, "Crisol can't mount here (it takes root): views are copied, and their size is bounded only file by file")
	}
	if h.groups.version == 0 {
		notes = append(notes, "no cgroup can be used: memory and processor time are sampled")
	}
	if missing := h.Missing(); len(missing) > 0 {
		notes = append(notes, "not found for sandboxes: "+strings.Join(missing, ", "))
	}
	return notes
}
