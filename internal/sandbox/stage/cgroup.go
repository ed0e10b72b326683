package stage

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// hierarchy is where this process may make cgroups: a parent directory for each controller (v1), or one for all (v2).
// The zero value stands for no cgroups.
type hierarchy struct {
	version int
	parents map[string]string // controller -> .../crisol
}

const groupsName = "crisol"

// controllers are those that bound a run. In v2 the processor's time is counted without one.
var controllers = []string{"memory", "pids", "cpuacct"}

// findHierarchy reads where the process stands and where that can be seen. Cgroup v1 needs root; v2 is used where the
// directory can be written (root, or a delegated subtree).
func findHierarchy(root bool) hierarchy {
	mounts := cgroupMounts()
	own := ownGroups()
	v1 := hierarchy{version: 1, parents: map[string]string{}}
	for _, c := range controllers {
		if m, ok := mounts[c]; ok && root {
			v1.parents[c] = filepath.Join(m.dir, strings.TrimPrefix(own[c], m.root), groupsName)
		}
	}
	if len(v1.parents) > 0 {
		return v1
	}
	m, ok := mounts[""]
	if !ok {
		return hierarchy{}
	}
	dir := filepath.Join(m.dir, strings.TrimPrefix(own[""], m.root))
	if have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); err != nil ||
		!strings.Contains(string(have), "memory") && !strings.Contains(string(have), "pids") {
		return hierarchy{}
	}
	return hierarchy{version: 2, parents: map[string]string{"": filepath.Join(dir, groupsName)}}
}

type cgroupMount struct{ dir, root string }

// cgroupMounts maps each controller ("" for v2) to where its hierarchy is mounted.
func cgroupMounts() map[string]cgroupMount {
	found := map[string]cgroupMount{}
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return found
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// 36 35 98:0 /root /mount/point options - type source superoptions
		fields := strings.Fields(lines.Text())
		dash := slices.Index(fields, "-")
		if dash < 0 || len(fields) < dash+4 {
			continue
		}
		m := cgroupMount{dir: fields[4], root: strings.TrimSuffix(fields[3], "/")}
		switch fields[dash+1] {
		case "cgroup2":
			found[""] = m
		case "cgroup":
			for option := range strings.SplitSeq(fields[dash+3], ",") {
				found[option] = m
			}
		}
	}
	return found
}

// ownGroups maps each controller ("" for v2) to this process's group.
func ownGroups() map[string]string {
	found := map[string]string{}
	content, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			found[c] = parts[2]
		}
	}
	return found
}

// prepare makes the parents.
func (h hierarchy) prepare() error {
	for _, dir := range h.parents {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if h.version != 2 {
			continue
		}
		for _, control := range []string{filepath.Dir(dir), dir} {
			for _, c := range []string{"+memory", "+pids"} {
				if err := os.WriteFile(filepath.Join(control, "cgroup.subtree_control"), []byte(c), 0); err != nil {
					return fmt.Errorf("delegate controllers: %w", err)
				}
			}
		}
	}
	return nil
}

// has says whether a controller bounds runs.
func (h hierarchy) has(controller string) bool {
	if h.version == 2 {
		return true
	}
	_, ok := h.parents[controller]
	return ok
}

func (h hierarchy) means() string { return "cgroup v" + strconv.Itoa(h.version) }

// lockParent holds off other processes of Crisol while a group is made or cleared away, so that none takes a group
// that isn't locked yet for a leftover.
func (h hierarchy) lockParent() (func(), error) {
	dir, err := os.Open(h.anyParent())
	if err != nil {
		return nil, err
	}
	if err := flock(dir, unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, err
	}
	return func() { dir.Close() }, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// anyParent is the directory whose groups carry the locks.
func (h hierarchy) anyParent() string {
	for _, c := range append([]string{""}, controllers...) {
		if dir, ok := h.parents[c]; ok {
			return dir
		}
	}
	return ""
}

// group is one cgroup: of a slot's (v1), or of one run (v2).
type group struct {
	hierarchy  hierarchy
	name       string
	lock       *os.File // a directory, locked for as long as the group is in use
	set        map[string]int64
	oomBefore  int64
	heldBefore int64 // memory that earlier runs in this group left charged to it
}

var groupNumber atomic.Int64

// slot makes a group and moves the thread into it, under v1; under v2 a run's processes are born in their group.
func (h hierarchy) slot(tid int) (*group, error) {
	if h.version != 1 {
		return nil, nil
	}
	g, err := h.make()
	if err != nil {
		return nil, err
	}
	for _, parent := range h.parents {
		path := filepath.Join(parent, g.name, "tasks")
		if err := os.WriteFile(path, []byte(strconv.Itoa(tid)), 0); err != nil {
			g.leave(tid)
			return nil, errors.Join(fmt.Errorf("enter a cgroup: %w", err), g.remove())
		}
	}
	return g, nil
}

// make makes a group that nothing is in.
func (h hierarchy) make() (*group, error) {
	unlock, err := h.lockParent()
	if err != nil {
		return nil, fmt.Errorf("lock the cgroups: %w", err)
	}
	defer unlock()
	g := &group{hierarchy: h, set: map[string]int64{},
		name: fmt.Sprintf("%d-%d", os.Getpid(), groupNumber.Add(1))}
	for _, parent := range h.parents {
		if err := os.Mkdir(filepath.Join(parent, g.name), 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make a cgroup: %w", err), g.remove())
		}
	}
	if g.lock, err = os.Open(filepath.Join(h.anyParent(), g.name)); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	if err := flock(g.lock, unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

func (g *group) file(controller, name string) string {
	if g.hierarchy.version == 2 {
		controller = ""
	}
	return filepath.Join(g.hierarchy.parents[controller], g.name, name)
}

func (g *group) read(controller, name string) (string, error) {
	content, err := os.ReadFile(g.file(controller, name))
	return strings.TrimSpace(string(content)), err
}

func (g *group) write(controller, name string, value int64) error {
	key := controller + "/" + name
	if old, ok := g.set[key]; ok && old == value {
		return nil
	}
	text := strconv.FormatInt(value, 10)
	if err := os.WriteFile(g.file(controller, name), []byte(text), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", name, text, err)
	}
	g.set[key] = value
	return nil
}

// limit bounds what runs in the group. The memory's bound leaves room for the view and /tmp, whose pages are charged
// to whoever writes them; what a program uses beside them is watched (see watch).
func (g *group) limit(l sandbox.Limits, overhead int) error {
	memory := l.Memory + 2*l.Disk
	var errs []error
	if g.hierarchy.version == 2 {
		errs = append(errs, g.write("memory", "memory.max", memory), g.write("pids", "pids.max", int64(l.Processes+overhead)))
		if exists(g.file("memory", "memory.swap.max")) {
			errs = append(errs, g.write("memory", "memory.swap.max", 0))
		}
		return errors.Join(errs...)
	}
	if g.hierarchy.has("memory") {
		swap := exists(g.file("memory", "memory.memsw.limit_in_bytes"))
		if old := g.set["memory/memory.limit_in_bytes"]; swap && old != memory {
			errs = append(errs, g.write("memory", "memory.memsw.limit_in_bytes", -1))
		}
		errs = append(errs, g.write("memory", "memory.limit_in_bytes", memory))
		if swap {
			errs = append(errs, g.write("memory", "memory.memsw.limit_in_bytes", memory))
		}
	}
	if g.hierarchy.has("pids") {
		errs = append(errs, g.write("pids", "pids.max", int64(l.Processes+overhead)))
	}
	g.oomBefore = g.oomTotal()
	return errors.Join(errs...)
}

// cpu is the processor time that the group has used since it exists.
func (g *group) cpu() (time.Duration, bool) {
	if g.hierarchy.version == 2 {
		text, _ := g.read("", "cpu.stat")
		usec, ok := statField(text, "usage_usec")
		return time.Duration(usec) * time.Microsecond, ok
	}
	if !g.hierarchy.has("cpuacct") {
		return 0, false
	}
	text, err := g.read("cpuacct", "cpuacct.usage")
	if err != nil {
		return 0, false
	}
	ns, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(ns), err == nil
}

func statField(text, name string) (int64, bool) {
	for line := range strings.Lines(text) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			n, err := strconv.ParseInt(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// memory is what the group holds that can't be reclaimed, without the files of a private file system: tmpfs says how
// many bytes those have. The cheap total is asked first, and is the answer while it is under enough.
func (g *group) memory(enough int64, tmpfs func() int64) int64 {
	total, stat := "memory.usage_in_bytes", [...]string{"total_rss", "total_shmem"}
	if g.hierarchy.version == 2 {
		total, stat = "memory.current", [...]string{"anon", "shmem"}
	}
	text, err := g.read("memory", total)
	if err != nil {
		return 0
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n <= enough {
		return n
	}
	if text, err = g.read("memory", "memory.stat"); err != nil {
		return 0
	}
	private, _ := statField(text, stat[0])
	shared, _ := statField(text, stat[1])
	return private + max(0, shared-tmpfs())
}

// oomKills counts the processes of this run that the kernel killed for want of memory.
func (g *group) oomKills() int64 { return g.oomTotal() - g.oomBefore }

func (g *group) oomTotal() int64 {
	name := "memory.oom_control"
	if g.hierarchy.version == 2 {
		name = "memory.events"
	}
	text, _ := g.read("memory", name)
	n, _ := statField(text, "oom_kill")
	return n
}

// resetPeak begins to look for the most memory that is held at once.
func (g *group) resetPeak() {
	if g.hierarchy.version != 1 || !g.hierarchy.has("memory") {
		return
	}
	_ = os.WriteFile(g.file("memory", "memory.max_usage_in_bytes"), []byte("0"), 0) // a statistic, no limit
	g.heldBefore = g.number("memory.usage_in_bytes")
}

// peak is the most memory that the tree held at once, with the files that it was the first to read; 0 where the
// kernel doesn't tell.
func (g *group) peak() int64 {
	if g.hierarchy.version == 2 {
		return g.number("memory.peak")
	}
	return max(0, g.number("memory.max_usage_in_bytes")-g.heldBefore)
}

func (g *group) number(name string) int64 {
	text, err := g.read("memory", name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// processes lists the group's processes, without Crisol itself, one of whose threads may be in it.
func (g *group) processes() []int {
	var pids []int
	seen := map[int]bool{os.Getpid(): true}
	for _, parent := range g.hierarchy.parents {
		_ = filepath.WalkDir(filepath.Join(parent, g.name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil //nolint:nilerr // a group that is gone has no processes
			}
			content, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for field := range strings.FieldsSeq(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// empty kills what is in the group until nothing is, for at most the given time.
func (g *group) empty(patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		pids := g.processes()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v survive being killed", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pause)
	}
}

// leave moves the thread back to where Crisol is.
func (g *group) leave(tid int) {
	for _, parent := range g.hierarchy.parents {
		_ = os.WriteFile(filepath.Join(filepath.Dir(parent), "tasks"), []byte(strconv.Itoa(tid)), 0)
	}
}

// remove removes the group's directories, and those that a runtime made below them.
func (g *group) remove() error {
	var errs []error
	for _, parent := range g.hierarchy.parents {
		errs = append(errs, removeGroup(filepath.Join(parent, g.name)))
	}
	if g.lock != nil {
		g.lock.Close()
	}
	return errors.Join(errs...)
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(dir, e.Name())))
		}
	}
	// A process that has just died may still be counted for a moment.
	for range 100 {
		removed := unix.Rmdir(dir)
		if removed == nil || errors.Is(removed, unix.ENOENT) {
			return err
		}
		if !errors.Is(removed, unix.EBUSY) {
			return errors.Join(err, annotate("remove cgroup", dir, removed))
		}
		time.Sleep(time.Millisecond)
	}
	return errors.Join(err, annotate("remove cgroup", dir, unix.EBUSY))
}

// sweep kills and removes what runs of a dead Crisol left: groups that nobody holds locked.
func (h hierarchy) sweep(log *slog.Logger) {
	if h.version == 0 {
		return
	}
	unlock, err := h.lockParent()
	if err != nil {
		log.Warn("lock the cgroups", "error", err)
		return
	}
	defer unlock()
	names := map[string]bool{}
	for _, parent := range h.parents {
		entries, _ := os.ReadDir(parent)
		for _, e := range entries {
			if e.IsDir() {
				names[e.Name()] = true
			}
		}
	}
	for name := range names {
		dir, err := os.Open(filepath.Join(h.anyParent(), name))
		if err == nil && flock(dir, unix.LOCK_EX|unix.LOCK_NB) != nil {
			dir.Close()
			continue // in use
		}
		g := &group{hierarchy: h, name: name}
		err = errors.Join(g.empty(5*time.Second), g.remove())
		dir.Close()
		if err != nil {
			log.Warn("clear a leftover cgroup", "name", name, "error", err)
		}
	}
}
