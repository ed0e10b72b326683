package stage

import (
	"encoding/binary"
	"fmt"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Denied are the system calls that fail with EPERM inside: they change the machine or the namespaces, look into other
// processes, or have been a way out of sandboxes while no language runtime needs them. Names that an architecture
// doesn't have are left out.
var Denied = []string{
	// mounts
	"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen",
	"fsconfig", "fsmount", "fspick", "mount_setattr", "listmount", "statmount",
	// namespaces
	"unshare", "setns",
	// other processes
	"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "process_madvise", "pidfd_getfd",
	// the kernel's insides
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
	"kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "query_module",
	"get_kernel_syms", "add_key", "keyctl", "request_key", "lookup_dcookie", "nfsservctl", "vm86", "vm86old",
	"iopl", "ioperm", "modify_ldt", "uselib", "_sysctl", "sysfs", "ustat", "syslog", "vserver", "vmsplice",
	"move_pages", "migrate_pages", "mbind", "set_mempolicy", "set_mempolicy_home_node",
	// the machine
	"acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "settimeofday", "stime", "clock_settime",
	"clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "sethostname", "setdomainname", "nfsservctl",
	"vhangup",
	// files by handle, and notification of the whole file system
	"open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark",
}

// NamespaceFlags are the flags of clone(2) that make a namespace.
var NamespaceFlags = []uint64{
	unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWUSER,
	unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWTIME,
}

// Personalities are the values of personality(2) that may be set: Linux, Linux without address randomisation (which
// sanitizers and debuggers ask for), and the question what is set.
var Personalities = []uint64{0, 0x0040000, 0xffffffff}

// DeviceBit is set in mknod(2)'s mode for character and block devices, and in no other that it makes.
const DeviceBit = unix.S_IFCHR

// Typing are the requests of ioctl(2) that type into a terminal, were one ever inherited.
var Typing = []uint32{unix.TIOCSTI, unix.TIOCLINUX}

// Filter assembles the system-call filter for this architecture, as struct sock_filter[].
func Filter() ([]byte, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("assemble the system-call filter: %w", err)
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups(info)}
	program, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble the system-call filter: %w", err)
	}
	raw, err := bpf.Assemble(append(guard(info), program...))
	if err != nil {
		return nil, fmt.Errorf("assemble the system-call filter: %w", err)
	}
	var out []byte
	for _, i := range raw {
		out = binary.NativeEndian.AppendUint16(out, i.Op)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out, nil
}

// groups are the filter's rules, each group with its error.
func groups(info *arch.Info) []seccomp.SyscallGroup {
	denied := seccomp.SyscallGroup{Action: seccomp.ActionErrno, Names: known(info, Denied)}
	conditional := seccomp.SyscallGroup{Action: seccomp.ActionErrno}
	add := func(name string, conditions ...seccomp.Condition) {
		if _, ok := info.SyscallNames[name]; ok {
			conditional.NamesWithCondtions = append(conditional.NamesWithCondtions,
				seccomp.NameWithConditions{Name: name, Conditions: conditions})
		}
	}
	for _, flag := range NamespaceFlags {
		add("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: flag})
	}
	var odd []seccomp.Condition
	for _, value := range Personalities {
		odd = append(odd, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: value})
	}
	add("personality", odd...)
	for i, name := range []string{"mknod", "mknodat"} {
		add(name, seccomp.Condition{Argument: uint32(i + 1), Operation: seccomp.BitsSet, Value: DeviceBit})
	}
	// clone3's flags lie in memory where no filter sees them; told that it doesn't exist, libc falls back to clone.
	absent := seccomp.SyscallGroup{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: known(info, []string{"clone3"})}
	return []seccomp.SyscallGroup{denied, conditional, absent}
}

// known keeps the names that the architecture has, each once.
func known(info *arch.Info, names []string) []string {
	var kept []string
	seen := map[string]bool{}
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok && !seen[name] {
			seen[name] = true
			kept = append(kept, name)
		}
	}
	return kept
}

// guard is what the library can't say: system calls of another architecture (int 0x80 on amd64) would fall through to
// its default, and ioctl(2) looks at the lower half of its request only, so that upper bits must not hide it.
func guard(info *arch.Info) []bpf.Instruction {
	const number, architecture, request = 0, 4, 16 + 8
	deny := bpf.RetConstant{Val: uint32(seccomp.ActionErrno) | uint32(unix.EPERM)}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: architecture, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)},
		bpf.LoadAbsolute{Off: number, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(info.SyscallNames["ioctl"]), SkipTrue: uint8(1 + 2*len(Typing))},
		bpf.LoadAbsolute{Off: request, Size: 4},
	}
	for _, r := range Typing {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: r, SkipTrue: 1}, deny)
	}
	return program
}
