// Package bwrap runs commands under bubblewrap: user, mount, pid, network, ipc, uts and cgroup namespaces made by an
// unprivileged process, with Crisol's system-call filter.
//
// In goes a stage.Scene, out comes a running bwrap. What lies in the sandbox, the limits and the end of a run are the
// stage's business.
package bwrap

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/stage"
)

// Name is what --sandbox calls this runtime.
const Name = "bwrap"

// Runtime runs commands under bubblewrap.
type Runtime struct {
	host   *stage.Host
	path   string
	filter []byte
	// within bounds how long bwrap takes to come up, and to say how the command ended once it has.
	within time.Duration
}

// patience is what a busy machine may need for either.
const patience = 20 * time.Second

// New finds bubblewrap. It runs nothing: see Check.
func New(host *stage.Host) (*Runtime, error) {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		err = crisol.Errorf(crisol.KindInfrastructure, "find bubblewrap: %w", err)
		return nil, crisol.WithHint(err, "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)")
	}
	filter, err := stage.Filter()
	if err != nil {
		return nil, err
	}
	return &Runtime{host: host, path: path, filter: filter, within: patience}, nil
}

// Name is what --sandbox calls the runtime.
func (r *Runtime) Name() string { return Name }

// Run runs c and waits until no process of it is left.
func (r *Runtime) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	return r.host.Run(ctx, c, driver{r})
}

// Check runs a trivial command and says what this machine lets the runtime enforce.
func (r *Runtime) Check(ctx context.Context) (sandbox.Report, error) {
	version, err := exec.CommandContext(ctx, r.path, "--version").Output()
	if err != nil {
		return sandbox.Report{}, crisol.Errorf(crisol.KindInfrastructure, "ask bubblewrap for its version: %w", err)
	}
	result, err := r.Run(ctx, sandbox.Command{Args: []string{"true"}})
	if err == nil && result.Exit != 0 {
		err = crisol.Errorf(crisol.KindInfrastructure, "run true in bubblewrap: exit %d: %s", result.Exit, result.Stderr.Head)
	}
	if err != nil {
		return sandbox.Report{}, crisol.WithHint(err, "bubblewrap needs user namespaces for ordinary users: see the "+
			"sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "+
			"kernel.apparmor_restrict_unprivileged_userns; in a container, a seccomp profile that allows unshare")
	}
	enforced := r.host.Enforced()
	enforced["network"] = "network namespace with loopback only"
	enforced["seccomp"] = "system-call filter"
	enforced["user"] = "user namespace, no capabilities, no new privileges"
	return sandbox.Report{
		Runtime: Name, Version: strings.TrimSpace(strings.TrimPrefix(string(version), "bubblewrap")),
		View: r.host.View(), Enforced: enforced, Notes: r.host.Notes(),
	}, nil
}

// driver starts bwrap for one run.
type driver struct{ *Runtime }

// Overhead counts bwrap itself and the first process of its pid namespace.
func (driver) Overhead() int { return 2 }

// Numbers of the descriptors that bwrap gets.
const (
	statusFD = 3 + iota
	blockFD
	filterFD
	firstFileFD
)

// running is what is known of a started bwrap.
type running struct {
	status *bufio.Reader
	file   *os.File
}

// Start starts bwrap and holds it at its door until the resource limits of its child are set.
func (d driver) Start(s *stage.Scene) (*stage.Process, error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	pipe := func() (*os.File, *os.File, error) {
		read, write, err := os.Pipe()
		if err == nil {
			open = append(open, read, write)
		}
		return read, write, err
	}
	statusRead, statusWrite, err := pipe()
	if err != nil {
		return nil, err
	}
	blockRead, blockWrite, err := pipe()
	if err != nil {
		return nil, err
	}
	filterRead, err := content(&open, string(d.filter))
	if err != nil {
		return nil, err
	}
	args := arguments(s)
	files := []*os.File{statusWrite, blockRead, filterRead}
	for _, target := range slices.Sorted(maps.Keys(s.Files)) {
		file, err := content(&open, s.Files[target])
		if err != nil {
			return nil, err
		}
		args = append(args, "--perms", "0444", "--ro-bind-data", strconv.Itoa(firstFileFD+len(files)-3), target)
		files = append(files, file)
	}
	args = append(args, last(s)...)
	cmd := s.Command(d.path, append(append(args, "--"), s.Args...)...)
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start bwrap: %w", err)
	}
	process := &stage.Process{Cmd: cmd, InitFD: -1}
	statusWrite.Close()
	if err := d.admit(s, process, statusRead, blockWrite); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	open = slices.DeleteFunc(open, func(f *os.File) bool { return f == statusRead }) // now Exit's
	return process, nil
}

// content returns a descriptor from which a text is read, once.
func content(open *[]*os.File, text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("crisol", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hand a file to bwrap: %w", err)
	}
	file := os.NewFile(uintptr(fd), "crisol")
	*open = append(*open, file)
	if _, err := file.WriteString(text); err != nil {
		return nil, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

// admit learns the sandbox's first process, limits it and lets it go on.
func (d driver) admit(s *stage.Scene, p *stage.Process, status, block *os.File) error {
	if err := status.SetReadDeadline(time.Now().Add(d.within)); err != nil {
		return err
	}
	reader := bufio.NewReader(status)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("bwrap did not come up")
	}
	var first struct {
		Child int `json:"child-pid"`
	}
	if err := json.Unmarshal(line, &first); err != nil || first.Child <= 0 {
		return fmt.Errorf("read bwrap's status %q: %w", line, err)
	}
	p.Init = first.Child
	if p.InitFD, err = unix.PidfdOpen(first.Child, 0); err != nil {
		return fmt.Errorf("open process %d: %w", first.Child, err)
	}
	if err := d.host.Restrict(first.Child, s.Limits); err != nil {
		unix.Close(p.InitFD)
		return err
	}
	p.Private = &running{reader, status}
	s.Began()
	if _, err := block.Write([]byte{1}); err != nil {
		unix.Close(p.InitFD)
		return fmt.Errorf("let bwrap go on: %w", err)
	}
	return nil
}

// arguments are bwrap's options up to the view.
func arguments(s *stage.Scene) []string {
	args := []string{
		"--unshare-all", "--unshare-user", "--uid", strconv.Itoa(sandbox.UID), "--gid", strconv.Itoa(sandbox.GID),
		"--die-with-parent", "--cap-drop", "ALL", "--hostname", "crisol", "--clearenv",
		"--json-status-fd", strconv.Itoa(statusFD), "--block-fd", strconv.Itoa(blockFD), "--seccomp", strconv.Itoa(filterFD),
	}
	for _, e := range s.Env {
		name, value, _ := strings.Cut(e, "=")
		args = append(args, "--setenv", name, value)
	}
	if s.Root != "" {
		return append(args, "--dev-bind", s.Root, "/", "--proc", "/proc")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Links)) {
		args = append(args, "--symlink", s.Links[name], "/"+name)
	}
	args = append(args, "--proc", "/proc", "--dev", "/dev", "--dev-bind", "/dev/null", "/dev/tty",
		"--perms", "1777", "--size", strconv.FormatInt(s.Limits.Disk, 10), "--tmpfs", "/tmp",
		"--bind", s.View, sandbox.WorkDir)
	for _, b := range s.Binds {
		args = append(args, "--ro-bind", b.Source, b.Target)
	}
	return args
}

// last are the options that must follow all mounts.
func last(s *stage.Scene) []string {
	args := []string{"--chdir", s.Dir}
	if s.Root != "" {
		return args
	}
	return append([]string{"--perms", "1777", "--size", strconv.FormatInt(s.Limits.Disk, 10), "--tmpfs", "/dev/shm",
		"--remount-ro", "/dev", "--remount-ro", "/"}, args...)
}

// Exit reads the command's exit status from bwrap. Without one in bwrap's own report, the command never ran: what is
// on stderr is then bwrap's.
func (d driver) Exit(p *stage.Process, stderr []byte) (int, error) {
	r := p.Private.(*running)
	defer r.file.Close()
	if err := r.file.SetReadDeadline(time.Now().Add(d.within)); err != nil { // that of the start is long over
		return 0, err
	}
	rest, _ := io.ReadAll(r.status)
	for line := range bytes.Lines(rest) {
		var status struct {
			Exit *int `json:"exit-code"`
		}
		if json.Unmarshal(line, &status) == nil && status.Exit != nil {
			return *status.Exit, nil
		}
	}
	if words := bytes.TrimSpace(stderr); bytes.HasPrefix(words, []byte("bwrap: execvp ")) {
		if bytes.HasSuffix(words, []byte("No such file or directory")) {
			return 127, nil
		}
		return 126, nil
	}
	return 0, fmt.Errorf("bwrap ended without running the command: %s", bytes.TrimSpace(stderr))
}
