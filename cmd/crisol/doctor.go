package main

import (
	"fmt"
	"io"
	"os/exec"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/sandbox/runtimes"
)

func newDoctor(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this machine can run, and what to install", Args: exactly(0, "no argument"),
		Long: `Try every sandbox runtime, say by which means each limit is enforced here, and look for the language runtimes and
package clients that scenarios need, and tell how large the cache is. Exit 0 when at least one sandbox works, else 4.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return diagnose(cmd, g, cmd.OutOrStdout()) },
	}
}

func diagnose(cmd *cobra.Command, g *global, out io.Writer) error {
	usable := 0
	var b strings.Builder
	b.WriteString("sandbox runtimes\n")
	findings, err := runtimes.Survey(cmd.Context(), runtimes.Options{})
	if err != nil {
		return err
	}
	for _, found := range findings {
		if found.Err != nil {
			fmt.Fprintf(&b, "  x %-6s %v\n", found.Name, found.Err)
			if hint := crisol.HintOf(found.Err); hint != "" {
				fmt.Fprintf(&b, "           %s\n", hint)
			}
			continue
		}
		usable++
		fmt.Fprintf(&b, "  + %-6s %s; view by %s\n", found.Name, found.Report.Version, found.Report.View)
		limits := make([]string, 0, len(found.Report.Enforced))
		for limit := range found.Report.Enforced {
			limits = append(limits, limit)
		}
		sort.Strings(limits)
		for _, limit := range limits {
			means := found.Report.Enforced[limit]
			if means == "" {
				means = "NOT ENFORCED on this machine"
			}
			fmt.Fprintf(&b, "           %-10s %s\n", limit, means)
		}
		for _, note := range found.Report.Notes {
			fmt.Fprintf(&b, "           %s\n", note)
		}
	}
	b.WriteString("language runtimes and package clients\n")
	for _, tool := range tools {
		tool.look(&b)
	}
	if err := cache(&b, g); err != nil {
		return err
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "print: %w", err)
	}
	if usable == 0 {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "no sandbox runtime works here"), "apt-get install bubblewrap")
	}
	return nil
}

// cache tells what is kept below the data directory.
func cache(b *strings.Builder, g *global) error {
	var err error
	if g.config.CacheBytes, err = cacheSize(g.cacheSize); err != nil {
		return err
	}
	used, data, err := app.Used(g.config)
	if err != nil {
		return err
	}
	bound := "no bound"
	if used.MaxBytes > 0 {
		bound = "at most " + spoken(used.MaxBytes)
	}
	t := used.Targets
	fmt.Fprintf(b, "cache\n  + %s: %s, %s\n", data, spoken(used.Bytes()), bound)
	fmt.Fprintf(b, "           targets    %s in %d trees, of which %d are in use\n", spoken(t.TreeBytes), t.Trees, t.InUse)
	fmt.Fprintf(b, "           downloads  %s\n           builds     %s, with records\n", spoken(t.ClientBytes), spoken(used.Kept))
	return nil
}

// tool is a program that some scenarios need.
type tool struct{ name, needed, install string }

var tools = []tool{
	{"node", "npm scenarios and web applications", "install Node.js 20 or later"},
	{"npm", "fetching npm packages", "install npm 10 or later"},
	{"python3", "PyPI scenarios and web applications", "apt-get install python3"},
	{"pip", "fetching PyPI packages", "apt-get install python3-pip"},
	{"go", "Go scenarios", "install Go 1.26 or later"},
	{"java", "Maven scenarios", "apt-get install openjdk-17-jdk-headless"},
	{"mvn", "fetching Maven artifacts", "apt-get install maven"},
	{"cargo", "crates", "install Rust with cargo"},
	{"gcc", "C and C++ scenarios under AddressSanitizer", "apt-get install gcc libc6-dev"},
}

func (t tool) look(b *strings.Builder) {
	path, err := exec.LookPath(t.name)
	if err != nil {
		fmt.Fprintf(b, "  x %-8s missing; needed for %s: %s\n", t.name, t.needed, t.install)
		return
	}
	fmt.Fprintf(b, "  + %-8s %s\n", t.name, path)
}
