package wargame

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// Touched says what a candidate makes of the target's files, sorted by path, without running anything. The target is
// prepared if need be. A patch that doesn't apply is refused here as it would be in a trial.
func (a *Arena) Touched(ctx context.Context, s *scenario.Scenario, c Candidate) ([]diff.Touched, error) {
	want, err := s.Spec()
	if err != nil {
		return nil, err
	}
	tree, err := a.Targets.Prepare(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("prepare the target: %w", err)
	}
	defer a.Targets.Release(tree)
	other, ok, err := c.other(s)
	if err != nil {
		return nil, err
	}
	if ok {
		replacement, err := a.Targets.Prepare(ctx, other)
		if err != nil {
			return nil, fmt.Errorf("prepare %s: %w", other.Package, err)
		}
		defer a.Targets.Release(replacement)
		c = Candidate{Tree: os.DirFS(own(replacement))}
	}
	changes, _, err := c.changes(s, tree)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(own(tree))
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "open the target's tree: %w", err)
	}
	defer func() { _ = root.Close() }()
	files := make([]diff.Touched, 0, len(changes.Files))
	for _, change := range changes.Files {
		file := diff.Touched{Path: change.Path}
		if !change.Deleted {
			file.After = change.Content
		}
		if before, err := root.ReadFile(filepath.FromSlash(change.Path)); err == nil {
			file.Before = before
		} else if !os.IsNotExist(err) {
			return nil, crisol.Errorf(crisol.KindInfrastructure, "read the target's %s: %w", change.Path, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// own is where the target's own tree lies on the host.
func own(tree target.Tree) string { return filepath.Join(tree.Dir, filepath.FromSlash(tree.Root)) }
