package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crisol/internal/app"
	"crisol/internal/config"
)

// reloadable are the settings that change without a restart.
var reloadable = []string{"limit-ml-first", "limit-validate", "limit-accuracy", "limit-other", "trusted-proxy", "log-level", "keep"}

// reloader reads the settings of a service again.
type reloader struct {
	line     []string // the command line
	settings []config.Setting
	level    *slog.LevelVar
	log      *slog.Logger
}

// commandLine is what a command line said, as arguments, before anything else has filled in the flags.
func commandLine(flags *pflag.FlagSet) (line []string) {
	flags.Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, item := range list.GetSlice() {
				line = append(line, "--"+f.Name+"="+item)
			}
			return
		}
		text := f.Value.String()
		if f.Value.Type() == "stringToString" {
			text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		}
		line = append(line, "--"+f.Name+"="+text)
	})
	return line
}

// reload reads the settings again at every SIGHUP, and sends what the service may change. What is wrong is logged, and
// everything stays as it was.
func reload(ctx context.Context, r reloader) (changes <-chan app.Change, stop func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	out := make(chan app.Change)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			change, err := r.read()
			if err != nil {
				r.log.ErrorContext(ctx, "settings were read again and can't be used; those before hold", "error", err)
				continue
			}
			select {
			case out <- change:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, func() { signal.Stop(hup) }
}

// read settles a command line anew.
func (r *reloader) read() (app.Change, error) {
	g, f, cmd := &global{}, &serveFlags{}, &cobra.Command{}
	g.add(cmd.Flags())
	f.add(cmd, g)
	if err := cmd.ParseFlags(r.line); err != nil {
		return app.Change{}, err
	}
	settings, err := f.settle(cmd, g)
	if err != nil {
		return app.Change{}, err
	}
	change := app.Change{Limits: f.door.Limits, Proxies: f.door.Proxies, Ages: g.config.Ages}
	for i, s := range settings {
		before := slices.IndexFunc(r.settings, func(o config.Setting) bool { return o.Name == s.Name })
		switch {
		case before < 0 || r.settings[before].Value == s.Value:
		case slices.Contains(reloadable, s.Name):
			change.Settings = append(change.Settings, s.Name)
		default:
			r.log.Warn("a setting has changed that takes effect at the next start", "setting", s.Name, "from", s.From)
			settings[i].Value = r.settings[before].Value
		}
	}
	r.settings = settings
	r.level.Set(g.level.Level())
	return change, nil
}
