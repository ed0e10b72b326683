// Command steady measures whether verdicts stay what they are on a machine that is busy with something else.
//
//	go run ./bench/steady [-repeats 10] [-hogs 2] [-share 3] [-seed 1] [-journal FILE]
//
// It draws one scenario in three of the library and holds each to its self-test again and again, the vulnerable side run
// anew each time, while as many processes as there are hogs do nothing but use a core. Every verdict of every repeat is
// compared with the first repeat's. The exit code is 1 when one differs or a scenario doesn't hold. It takes hours; with a
// journal, what was interrupted goes on where it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crisol/internal/app"
	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

func main() {
	app.Referee()
	o := options{}
	flag.StringVar(&o.data, "data", ".cache/bench", "data directory")
	flag.IntVar(&o.repeats, "repeats", 10, "times that each scenario is tested")
	flag.IntVar(&o.hogs, "hogs", 2, "processes that use a core each meanwhile")
	flag.IntVar(&o.share, "share", 3, "one scenario in so many is drawn")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the draw")
	flag.StringVar(&o.journal, "journal", "", "file that keeps each result, so that a later run goes on from there")
	flag.Parse()
	os.Exit(exit(o))
}

func exit(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	same, err := run(ctx, o, os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "steady:", err)
		return 2
	case !same:
		return 1
	}
	return 0
}

type options struct {
	data, journal        string
	repeats, hogs, share int
	seed                 uint64
}

func run(ctx context.Context, o options, out io.Writer) (same bool, err error) {
	library, err := scenario.Library()
	if err != nil {
		return false, err
	}
	drawn := draw(library.All(), o)
	a, err := app.Open(ctx, app.Config{Data: o.data})
	if err != nil {
		return false, err
	}
	defer a.Close()
	end, err := hogs(o.hogs)
	if err != nil {
		return false, err
	}
	defer end()
	b := &board{first: map[string]string{}, out: out}
	j, err := openJournal(o.journal)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	started := time.Now()
	for repeat := range o.repeats {
		if err := b.round(ctx, a, &sheet{j, repeat, drawn}); err != nil {
			return false, fmt.Errorf("repeat %d: %w", repeat+1, err)
		}
		_, _ = fmt.Fprintf(out, "repeat %d of %d: %d scenarios, %d verdicts, %d differ, %d don't hold, %.0f s\n", repeat+1, o.repeats, len(drawn), b.verdicts, b.differ, b.fail, time.Since(started).Seconds())
	}
	return b.differ == 0 && b.fail == 0, nil
}

// draw chooses one scenario in o.share at random, by the seed.
func draw(list []*scenario.Scenario, o options) []*scenario.Scenario {
	list = slices.Clone(list)
	random := rand.New(rand.NewPCG(o.seed, 0))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:(len(list)+o.share-1)/o.share]
}

// hogs starts processes that do nothing but use a core each; the function that is returned ends them.
func hogs(n int) (end func(), err error) {
	var started []*exec.Cmd
	end = func() {
		for _, hog := range started {
			_ = hog.Process.Kill()
			_ = hog.Wait()
		}
	}
	for range n {
		hog := exec.Command("sh", "-c", "while :; do :; done")
		if err := hog.Start(); err != nil {
			end()
			return nil, fmt.Errorf("start a hog: %w", err)
		}
		started = append(started, hog)
	}
	return end, nil
}

// board compares verdicts with those of the first repeat.
type board struct {
	out io.Writer

	mu                     sync.Mutex // guards what follows, and out
	first                  map[string]string
	verdicts, differ, fail int
}

func (b *board) round(ctx context.Context, a *app.App, s *sheet) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.Arena.Workers)
	for _, drawn := range s.list {
		group.Go(func() error {
			got, known := s.journal.find(s.repeat, drawn)
			if !known {
				var err error
				if got, err = a.Arena.SelfTest(ctx, drawn, wargame.SelfTestOptions{Fresh: true, Repeat: 1}); err != nil {
					return err
				}
				if err := s.journal.keep(s.repeat, drawn, got); err != nil {
					return err
				}
			}
			b.compare(got)
			return nil
		})
	}
	return group.Wait()
}

func (b *board) compare(got wargame.SelfTest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range got.Cases {
		b.verdicts++
		name := got.Scenario + ", " + c.Name
		before, seen := b.first[name]
		if !seen {
			b.first[name] = c.Got
		} else if before != c.Got {
			b.differ++
			_, _ = fmt.Fprintf(b.out, "differs: %s: %s, at first %s: %s\n", name, c.Got, before, c.Reason)
		}
		if !c.Holds {
			b.fail++
			_, _ = fmt.Fprintf(b.out, "doesn't hold: %s: %s instead of %s: %s\n", name, c.Got, c.Want, c.Reason)
		}
	}
}
