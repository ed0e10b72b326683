package oci

import (
	"crypto/rand"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
	"crisol/internal/sandbox/stage"
)

// version is the specification's version that every supported runtime accepts.
const version = "1.0.2"

// spec describes a run to the runtime.
func (d driver) spec(s *stage.Scene) *specs.Spec {
	spec := &specs.Spec{
		Version:  version,
		Hostname: "crisol",
		Root:     &specs.Root{Path: s.Root, Readonly: true},
		Process: &specs.Process{
			User: specs.User{UID: sandbox.UID, GID: sandbox.GID},
			// The container's first process must not be the command: the kernel shields a namespace's first process
			// from signals that would end any other. timeout(1) without a timeout waits for the command and returns
			// its status, 128+n for a signal, as bubblewrap's first process does.
			Args:            append([]string{d.init, "--foreground", "0"}, s.Args...),
			Env:             s.Env,
			Cwd:             s.Dir,
			NoNewPrivileges: true,
			Capabilities:    &specs.LinuxCapabilities{},
			Rlimits:         d.rlimits(s.Limits),
		},
		Mounts: d.mounts(s),
		Linux:  d.linux(s),
	}
	return spec
}

func (d driver) mounts(s *stage.Scene) []specs.Mount {
	bind := func(target, source string) specs.Mount { // with the mounts below it, which can't be parted from it
		return specs.Mount{Destination: target, Type: "bind", Source: source, Options: []string{"rbind", "rw", "nosuid", "nodev"}}
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k"}},
		bind("/dev/shm", s.Shm),
	}
	if d.gvisor {
		// The root's own mounts would be taken for its content, and an empty /tmp for a request for a tmpfs without
		// a bound.
		for _, target := range []string{"/tmp", sandbox.WorkDir} {
			mounts = append(mounts, bind(target, s.Root+target))
		}
	}
	return mounts
}

func (d driver) linux(s *stage.Scene) *specs.Linux {
	linux := &specs.Linux{
		Seccomp: d.filter(), CgroupsPath: d.cgroup(s),
		// The runtime sets the sandbox up as the container's root, which is nobody on the host.
		UIDMappings: []specs.LinuxIDMapping{
			{ContainerID: 0, HostID: sandbox.HostUID - 1, Size: 1}, {ContainerID: sandbox.UID, HostID: sandbox.HostUID, Size: 1},
		},
		GIDMappings: []specs.LinuxIDMapping{
			{ContainerID: 0, HostID: sandbox.HostGID - 1, Size: 1}, {ContainerID: sandbox.GID, HostID: sandbox.HostGID, Size: 1},
		},
	}
	for _, n := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace,
		specs.UTSNamespace, specs.MountNamespace, specs.UserNamespace} {
		linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: n})
	}
	if d.pids {
		limit := int64(s.Limits.Processes + 1)
		linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	}
	return linux
}

// filter is stage.Filter in the specification's words.
func (d driver) filter() *specs.LinuxSeccomp {
	rule := func(errno uint, names []string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &errno, Args: args}
	}
	perm, nosys := uint(unix.EPERM), uint(unix.ENOSYS)
	seccomp := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		rule(perm, slices.Clone(stage.Denied)),
	}}
	if !d.gvisor { // which knows no error but EPERM, after which libc doesn't fall back to clone
		seccomp.Syscalls = append(seccomp.Syscalls, rule(nosys, []string{"clone3"}))
	}
	add := func(name string, args ...specs.LinuxSeccompArg) {
		seccomp.Syscalls = append(seccomp.Syscalls, rule(perm, []string{name}, args...))
	}
	masked := func(index uint, mask, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
	}
	for _, flag := range stage.NamespaceFlags {
		add("clone", masked(0, flag, flag))
	}
	// Rules can be joined by "or" only, so the personalities that may not be set are told by their bits: any but that
	// of no randomisation, unless the highest is set as well, as in the question what is set.
	for bit := range 31 {
		if value := uint64(1) << bit; !slices.Contains(stage.Personalities, value) {
			add("personality", masked(0, value|1<<31, value))
		}
	}
	add("mknod", masked(1, stage.DeviceBit, stage.DeviceBit))
	add("mknodat", masked(2, stage.DeviceBit, stage.DeviceBit))
	for _, request := range stage.Typing {
		add("ioctl", masked(1, 0xffffffff, uint64(request)))
	}
	return seccomp
}

var rlimitNames = map[int]string{
	unix.RLIMIT_CPU: "RLIMIT_CPU", unix.RLIMIT_CORE: "RLIMIT_CORE", unix.RLIMIT_NOFILE: "RLIMIT_NOFILE",
	unix.RLIMIT_FSIZE: "RLIMIT_FSIZE", unix.RLIMIT_MEMLOCK: "RLIMIT_MEMLOCK", unix.RLIMIT_NPROC: "RLIMIT_NPROC",
}

func (d driver) rlimits(l sandbox.Limits) []specs.POSIXRlimit {
	var limits []specs.POSIXRlimit
	if d.gvisor { // its processes are none of the host's; timeout(1) is one of them
		n := uint64(l.Processes + 1)
		limits = append(limits, specs.POSIXRlimit{Type: rlimitNames[unix.RLIMIT_NPROC], Soft: n, Hard: n})
	}
	for which, limit := range d.host.Rlimits(l) {
		if d.gvisor && which == unix.RLIMIT_NPROC {
			continue
		}
		limits = append(limits, specs.POSIXRlimit{Type: rlimitNames[which], Soft: limit.Cur, Hard: limit.Max})
	}
	return limits
}

// id names a container.
func id() string { return "crisol-" + rand.Text() }
