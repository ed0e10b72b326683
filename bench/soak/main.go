// Command soak asks a service and a worker that share a real PostgreSQL and a real Redis for as long as it is told, while
// something is killed, frozen or restarted every few seconds, and says what callers saw of it.
//
// The processes are the crisol binary, the trials are real. Of each request that is to be decided the right verdict is known
// beforehand: a query that binds its value is fixed, one that is put together as before isn't, a comment changes nothing,
// and what doesn't parse is broken. It exits 1 when a rule is broken: an accepted request without an answer, a wrong verdict,
// too many errors that callers see, memory or goroutines that grow.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	os.Exit(run())
}

func run() int {
	plan := Plan{}
	flag.StringVar(&plan.Crisol, "crisol", "bin/crisol", "the binary to run")
	flag.DurationVar(&plan.Time, "for", 30*time.Minute, "how long to ask")
	flag.DurationVar(&plan.Every, "every", 20*time.Second, "from one fault to the next")
	flag.DurationVar(&plan.Warm, "warm", 15*time.Second, "how long to ask before goroutines are counted for the first time")
	flag.Uint64Var(&plan.Seed, "seed", 1, "of what is asked when")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	plan.Log = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
	report, err := Soak(ctx, plan)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	fmt.Print(report)
	if broken := report.Broken(); len(broken) > 0 {
		return 1
	}
	return 0
}
