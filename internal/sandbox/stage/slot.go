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
	go s.live(ready)
	return s, <-ready
}

// give keeps a slot for a while, or ends it.
func (h *Host) give(s *slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || !h.root {
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

// live is the slot's thread. It is never unlocked, so that it ends with the goroutine and takes its mounts with it:
// a thread that has left the host's mount namespace must not serve other goroutines. It must not be the process's
// first thread, which Go can't end, and whose mounts /proc/self shows as the process's.
func (s *slot) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			s.serve(ready)
		}()
		<-locked
		runtime.UnlockOSThread()
		return
	}
	s.serve(ready)
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
	if !s.host.root {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("leave the host's mount namespace: %w", err)
	}
	// Slave, not private: what the host mounts later is seen here, what is mounted here is never seen there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make the slot's mounts private: %w", err)
	}
	if s.host.groups.version == 1 {
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
	if err := s.host.system.writeEtc(filepath.Join(stageDir, "etc")); err != nil {
		return err
	}
	if err := makeDev(filepath.Join(stageDir, "dev")); err != nil {
		return err
	}
	group, err := s.host.groups.slot(s.tid)
	s.group = group
	return err
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
