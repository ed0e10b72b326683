package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"crisol"
)

// errAgain ends a service that is to begin anew.
var errAgain = errors.New("begin anew")

// drainFor is how long a service that begins anew lets its clients leave their connections.
const drainFor = time.Second

// handover keeps the socket of a service over a restart: the process replaces itself (execve), under the same id, and
// whoever connects meanwhile waits in the socket's queue. The socket is handed on as systemd does (sd_listen_fds(3)).
type handover struct {
	listener net.Listener // that was handed to this process; nil for none
	kept     *os.File     // a second handle of the socket
	program  string
	stop     func()
	ctx      context.Context //nolint:containedctx // its cause says how the service ended
}

// inherit takes over the socket that this process was started with, if it was, and listens for SIGUSR2.
func inherit(ctx context.Context) (context.Context, *handover, error) {
	h := &handover{}
	var err error
	// What runs is replaced by what lies there then: the upgrade.
	if h.program, err = exec.LookPath(os.Args[0]); err == nil {
		h.program, err = filepath.Abs(h.program)
	}
	if err != nil {
		return ctx, nil, crisol.Errorf(crisol.KindInfrastructure, "find the crisol executable: %w", err)
	}
	listeners, err := activation.Listeners()
	if err != nil || len(listeners) > 1 || len(listeners) == 1 && listeners[0] == nil {
		return ctx, nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "take over the socket that this process was started with: %d sockets, %w", len(listeners), err), "hand over one stream socket")
	}
	if len(listeners) == 1 {
		h.listener = listeners[0]
		if err := h.keep(h.listener); err != nil {
			return ctx, nil, err
		}
	}
	ctx, again := context.WithCancelCause(ctx)
	usr2 := make(chan os.Signal, 1)
	signal.Notify(usr2, syscall.SIGUSR2)
	go func() {
		select {
		case <-usr2:
			again(errAgain)
		case <-ctx.Done():
		}
	}()
	h.ctx, h.stop = ctx, func() {
		signal.Stop(usr2)
		again(nil)
		if h.kept != nil {
			_ = h.kept.Close()
		}
	}
	return ctx, h, nil
}

// keep holds on to a listener's socket, however the listener ends.
func (h *handover) keep(l net.Listener) (err error) {
	socket, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return crisol.Errorf(crisol.KindInternal, "a %T can't be handed over", l)
	}
	if unixSocket, ok := l.(*net.UnixListener); ok {
		unixSocket.SetUnlinkOnClose(false)
	}
	if h.kept, err = socket.File(); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "keep the socket: %w", err)
	}
	return nil
}

// drain is how long the service lets its clients leave.
func (h *handover) drain() time.Duration {
	if errors.Is(context.Cause(h.ctx), errAgain) {
		return drainFor
	}
	return 0
}

// begin replaces this process, if that is why the service ended.
func (h *handover) begin() error {
	if !errors.Is(context.Cause(h.ctx), errAgain) || h.kept == nil {
		return nil
	}
	const first = 3 // SD_LISTEN_FDS_START
	// From here on nothing of Go's may be relied upon: the handle takes the place of one that the runtime may use.
	fd := int(h.kept.Fd())
	var err error
	if fd == first {
		_, err = unix.FcntlInt(first, unix.F_SETFD, 0) // not to be closed
	} else {
		err = unix.Dup2(fd, first)
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "hand over the socket: %w", err)
	}
	signal.Ignore(syscall.SIGUSR2, syscall.SIGHUP) // until they are listened for again they would end the process
	environment := append(os.Environ(), "LISTEN_FDS=1", "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	err = syscall.Exec(h.program, append([]string{os.Args[0]}, os.Args[1:]...), environment) //nolint:gosec // the command that was started
	return crisol.Errorf(crisol.KindInfrastructure, "begin anew: %w", fmt.Errorf("%s: %w", h.program, err))
}
