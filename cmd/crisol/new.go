package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/advisory"
	"crisol/internal/app"
	"crisol/internal/scenario"
	"crisol/internal/show"
)

// newFlags are the flags of scenario new.
type newFlags struct {
	scenario.NewOptions
	from, records string
}

func scenarioNew(g *global) *cobra.Command {
	var f newFlags
	cmd := &cobra.Command{
		Use: "new FOLDER", Short: "Start a scenario of your own", Args: exactly(1, "FOLDER"),
		Long: `Write a commented scenario to a folder that doesn't exist yet. It loads as it is; the exploit is yours to write.

--from takes a security advisory, an OSV record as a file or by its identifier among --records, and fills in what it
says: names, class and severity, the highest version that is affected, the one that fixes it, and a sketch of an exploit
of its class. What the record leaves open is asked of the package's registry, or of you.`,
		Example: `  crisol scenario new my-scenario --kind npm
  crisol scenario new my-scenario --package pkg:npm/minimist@1.0.0 --reference pkg:npm/minimist@1.2.2
  crisol scenario new my-scenario --from GHSA-c4w7-xm78-47vh.json
  crisol scenario new my-scenario --from GHSA-29mw-wpgm-hmr9 --records advisory-database --package lodash`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, g, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Kind, "kind", "", "npm, pypi, golang, maven or dir (default: follows from --package, else npm)")
	flags.StringVar(&f.Package, "package", "", "purl of the vulnerable version; with --from the name of one of several packages will do")
	flags.StringVar(&f.Reference, "reference", "", "purl of the version that fixes it")
	flags.StringVar(&f.Type, "type", "", "class of the weakness, such as path_traversal, of which the exploit begins as a sketch")
	flags.StringVar(&f.from, "from", "", "advisory to begin with: the file of an OSV record, or an identifier among --records")
	flags.StringVar(&f.records, "records", "", "directory of OSV records, at whatever depth, for --from GHSA-...")
	cmd.MarkFlagsMutuallyExclusive("from", "kind")
	return cmd
}

func (f newFlags) run(cmd *cobra.Command, g *global, folder string) error {
	id, begin := filepath.Base(folder), f.NewOptions
	if f.from != "" {
		var err error
		if id, begin, err = f.advisory(cmd, g); err != nil {
			return err
		}
	} else if f.records != "" {
		return crisol.Errorf(crisol.KindInput, "--records is where --from looks: it needs --from")
	}
	if err := scenario.New(folder, id, begin); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is ready: write the exploit, then run crisol scenario test %s\n", folder, folder)
	return err
}

// advisory reads the advisory and makes the choices that it leaves.
func (f newFlags) advisory(cmd *cobra.Command, g *global) (string, scenario.NewOptions, error) {
	record, err := f.record()
	if err != nil {
		return "", scenario.NewOptions{}, err
	}
	progress := show.NewProgress(cmd.ErrOrStderr(), true)
	defer progress.Close()
	g.config.Progress = progress.Say
	id, begin, err := record.Start(cmd.Context(), advisory.Options{Package: f.Package, Reference: f.Reference, Versions: g.versions})
	if f.Type != "" {
		begin.Type = f.Type
	}
	return id, begin, err
}

func (f newFlags) record() (*advisory.Record, error) {
	switch {
	case !advisory.IsID(f.from):
		return advisory.Read(f.from)
	case f.records == "":
		err := crisol.Errorf(crisol.KindInput, "--from %s is an identifier, and no records are named", f.from)
		return nil, crisol.WithHint(err, "name the file of its record, or a directory of records with --records")
	}
	return advisory.Find(f.records, f.from)
}

// versions asks the registry of an ecosystem.
func (g *global) versions(ctx context.Context, ecosystem, name string) (list []string, err error) {
	targets, err := app.OpenTargets(g.config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := targets.Close(); err == nil {
			err = closed
		}
	}()
	return targets.Versions(ctx, ecosystem, strings.TrimSpace(name))
}
