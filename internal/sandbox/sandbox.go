// Package sandbox runs one command in isolation, with limits and a deadline.
//
// In goes a Command: argv, a copy-on-write view of some directories, limits. Out comes a Result: how the process
// ended, what it used, what it printed. The package knows nothing of exploits, patches or verdicts.
//
// Inside, whatever the runtime: an unprivileged user, a read-only system with the host's language runtimes, a private
// /tmp, a network that is nothing but a working loopback, no variable of the host's environment, no new privileges, a
// system-call filter. The view lies at /work and is the only writable place besides /tmp (and /dev/shm, which shares
// the bound of /tmp). At the deadline, on cancellation and when Crisol dies, the whole process tree dies.
package sandbox

import (
	"context"
	"os"
	"time"
)

// WorkDir is where a Command's view lies inside the sandbox.
const WorkDir = "/work"

// Runtime is one way of isolating a command. Implementations: bwrap, oci (crun, runc, runsc).
type Runtime interface {
	// Name is what --sandbox calls the runtime: bwrap, crun, runc, runsc.
	Name() string
	// Run runs c and waits until no process of it is left. A command that fails, crashes, exceeds a limit or is
	// killed at the deadline is a Result and no error; an error is always infrastructure's fault (or ctx's).
	Run(ctx context.Context, c Command) (Result, error)
	// Check runs a trivial command and says what this machine lets the runtime enforce. Its error says why the
	// runtime can't be used and, as a hint, what to install.
	Check(ctx context.Context) (Report, error)
}

// Command is one process tree to run in isolation.
type Command struct {
	// Args is the argv; Args[0] is looked up in PATH inside the sandbox.
	Args []string
	// Dir is the working directory inside the sandbox; "" means WorkDir.
	Dir string
	// Env is added to the base environment (PATH, HOME, LANG, PWD, TMPDIR, TZ) and may change it; nothing of the host's
	// is inherited.
	Env []string
	// Stdin is given to the process whole; then comes end of file.
	Stdin []byte
	// Layers are host directories laid over each other at WorkDir, the topmost first, none of them ever changed.
	// A layer may hold overlayfs whiteouts (character device 0:0) that hide an entry of the layers below. What the
	// process writes goes to a private layer of at most Limits.Disk bytes that is thrown away, unless Keep is set.
	Layers []string
	// Keep, when set, is an absent or empty host directory that receives the private layer after a run that ended by
	// itself: what was written, and whiteouts for what was deleted, so that it can be a topmost layer of later runs.
	// Sockets and set-user-id bits are left out.
	Keep string
	// Mounts are further host files or directories, bound read-only.
	Mounts []Mount
	Limits Limits
	// After, when set, is called once no process is left and before the view goes: root is the view at WorkDir as
	// the processes left it, also when a limit ended them, but not when ctx did. What lies in it is hostile: root never
	// follows a symlink out of the view, but opening a named pipe waits for a writer that never comes.
	After func(root *os.Root) error
}

// Mount binds a host path read-only into the sandbox.
type Mount struct{ Source, Target string }

// Limits bound a Command. A zero field takes the value of DefaultLimits.
type Limits struct {
	Wall      time.Duration // from start to the death of the last process
	CPU       time.Duration // user + system time of the whole tree
	Memory    int64         // bytes of the whole tree
	Processes int           // processes and threads of the whole tree
	Disk      int64         // bytes written to the view, and again to /tmp
	Output    int64         // bytes kept of each of stdout and stderr (half head, half tail); the rest is counted and dropped
}

// DefaultLimits are the limits of a manifest that names none.
var DefaultLimits = Limits{
	Wall: 30 * time.Second, CPU: 30 * time.Second, Memory: 512 << 20, Processes: 64, Disk: 256 << 20, Output: 64 << 10,
}

// Or returns l with its zero fields taken from d.
func (l Limits) Or(d Limits) Limits {
	pick(&l.Wall, d.Wall)
	pick(&l.CPU, d.CPU)
	pick(&l.Memory, d.Memory)
	pick(&l.Processes, d.Processes)
	pick(&l.Disk, d.Disk)
	pick(&l.Output, d.Output)
	return l
}

func pick[T comparable](field *T, fallback T) {
	var zero T
	if *field == zero {
		*field = fallback
	}
}

// Result is how a Command ended.
type Result struct {
	// Exit is the exit status of the first process; 128+n when signal n ended it; 127 when there is no such command,
	// 126 when it can't be executed.
	Exit int
	// Signal is the name of the signal that ended the first process ("SIGSEGV"), or "".
	Signal string
	Wall   time.Duration
	CPU    time.Duration // user + system time of the whole tree
	MaxRSS int64         // bytes; the most memory that the tree was seen to hold at once; 0 unknown
	Stdout Output
	Stderr Output
	// Stopped says which limit ended the command: "wall", "cpu", "memory", or "" when it ended by itself. Running
	// out of processes or disk is seen by the program as an error and does not end it.
	Stopped string
	// Unenforced lists the limits ("memory", "processes", "disk", "cpu", "seccomp") that could not be enforced here.
	Unenforced []string
}

// Output is what a process printed, bounded.
type Output struct {
	Head, Tail []byte // Tail is empty unless the middle was dropped
	Total      int64  // bytes printed
}

// Report says what a runtime can do on this machine.
type Report struct {
	Runtime string
	Version string
	// View says how the copy-on-write view is made: "overlay" or "copy".
	View string
	// Enforced maps each limit (wall, cpu, memory, processes, disk, output, network, seccomp, user) to the means by
	// which it is enforced ("cgroup v1", "rlimit", "tmpfs size", "sampled every 20 ms"), or to "" when it is not.
	Enforced map[string]string
	Notes    []string
}
