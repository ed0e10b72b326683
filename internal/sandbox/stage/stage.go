// Package stage is the host's side of one sandboxed run: what any runtime needs and none should do for itself.
//
// In goes a sandbox.Command and a Driver that knows how to start one runtime. The stage lays the view, the private
// /tmp and a minimal system in a mount namespace of its own, puts the run under a cgroup, collects output, watches the
// limits, kills the tree, and hands back a sandbox.Result. It refuses to know how a runtime isolates.
//
// When Crisol is root, a run happens on a slot: an operating-system thread that has left the host's mount namespace
// and entered cgroups of its own. Everything that is mounted exists only there, so that the kernel takes it away when
// the thread ends, whatever ended it. Slots are kept for a short while because entering a cgroup may wait 10 ms for a
// grace period of the kernel. When Crisol is not root, the view is a copy and the limits are what rlimits and sampling
// can do.
package stage

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/sandbox"
)

// Options configure a Host. The zero value is useful.
type Options struct {
	// Log receives what can't be returned, such as a leftover that could not be removed. Default: discarded.
	Log *slog.Logger
	// Idle is how long an unused slot is kept; default 5 s.
	Idle time.Duration
	// NoCgroups leaves cgroups unused, as on a machine that has none.
	NoCgroups bool
	// NoMounts makes views by copying even where they could be mounted.
	NoMounts bool
}

// Host is this machine as far as runs need it. It is safe for concurrent use.
type Host struct {
	log    *slog.Logger
	idle   time.Duration
	root   bool // sandboxed processes get a user of their own
	mounts bool // views are mounted
	system system
	groups hierarchy

	mu     sync.Mutex // guards free, count, closed
	free   []*slot
	count  int // slots that exist
	closed bool
	gone   *sync.Cond // signalled when a slot has ended
}

// Open looks at the machine once, and clears away what runs of a killed Crisol left behind.
func Open(o Options) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	// Descriptors that Crisol inherited from whoever started it are not for the sandbox.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "keep inherited descriptors from sandboxes: %w", err)
	}
	h := &Host{log: o.Log, idle: o.Idle, root: os.Geteuid() == 0, system: survey()}
	h.gone = sync.NewCond(&h.mu)
	if !o.NoCgroups {
		// Where these can't be read there are no cgroups.
		mountinfo, _ := os.ReadFile("/proc/self/mountinfo")
		own, _ := os.ReadFile("/proc/self/cgroup")
		h.groups = findHierarchy(h.root, cgroupMounts(string(mountinfo)), ownGroups(string(own)))
	}
	if err := h.groups.prepare(); err != nil {
		h.log.Warn("cgroups can't be used", "error", err)
		h.groups = hierarchy{}
	}
	h.groups.sweep(h.log)
	if h.root && !o.NoMounts {
		// A container's root often may not mount.
		if err := tryMounts(); err != nil {
			h.log.Warn("views are copied, since mounting does not work", "error", err)
		} else {
			h.mounts = true
		}
	}
	if !h.mounts {
		sweepViews(h.log)
	}
	return h, nil
}

// Mounts says whether views are mounted, which takes root's powers.
func (h *Host) Mounts() bool { return h.mounts }

// Warm prepares n slots in the background, so that the first runs at the same time don't wait for them.
func (h *Host) Warm(n int) {
	go func() {
		var slots []*slot
		for range n {
			s, err := h.take()
			if err != nil {
				h.log.Debug("prepare a sandbox slot", "error", err) // a run that needs one will say so
				break
			}
			slots = append(slots, s)
		}
		for _, s := range slots {
			h.give(s)
		}
	}()
}

// Close ends the idle slots and waits until they have taken their cgroups with them. A run that is under way ends its
// slot itself; Close waits for that too. It may be called twice.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, s := range h.free {
		s.end()
	}
	h.free = nil
	for h.count > 0 {
		h.gone.Wait()
	}
	h.groups.withdraw()
	return nil
}

// Run runs c with the driver's runtime and waits until nothing of it is left.
func (h *Host) Run(ctx context.Context, c sandbox.Command, d Driver) (sandbox.Result, error) {
	if len(c.Args) == 0 {
		return sandbox.Result{}, crisol.Errorf(crisol.KindInternal, "sandbox: a command without arguments")
	}
	if err := ctx.Err(); err != nil {
		return sandbox.Result{}, err
	}
	c.Limits = c.Limits.Or(sandbox.DefaultLimits)
	s, err := h.take()
	if err != nil {
		return sandbox.Result{}, infrastructure("prepare a slot for the sandbox", err)
	}
	var result sandbox.Result
	s.do(func() { result, err = h.perform(ctx, s, c, d) })
	if s.spoilt {
		s.end()
	} else {
		h.give(s)
	}
	return result, err
}

// infrastructure wraps an error that is the machine's fault, keeping a kind that is already known.
func infrastructure(act string, err error) error {
	if err == nil || crisol.KindOf(err) != crisol.KindInternal {
		return err
	}
	hint := crisol.HintOf(err)
	wrapped := crisol.Errorf(crisol.KindInfrastructure, "%s: %w", act, err)
	if hint != "" {
		return crisol.WithHint(wrapped, "%s", hint)
	}
	return wrapped
}

// annotate names the layer or mount that an error is about.
func annotate(what, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, path, err)
}
