package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
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
	parents map[string]string // controller ("" under v2) -> .../crisol-runs
	mounts  map[string]string // controller -> where its hierarchy is mounted
	all     []string          // Crisol's own group in every hierarchy of v1, where runtimes may make groups too
}

// groupsName is the directory below Crisol's own group in which those of its runs lie.
const groupsName = "crisol-runs"

// nestedPrefix begins the names of groups that runtimes make.
const nestedPrefix = "crisol-nested-"

// controllers are those that bound a run. In v2 the processor's time is counted without one.
var controllers = []string{"memory", "pids", "cpuacct"}

// findHierarchy reads where the process stands and where that can be seen. Cgroup v1 needs root; v2 is used where the
// directory can be written (root, or a delegated subtree).
func findHierarchy(root bool, mounts map[string]cgroupMount, own map[string]string) hierarchy {
	v1 := hierarchy{version: 1, parents: map[string]string{}, mounts: map[string]string{}}
	for _, c := range controllers {
		if m, ok := mounts[c]; ok && root {
			v1.parents[c] = filepath.Join(m.dir, strings.TrimPrefix(own[c], m.root), groupsName)
			v1.mounts[c] = m.dir
		}
	}
	if len(v1.parents) > 0 {
		v1.all = ownDirs(mounts, own)
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
	return hierarchy{version: 2, parents: map[string]string{"": filepath.Join(dir, groupsName)}, mounts: map[string]string{"": dir}}
}

// ownDirs lists the directories of this process's group, one for each hierarchy of v1.
func ownDirs(mounts map[string]cgroupMount, own map[string]string) []string {
	var dirs []string
	for c, m := range mounts {
		path, ok := own[c]
		if dir := filepath.Join(m.dir, strings.TrimPrefix(path, m.root)); ok && c != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

type cgroupMount struct{ dir, root string }

// cgroupMounts maps each controller ("" for v2) to where its hierarchy is mounted.
func cgroupMounts(mountinfo string) map[string]cgroupMount {
	found := map[string]cgroupMount{}
	for line := range strings.Lines(mountinfo) {
		// 36 35 98:0 /root /mount/point options - type source superoptions
		fields := strings.Fields(line)
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
func ownGroups(cgroup string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(cgroup) {
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
		if err := standAside(filepath.Dir(dir)); err != nil {
			return err
		}
		for _, control := range []string{filepath.Dir(dir), dir} {
			if err := os.WriteFile(filepath.Join(control, "cgroup.subtree_control"), []byte("+memory +pids"), 0); err != nil {
				return fmt.Errorf("delegate controllers: %w", err)
			}
		}
	}
	return nil
}

// standAside moves Crisol into a leaf of its own when it is alone in a v2 group: a group with processes in it can't
// give controllers to those below.
func standAside(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(content)) != strconv.Itoa(os.Getpid()) {
		return nil //nolint:nilerr // then delegation fails, and says so
	}
	leaf := filepath.Join(dir, "crisol-self")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte("0"), 0)
}

// withdraw removes the parents where nothing is in them any more.
func (h hierarchy) withdraw() {
	for _, dir := range h.parents {
		_ = unix.Rmdir(dir) // another Crisol's groups may be in it
	}
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

// holdDir locks a directory. Whoever makes or clears away groups below it holds it, so that none takes a group that
// isn't locked yet for a leftover.
func holdDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := flock(dir, unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// used are the controllers that there are, that whose groups carry the locks first.
func (h hierarchy) used() []string {
	var used []string
	for _, c := range append([]string{""}, controllers...) {
		if _, ok := h.parents[c]; ok {
			used = append(used, c)
		}
	}
	return used
}

// group is one cgroup: of a slot's (v1), or of one run (v2).
type group struct {
	hierarchy   hierarchy
	name        string
	lock        *os.File // a directory, locked for as long as the group is in use
	set         map[string]int64
	oomBefore   int64
	failsBefore int64
	nested      bool  // a runtime has made groups of its own
	heldBefore  int64 // memory that earlier runs in this group left charged to it
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
	used := h.used()
	var held *os.File
	for try := 0; ; try++ {
		// A parent may go while nothing is in it.
		err := h.prepare()
		if err == nil {
			held, err = holdDir(h.parents[used[0]])
		}
		if err == nil {
			var g *group
			g, err = h.makeHeld(used)
			held.Close()
			if err == nil {
				return g, nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 10 {
			return nil, fmt.Errorf("make a cgroup: %w", err)
		}
	}
}

func (h hierarchy) makeHeld(used []string) (*group, error) {
	g := &group{hierarchy: h, set: map[string]int64{},
		name: fmt.Sprintf("%d-%d-%08x", os.Getpid(), groupNumber.Add(1), rand.Uint32())}
	for _, c := range used {
		dir := filepath.Join(h.parents[c], g.name)
		err := os.Mkdir(dir, 0o755)
		if err == nil && g.lock == nil {
			if g.lock, err = os.Open(dir); err == nil {
				err = flock(g.lock, unix.LOCK_EX)
			}
		}
		if err != nil {
			return nil, errors.Join(err, g.remove())
		}
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
		// Processes of earlier runs that the machine's init is slow to reap still count. They are dead: nothing of
		// this run can be among them.
		stale := max(0, g.count()-1)
		errs = append(errs, g.write("pids", "pids.max", int64(l.Processes+overhead)+stale))
	}
	g.oomBefore = g.oomTotal()
	g.failsBefore = g.number("memory.failcnt")
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
	if g.nested { // v1 counts where the process was, not above
		text, _ = g.read("memory", filepath.Join(nestedPrefix+g.name, name))
		inner, _ := statField(text, "oom_kill")
		n += inner
	}
	return n
}

// hitLimit says whether memory ran up against the group's limit in this run. It need not have ended anything: files
// that are read do so too, and are dropped. It is asked where a runtime took its group, and the count of kills in it,
// away.
func (g *group) hitLimit() bool {
	return g.nested && g.number("memory.failcnt") > g.failsBefore
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

// count is how many processes and threads are in the group, dead ones that nobody has reaped included.
func (g *group) count() int64 { return g.numberOf("pids", "pids.current") }

func (g *group) number(name string) int64 { return g.numberOf("memory", name) }

func (g *group) numberOf(controller, name string) int64 {
	text, err := g.read(controller, name)
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
	if g.hierarchy.version == 1 && g.hierarchy.has("pids") && g.count() == 1 {
		return nil // only the slot's own thread, in the groups below as well
	}
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

// tidy removes the groups that a runtime made for a run and may have left behind.
func (g *group) tidy() error {
	if !g.nested {
		return nil
	}
	g.nested = false
	var errs []error
	for _, dir := range g.hierarchy.all {
		errs = append(errs, removeGroup(filepath.Join(dir, nestedPrefix+g.name)))
	}
	for _, parent := range g.hierarchy.parents {
		errs = append(errs, removeGroup(filepath.Join(parent, g.name, nestedPrefix+g.name)))
	}
	return errors.Join(errs...)
}

// leave moves the thread back to where Crisol is.
func (g *group) leave(tid int) {
	for _, parent := range g.hierarchy.parents {
		_ = os.WriteFile(filepath.Join(filepath.Dir(parent), "tasks"), []byte(strconv.Itoa(tid)), 0)
	}
}

// remove removes the group's directories, and those that a runtime made below them; the one with the lock last.
func (g *group) remove() error {
	var errs []error
	used := g.hierarchy.used()
	slices.Reverse(used)
	for _, c := range used {
		errs = append(errs, removeGroup(filepath.Join(g.hierarchy.parents[c], g.name)))
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

// sweep kills and removes what runs of a dead Crisol left: groups that nobody holds locked, wherever in the hierarchy
// that Crisol stood.
func (h hierarchy) sweep(log *slog.Logger) {
	for i, c := range h.used() {
		for _, parent := range findParents(h.mounts[c]) {
			stale := isUnlocked
			if i > 0 {
				// A group is made under the locks first and removed there last: what isn't there is in nobody's use.
				stale = func(path string) bool { return !h.isLockedElsewhere(filepath.Base(path)) }
			}
			if err := sweepParent(parent, stale); err != nil {
				log.Warn("clear leftover cgroups", "in", parent, "error", err)
			}
			if parent != h.parents[c] {
				_ = unix.Rmdir(parent) // where it is empty now
			}
		}
	}
	if err := h.sweepNested(); err != nil {
		log.Warn("clear leftover cgroups of runtimes", "error", err)
	}
}

// sweepNested removes the groups that runtimes of a dead Crisol made where Crisol now is.
func (h hierarchy) sweepNested() error {
	var errs []error
	for _, dir := range h.all {
		found, err := filepath.Glob(filepath.Join(dir, nestedPrefix+"*"))
		errs = append(errs, err)
		for _, path := range found {
			if !h.isLockedElsewhere(strings.TrimPrefix(filepath.Base(path), nestedPrefix)) {
				errs = append(errs, removeGroup(path))
			}
		}
	}
	return errors.Join(errs...)
}

// isLockedElsewhere says whether a group of that name exists under the controller that carries the locks.
func (h hierarchy) isLockedElsewhere(name string) bool {
	for _, parent := range findParents(h.mounts[h.used()[0]]) {
		if exists(filepath.Join(parent, name)) {
			return true
		}
	}
	return false
}

// findParents finds the directories of runs below a mount.
func findParents(mount string) []string {
	var found []string
	_ = filepath.WalkDir(mount, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // groups come and go
		}
		if d.IsDir() && d.Name() == groupsName {
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	return found
}

// sweepParent clears one directory of runs of what is stale.
func sweepParent(parent string, stale func(path string) bool) error {
	held, err := holdDir(parent)
	if err != nil {
		return err
	}
	defer held.Close()
	entries, err := held.ReadDir(-1)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if path := filepath.Join(parent, e.Name()); !e.IsDir() || !stale(path) {
			continue
		}
		g := &group{hierarchy: hierarchy{version: 1, parents: map[string]string{"": parent}}, name: e.Name()}
		errs = append(errs, g.empty(5*time.Second), g.remove())
	}
	return errors.Join(errs...)
}

// isUnlocked says whether no process holds a group's lock.
func isUnlocked(path string) bool {
	dir, err := os.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer dir.Close()
	return flock(dir, unix.LOCK_EX|unix.LOCK_NB) == nil
}
