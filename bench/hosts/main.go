// Command hosts measures how the throughput of wargames grows with the hosts that run them: 1, 2 and 3 workers, each in a
// network namespace of its own with a data directory of its own, share the PostgreSQL of this machine, and a service
// without trials fills their queue. Trials are real, one at a time on each host.
//
//	go run ./bench/hosts [-trials 24] [-hosts 3] [-scenario app-path-traversal]
//
// It prints for each number of hosts the trials a second, the factor over one host, and how many of the machine's cores
// were busy: hosts share them here, so throughput can grow until they are used up and no further. What sandboxes use can't
// be told from what else runs, since their processes are handed to init; so nothing else should run meanwhile, and the
// cores that were busy just before are printed first. It takes root, iproute2 and PostgreSQL.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/jobs"
	"crisol/internal/netns"
	"crisol/internal/scenario"
	"crisol/internal/store/pgtest"
)

// workerEnv makes this program a worker: its data directory and the connection string, parted by a newline.
const workerEnv = "CRISOL_BENCH_WORKER"

type options struct {
	data, scenario string
	trials, hosts  int
}

func main() {
	app.Referee()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if config := os.Getenv(workerEnv); config != "" {
		data, database, _ := strings.Cut(config, "\n")
		err = work(ctx, data, database)
	} else {
		o := options{}
		flag.StringVar(&o.data, "data", ".cache/bench/hosts", "directory for the hosts' data directories")
		flag.StringVar(&o.scenario, "scenario", "app-path-traversal", "scenario whose reference patch is tried; one with a diff")
		flag.IntVar(&o.trials, "trials", 24, "trials for each number of hosts")
		flag.IntVar(&o.hosts, "hosts", 3, "the most hosts")
		flag.Parse()
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// work is a worker until ctx is done.
func work(ctx context.Context, data, database string) error {
	a, err := app.Open(ctx, app.Config{Data: data, Database: database, Workers: 1, Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Work(ctx)
}

// bench is what all measurements share.
type bench struct {
	options
	hosts    []*netns.Host
	server   *pgtest.Server
	addr     []string // the server's, for each host
	database string
	queue    *jobs.Queue
	patch    string
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if missing := netns.Missing(); missing != "" {
		return errors.New(missing)
	}
	b := &bench{options: o}
	if b.patch, err = reference(o.scenario); err != nil {
		return err
	}
	if b.server, err = pgtest.Run(); err != nil {
		return err
	}
	defer b.server.Close()
	if b.database, err = b.server.Create(ctx); err != nil {
		return err
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		for _, h := range b.hosts {
			err = errors.Join(err, h.Close())
		}
	}()
	for range o.hosts {
		h, err := netns.New()
		if err != nil {
			return err
		}
		b.hosts = append(b.hosts, h)
		address, err := h.Forward(within, b.server.Address())
		if err != nil {
			return err
		}
		b.addr = append(b.addr, address)
	}
	a, err := app.Open(ctx, app.Config{Data: filepath.Join(o.data, "service"), Database: b.database, NoTrials: true})
	if err != nil {
		return err
	}
	defer a.Close()
	s, err := a.OpenService(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	b.queue = s.Queue
	return b.compare(ctx, out)
}

// reference is the scenario's own fix, as a diff.
func reference(id string) (string, error) {
	library, err := scenario.Library()
	if err != nil {
		return "", err
	}
	sc := library.Find(id)
	if sc == nil || sc.Target.Reference.Patch == "" {
		return "", fmt.Errorf("there is no scenario %q whose reference is a diff", id)
	}
	file, err := sc.Files.Open(sc.Target.Reference.Patch)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(file)
	return string(text), err
}

func (b *bench) compare(ctx context.Context, out io.Writer) error {
	cores := runtime.NumCPU()
	fmt.Fprintf(out, "%d trials of %s, %d cores, one trial at a time on each host\n", b.trials, b.scenario, cores)
	before := machine()
	time.Sleep(3 * time.Second)
	fmt.Fprintf(out, "%.2f cores are busy with something else\n", (machine()-before)/3)
	fmt.Fprintln(out, "hosts  seconds  trials/s  factor  cores busy")
	one := 0.0
	for n := 1; n <= len(b.hosts); n++ {
		m, err := b.measure(ctx, n)
		if err != nil {
			return err
		}
		rate := float64(b.trials) / m.wall
		if n == 1 {
			one = rate
		}
		fmt.Fprintf(out, "%5d  %7.2f  %8.2f  %6.2f  %5.2f of %d\n", n, m.wall, rate, rate/one, m.busy/m.wall, cores)
	}
	return nil
}

// measured is in seconds; busy is the CPU time of the whole machine.
type measured struct{ wall, busy float64 }

// measure starts n workers, has them warm up, and times the trials.
func (b *bench) measure(ctx context.Context, n int) (m measured, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	var workers []*exec.Cmd
	defer func() {
		for _, w := range workers {
			_ = w.Process.Signal(syscall.SIGTERM)
			err = errors.Join(err, w.Wait())
		}
	}()
	for i := range n {
		w := b.hosts[i].Command(self)
		connection := strings.Replace(pgtest.TCP(b.database), b.server.Address(), b.addr[i], 1)
		w.Env = append(os.Environ(), workerEnv+"="+filepath.Join(b.data, fmt.Sprint("host-", i))+"\n"+connection)
		w.Stderr = os.Stderr
		if err := w.Start(); err != nil {
			return m, err
		}
		workers = append(workers, w)
	}
	// The first trials of a host hold the scenario to its self-test, which is kept.
	if err := b.trial(ctx, 2*n); err != nil {
		return m, err
	}
	busy, started := machine(), time.Now()
	if err := b.trial(ctx, b.trials); err != nil {
		return m, err
	}
	m.wall = time.Since(started).Seconds()
	m.busy = machine() - busy
	return m, nil
}

// trial has so many trials run, and waits for their verdicts.
func (b *bench) trial(ctx context.Context, n int) error {
	ids := make([]string, 0, n)
	for range n {
		sub, err := b.queue.Submit(ctx, jobs.Ask{Request: crisol.Request{APVID: "bench", ScenarioID: b.scenario, PatchDiff: b.patch}})
		if err != nil {
			return err
		}
		ids = append(ids, sub.ID)
	}
	for _, id := range ids {
		if err := b.queue.Wait(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// tick is the unit of CPU times in /proc, which is the same on all of Linux's architectures that Go runs on.
const tick = 0.01

// machine is the CPU time that all cores were busy, in seconds.
func machine() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := strings.Fields(string(line)) // cpu user nice system idle iowait irq softirq steal
	return sum(fields[1:4]) + sum(fields[6:9])
}

func sum(fields []string) (total float64) {
	for _, f := range fields {
		var n float64
		_, _ = fmt.Sscan(f, &n) // the kernel writes numbers
		total += n * tick
	}
	return total
}
