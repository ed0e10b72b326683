package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// stageDir is where a slot's private mounts lie. On the host it is an empty directory.
const stageDir = "/run/crisol"

// A slot is a thread in which runs happen, one after the other. As root it has a mount namespace and cgroups of its own.
type slot struct {
	host   *Host
	jobs   chan func()
	group  *group // nil where there are no cgroups, or none that outlives a run
	tid    int
	spoilt bool // set by a job: nothing may run here any more
	timer  *time.Timer
}

// take returns an idle slot or starts one.
func (h *Host) take() (*slot, error) {
	h.mu.Lock()
	if n := len(h.free); n > 0 {
		s := h.free[n-1]
		h.free = h.free[:n-1]
		s.timer.Stop()
		h.mu.Unlock()
		return s, nil
	}
	if h.closed {
		h.mu.Unlock()
		return nil, fmt.Errorf("the sandbox is closed")
	}
	h.count++
	h.mu.Unlock()

	s := &slot{host: h, jobs: make(chan func())}
	ready := make(chan error)
	go offMain(func() { s.serve(ready) })
	return s, <-ready
}

// give keeps a slot for a while, or ends it.
func (h *Host) give(s *slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.end()
		return
	}
	h.free = append(h.free, s)
	s.timer = time.AfterFunc(h.idle, func() { h.retire(s) })
}

// retire ends a slot that is still idle.
func (h *Host) retire(s *slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, f := range h.free {
		if f == s {
			h.free = append(h.free[:i], h.free[i+1:]...)
			s.end()
			return
		}
	}
}

func (s *slot) end() { close(s.jobs) }

// do runs f on the slot's thread and waits for it.
func (s *slot) do(f func()) {
	done := make(chan struct{})
	s.jobs <- func() { defer close(done); f() }
	<-done
}

// offMain runs f on a thread that ends with f: one that has left the host's mount namespace must not serve other
// goroutines. It must not be the process's first thread, which Go can't end, and whose mounts /proc/self shows as the
// process's. It is called in a goroutine of its own.
func offMain(f func()) {
	runtime.LockOSThread() // and never unlocked, but for the first thread
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	locked := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(locked)
		f()
	}()
	<-locked
	runtime.UnlockOSThread()
}

// serve runs jobs until the slot is ended.
func (s *slot) serve(ready chan<- error) {
	s.tid = unix.Gettid()
	err := s.enter()
	ready <- err
	if err == nil {
		for job := range s.jobs {
			job()
		}
	}
	s.leave()
}

func (s *slot) enter() error {
	if s.host.mounts {
		if err := enterMounts(s.host); err != nil {
			return err
		}
	}
	if !s.host.root {
		return nil
	}
	group, err := s.host.groups.slot(s.tid)
	s.group = group
	return err
}

// tryMounts finds out whether this process can make a slot's mounts, on a thread that ends with the trial.
func tryMounts() error {
	if err := os.MkdirAll(stageDir, 0o711); err != nil {
		return err
	}
	result := make(chan error)
	go offMain(func() {
		err := leaveMounts()
		if err == nil {
			err = unix.Mount("crisol", stageDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size=1m")
		}
		if err == nil {
			err = makeDirs(stageDir, "lower", "upper", "work", "view")
		}
		if err == nil {
			options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", stageDir)
			err = unix.Mount("crisol", stageDir+"/view", "overlay", unix.MS_NOSUID|unix.MS_NODEV, options)
		}
		result <- err
	})
	return <-result
}

// leaveMounts gives the calling thread a mount namespace of its own.
func leaveMounts() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("leave the host's mount namespace: %w", err)
	}
	// Slave, not private: what the host mounts later is seen here, what is mounted here is never seen there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the slot's mounts private: %w", err)
	}
	return nil
}

// enterMounts makes the thread's namespace and what all its runs share.
func enterMounts(h *Host) error {
	if err := leaveMounts(); err != nil {
		return err
	}
	if h.groups.version == 1 {
		// crun refuses to work where v2 is mounted beside v1 and has a controller. Nothing here needs it.
		_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	}
	if err := unix.Mount("crisol", stageDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size=64m"); err != nil {
		return fmt.Errorf("mount the slot's directory: %w", err)
	}
	for _, dir := range []string{"etc", "dev", "run"} {
		if err := os.Mkdir(filepath.Join(stageDir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := h.system.writeEtc(filepath.Join(stageDir, "etc")); err != nil {
		return err
	}
	return makeDev(filepath.Join(stageDir, "dev"))
}

func (s *slot) leave() {
	if s.group != nil {
		s.group.leave(s.tid)
		if err := s.group.remove(); err != nil {
			s.host.log.Warn("remove a sandbox's cgroup", "error", err)
		}
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.count--
	s.host.gone.Broadcast()
}
