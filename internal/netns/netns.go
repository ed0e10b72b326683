// Package netns makes hosts of this machine: network namespaces, each with one cable to the machine, which can be cut.
//
// In goes nothing; out comes a Host in which commands run, that reaches the machine by the address Gateway, and loses
// everything that is sent when its cable is cut, as a partitioned machine would: connections stay, and are silent. It
// serves tests and measurements. It takes root and iproute2's program ip.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
)

// Missing says what keeps this machine from having hosts, or is "".
func Missing() string {
	if os.Geteuid() != 0 {
		return "network namespaces take root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "the program ip is missing: install iproute2"
	}
	name := fmt.Sprintf("crisol-%d-probe", os.Getpid())
	if err := ip("netns", "add", name); err != nil {
		return fmt.Sprintf("this machine lets nobody make network namespaces: %v", err)
	}
	_ = ip("netns", "del", name) // an empty one does no harm
	return ""
}

// Host is a network namespace.
type Host struct {
	Gateway string // this machine's address, as the host reaches it
	name    string
	cable   string // this machine's end
}

var hosts atomic.Int64 // numbers those of this process

// New makes a host. Close removes it. A process can have 60.
func New() (*Host, error) {
	n := hosts.Add(1)
	pid := os.Getpid()
	// One network of four addresses for each, told from other processes' by the process id.
	address := func(last int64) string { return fmt.Sprintf("10.%d.%d.%d", 200+pid/256%50, pid%256, 4*n+last) }
	h := &Host{
		name:    fmt.Sprintf("crisol-%d-%d", pid, n),
		cable:   fmt.Sprintf("cr%d-%d", pid%1_000_000, n), // an interface's name has 15 bytes at most
		Gateway: address(1),
	}
	if n > 60 {
		return nil, errors.New("a process can have 60 hosts")
	}
	for _, args := range [][]string{
		{"netns", "add", h.name},
		{"link", "add", h.cable, "type", "veth", "peer", "name", "eth0", "netns", h.name},
		{"addr", "add", h.Gateway + "/30", "dev", h.cable},
		{"link", "set", h.cable, "up"},
		{"-n", h.name, "addr", "add", address(2) + "/30", "dev", "eth0"},
		{"-n", h.name, "link", "set", "eth0", "up"},
		{"-n", h.name, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return h, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:gosec // the arguments are this package's
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Command is a command that will run in the host.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.name, name}, args...)...) //nolint:gosec // what the caller says
}

// Cut cuts the cable. Mend puts it back.
func (h *Host) Cut() error { return ip("link", "set", h.cable, "down") }

// Mend undoes Cut.
func (h *Host) Mend() error { return ip("link", "set", h.cable, "up") }

// Close removes the host. Commands that run in it go on, without a network.
func (h *Host) Close() error {
	_ = ip("link", "del", h.cable) // it goes with the namespace, unless a process is left in that
	return ip("netns", "del", h.name)
}

// Forward has the host reach what listens on this machine at an address of its loopback interface. It returns the address
// for the host, and ends with ctx.
func (h *Host) Forward(ctx context.Context, target string) (string, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(h.Gateway, "0"))
	if err != nil {
		return "", err
	}
	go func() {
		<-ctx.Done()
		_ = l.Close() // which ends the loop below
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(ctx, conn, target)
		}
	}()
	return l.Addr().String(), nil
}

// relay copies both ways until one side ends, or ctx is done.
func relay(ctx context.Context, conn net.Conn, target string) {
	defer func() { _ = conn.Close() }()
	var d net.Dialer
	to, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	end := sync.OnceFunc(func() { _, _ = conn.Close(), to.Close() })
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, conn); end() })
	both.Go(func() { _, _ = io.Copy(conn, to); end() })
	both.Wait()
}
