package stage

import (
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// simulate runs the filter on one system call, as the kernel would.
func simulate(t *testing.T, filter []byte, nr, architecture uint32, args ...uint64) uint32 {
	t.Helper()
	var program []bpf.Instruction
	for i := 0; i < len(filter); i += 8 {
		raw := bpf.RawInstruction{Op: uint16(filter[i]) | uint16(filter[i+1])<<8, Jt: filter[i+2], Jf: filter[i+3],
			K: uint32(filter[i+4]) | uint32(filter[i+5])<<8 | uint32(filter[i+6])<<16 | uint32(filter[i+7])<<24}
		program = append(program, raw.Disassemble())
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel loads native words from struct seccomp_data; the machine simulated here loads big-endian ones.
	data := make([]byte, 64)
	put := func(offset int, v uint32) {
		data[offset], data[offset+1], data[offset+2], data[offset+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	put(0, nr)
	put(4, architecture)
	for i, a := range args {
		put(16+8*i, uint32(a))
		put(20+8*i, uint32(a>>32))
	}
	result, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(result)
}

func TestFilter(t *testing.T) {
	filter, err := Filter()
	if err != nil {
		t.Fatal(err)
	}
	const (
		x86_64, i386 = 0xc000003e, 0x40000003
		allow        = 0x7fff0000
		kill         = 0x80000000
		eperm        = 0x00050000 | uint32(unix.EPERM)
		enosys       = 0x00050000 | uint32(unix.ENOSYS)
	)
	const native = x86_64
	for _, c := range []struct {
		name string
		nr   uint32
		arch uint32
		args []uint64
		want uint32
	}{
		{"read", unix.SYS_READ, native, nil, allow},
		{"read of i386", 3, i386, nil, kill},
		{"read of x32", 0x40000000, native, nil, enosys},
		{"mount", unix.SYS_MOUNT, native, nil, eperm},
		{"clone of a thread", unix.SYS_CLONE, native, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"clone of a user namespace", unix.SYS_CLONE, native, []uint64{unix.CLONE_NEWUSER | 17}, eperm},
		{"clone of a time namespace", unix.SYS_CLONE, native, []uint64{unix.CLONE_NEWTIME}, eperm},
		{"clone3", unix.SYS_CLONE3, native, nil, enosys},
		{"mknod of a file", unix.SYS_MKNOD, native, []uint64{0, unix.S_IFREG | 0o600}, allow},
		{"mknod of a socket", unix.SYS_MKNOD, native, []uint64{0, unix.S_IFSOCK | 0o600}, allow},
		{"mknod of a device", unix.SYS_MKNOD, native, []uint64{0, unix.S_IFCHR | 0o600}, eperm},
		{"mknodat of a disk", unix.SYS_MKNODAT, native, []uint64{0, 0, unix.S_IFBLK}, eperm},
		{"ioctl", unix.SYS_IOCTL, native, []uint64{0, unix.TCGETS}, allow},
		{"ioctl that types", unix.SYS_IOCTL, native, []uint64{0, unix.TIOCSTI}, eperm},
		{"ioctl that types, dressed up", unix.SYS_IOCTL, native, []uint64{0, unix.TIOCSTI | 1<<40}, eperm},
		{"personality", unix.SYS_PERSONALITY, native, []uint64{0}, allow},
		{"personality asked", unix.SYS_PERSONALITY, native, []uint64{0xffffffff}, allow},
		{"personality without randomisation", unix.SYS_PERSONALITY, native, []uint64{0x40000}, allow},
		{"personality of 32 bits", unix.SYS_PERSONALITY, native, []uint64{8}, eperm},
	} {
		if got := simulate(t, filter, c.nr, c.arch, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}
