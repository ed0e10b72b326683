package main

import (
	"fmt"
	"io"
	"os/exec"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/sandbox/runtimes"
)

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this machine can run, and what to install", Args: exactly(0, "no argument"),
		Long: `Try every sandbox runtime, say by which means each limit is enforced here, and look for the language runtimes and
package clients that scenarios need. Exit 0 when at least one sandbox works, else 4.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return diagnose(cmd, cmd.OutOrStdout()) },
	}
}

func diagnose(cmd *cobra.Command, out io.Writer) error {
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
	if _, err := io.WriteString(out, b.String()); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "print: %w", err)
	}
	if usable == 0 {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "no sandbox runtime works here"), "apt-get install bubblewrap")
	}
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
	{"cargo", "fetching crates, and building them", "install Rust with cargo"},
	{"rustc", "crates scenarios", "install Rust with cargo"},
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
