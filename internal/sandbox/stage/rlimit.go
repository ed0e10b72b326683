package stage

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// Rlimits are the resource limits of the command's processes, beside what the cgroup bounds.
func (h *Host) Rlimits(l sandbox.Limits) map[int]unix.Rlimit {
	seconds := uint64((l.CPU+time.Second-1)/time.Second) + 1
	limits := map[int]unix.Rlimit{
		// One byte: the kernel then writes no core file and starts no core_pattern handler either.
		unix.RLIMIT_CORE:    {Cur: 1, Max: 1},
		unix.RLIMIT_NOFILE:  {Cur: 1024, Max: 4096},
		unix.RLIMIT_FSIZE:   {Cur: uint64(l.Disk) + 4096, Max: uint64(l.Disk) + 4096},
		unix.RLIMIT_MEMLOCK: {Cur: 64 << 10, Max: 64 << 10},
	}
	if !h.groups.has("cpuacct") {
		limits[unix.RLIMIT_CPU] = unix.Rlimit{Cur: seconds, Max: seconds + 1}
	}
	if !h.groups.has("pids") {
		limits[unix.RLIMIT_NPROC] = unix.Rlimit{Cur: uint64(l.Processes), Max: uint64(l.Processes)}
	}
	return limits
}

// Restrict sets the resource limits of a process that waits to become the command. It must be called on the thread
// that called Driver.Start.
func (h *Host) Restrict(pid int, l sandbox.Limits) error {
	if h.root {
		// Without CAP_SYS_RESOURCE even root may limit only processes of its own real user: so this thread, and no
		// other, becomes the sandboxed user in its real ids for a moment. It keeps its powers, which go by the
		// effective ids.
		if err := realIDs(sandbox.HostUID, sandbox.HostGID); err != nil {
			return err
		}
		defer realIDs(0, 0) //nolint:errcheck // a thread may always go back to its effective ids
	}
	for which, limit := range h.Rlimits(l) {
		var own unix.Rlimit
		if err := unix.Getrlimit(which, &own); err == nil { // a hard limit that is lower already stays
			limit.Max = min(limit.Max, own.Max)
			limit.Cur = min(limit.Cur, limit.Max)
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, uintptr(pid), uintptr(which), uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("set resource limit %d of process %d: %w", which, pid, errno)
		}
	}
	return nil
}

// realIDs sets the real ids of the calling thread alone, which the syscall package would do for all threads.
func realIDs(uid, gid int) error {
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), keep, keep); errno != 0 {
		return fmt.Errorf("set the thread's real group: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), keep, keep); errno != 0 {
		return fmt.Errorf("set the thread's real user: %w", errno)
	}
	return nil
}
