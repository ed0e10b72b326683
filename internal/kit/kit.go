// Package kit holds the helper libraries that are laid beside the inputs of a scenario, one for each language: what an
// exploit, a benign input and Crisol have to say to each other, so that no script has to invent it.
//
// In goes the name of a kit; out come its files, as they lie at /work in the sandbox. The package runs nothing.
package kit

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"crisol"
)

// The prefix "all:" keeps files whose name begins with a dot or an underscore.
//
//go:embed all:node python go java rust
var files embed.FS

var names = []string{"go", "java", "node", "python", "rust"}

// Names lists the kits, sorted.
func Names() []string { return slices.Clone(names) }

// Files returns what the named kit lays at /work: paths are relative to it.
func Files(name string) (fs.FS, error) {
	if !slices.Contains(names, name) {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "there is no kit %q", name), "choose one of %s", strings.Join(names, ", "))
	}
	return fs.Sub(files, name)
}
