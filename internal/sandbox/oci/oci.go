// Package oci runs commands under an OCI runtime: crun, runc, or runsc (gVisor).
//
// In goes a stage.Scene, out comes a running container, described by a config.json. What lies in the sandbox, the
// limits and the end of a run are the stage's business.
//
// The runtime itself runs as the first process of a pid namespace that Crisol's death ends: OCI containers are made to
// outlive whoever started them, these must not. Its state lies in the run's private mounts. So nothing needs to be
// deleted after a run, however it ended.
package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/stage"
)

// flavour is how one runtime is called.
type flavour struct {
	name    string
	install string
	// flags are the runtime's global flags; state is a private directory.
	flags func(state string) []string
	// pids: the runtime makes a cgroup for the container, which bounds its processes more exactly than the run's.
	pids bool
	// gvisor: system calls are answered by a kernel in user space, which needs some things put differently.
	gvisor bool
	// overhead counts the runtime's own processes and threads.
	overhead int
}

var flavours = map[string]flavour{
	"crun": {
		name: "crun", install: "install crun (Debian, Ubuntu: apt-get install crun)", overhead: 3,
		flags: func(state string) []string {
			return []string{"--root", state + "/root", "--cgroup-manager=disabled", "--log=file:" + state + "/log"}
		},
	},
	"runc": {
		name: "runc", install: "install runc (Debian, Ubuntu: apt-get install runc)", overhead: 64, pids: true,
		flags: func(state string) []string {
			return []string{"--root", state + "/root", "--log", state + "/log"}
		},
	},
	"runsc": {
		name: "runsc", install: "install gVisor: https://gvisor.dev/docs/user_guide/install", overhead: 4096,
		gvisor: true,
		flags: func(state string) []string {
			return []string{"--root", state + "/root", "--ignore-cgroups", "--network=none", "--platform=systrap",
				"--oci-seccomp", "--host-settings=ignore", "--overlay2=none", "--log", state + "/log"}
		},
	},
}

// Runtime runs commands under one OCI runtime.
type Runtime struct {
	flavour
	host *stage.Host
	path string
	// unshare and init are tools of the host: unshare(1) and timeout(1).
	unshare, init string
}

// New finds the runtime of that name. It runs nothing: see Check.
func New(name string, host *stage.Host) (*Runtime, error) {
	f, ok := flavours[name]
	if !ok {
		return nil, crisol.Errorf(crisol.KindInput, "OCI runtime %q: want one of crun, runc, runsc", name)
	}
	if !host.Mounts() {
		err := crisol.Errorf(crisol.KindInfrastructure, "use %s: Crisol can't mount here", name)
		return nil, crisol.WithHint(err, "run as root, or take bwrap, which needs no privilege")
	}
	r := &Runtime{flavour: f, host: host}
	const tools = "install util-linux and coreutils"
	for _, tool := range []struct {
		name, install string
		path          *string
	}{{name, f.install, &r.path}, {"unshare", tools, &r.unshare}, {"timeout", tools, &r.init}} {
		found, err := exec.LookPath(tool.name)
		if err != nil {
			err = crisol.Errorf(crisol.KindInfrastructure, "find %s: %w", tool.name, err)
			return nil, crisol.WithHint(err, "%s", tool.install)
		}
		*tool.path = found
	}
	return r, nil
}

// Name is what --sandbox calls the runtime.
func (r *Runtime) Name() string { return r.name }

// Run runs c and waits until no process of it is left.
func (r *Runtime) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	return r.host.Run(ctx, c, driver{r})
}

// Check runs a trivial command and says what this machine lets the runtime enforce.
func (r *Runtime) Check(ctx context.Context) (sandbox.Report, error) {
	text, err := exec.CommandContext(ctx, r.path, "--version").Output()
	if err != nil {
		return sandbox.Report{}, crisol.Errorf(crisol.KindInfrastructure, "ask %s for its version: %w", r.name, err)
	}
	result, err := r.Run(ctx, sandbox.Command{Args: []string{"true"}})
	if err == nil && result.Exit != 0 {
		err = crisol.Errorf(crisol.KindInfrastructure, "run true in %s: exit %d: %s", r.name, result.Exit, result.Stderr.Head)
	}
	if err != nil {
		return sandbox.Report{}, crisol.WithHint(err, "%s needs root's capabilities and namespaces; in a container, run "+
			"it privileged, or take bwrap", r.name)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	notes := r.host.Notes()
	if r.gvisor {
		notes = append(notes, "named pipes and sockets in the view lie in gVisor's memory, and are not kept")
	}
	return sandbox.Report{
		Runtime: r.name, Version: fields[len(fields)-1], View: r.host.View(), Enforced: r.enforced(), Notes: notes,
	}, nil
}

func (r *Runtime) enforced() map[string]string {
	enforced := r.host.Enforced()
	enforced["network"] = "network namespace with loopback only"
	enforced["seccomp"] = "system-call filter"
	enforced["user"] = "user namespace, no capabilities, no new privileges"
	if r.gvisor {
		enforced["network"] = "gVisor's own stack with loopback only"
		enforced["seccomp"] = "gVisor's own kernel, system-call filter in it"
		enforced["user"] = "no capabilities, no new privileges; gVisor's processes as nobody"
		enforced["processes"] = "rlimit of gVisor's kernel"
		enforced["memory"] += ", gVisor's own included"
	}
	return enforced
}

// driver starts the runtime for one run.
type driver struct{ *Runtime }

// Overhead counts the runtime's own processes and threads, those that only set up included.
func (d driver) Overhead() int { return d.overhead }

// cgroup names the container's cgroup below the run's own, for a runtime that insists on one.
func (d driver) cgroup(s *stage.Scene) string {
	if d.pids {
		return s.Nest()
	}
	return ""
}

// Start writes the description and starts the runtime.
func (d driver) Start(s *stage.Scene) (*stage.Process, error) {
	description, err := json.Marshal(d.spec(s))
	if err != nil {
		return nil, fmt.Errorf("describe the container: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.State, "config.json"), description, 0o600); err != nil {
		return nil, fmt.Errorf("describe the container: %w", err)
	}
	args := []string{"--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", d.path}
	args = append(args, d.flags(s.State)...)
	args = append(args, "run", "--bundle", s.State, "--pid-file", pidFile(s), id())
	cmd := s.Command(d.unshare, args...)
	cmd.SysProcAttr.Credential = nil
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", d.name, err)
	}
	return &stage.Process{Cmd: cmd, InitFD: -1, Private: s.State}, nil
}

func pidFile(s *stage.Scene) string { return filepath.Join(s.State, "pid") }

// Exit reads the command's exit status. Without a container's pid the command never ran, and what the runtime says
// in its log or on stderr is why.
func (d driver) Exit(p *stage.Process, stderr []byte) (int, error) {
	state := p.Private.(string)
	code := p.Cmd.ProcessState.ExitCode()
	if _, err := os.Stat(filepath.Join(state, "pid")); err == nil && code >= 0 {
		return code, nil
	}
	words := stderr
	if log, err := os.ReadFile(filepath.Join(state, "log")); err == nil && len(bytes.TrimSpace(log)) > 0 {
		words = log
	}
	lines := slices.Collect(strings.Lines(strings.TrimSpace(string(words))))
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	return 0, errors.New(d.name + " ended without running the command: " + strings.Join(lines, ""))
}
