//go:build race

package app

import "golang.org/x/sys/unix"

// leave ends the referee without the second for which the race detector waits at exit: a referee is started for every
// run, and its environment can't carry GORACE.
func leave(code int) {
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
}
