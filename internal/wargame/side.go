package wargame

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// side is one of the two trees of a trial, as layers.
type side struct {
	name crisol.Side
	// files is the scenario's own layer. It lies on top, so that nothing a patch or a build writes can take its place.
	files string
	// over lies between the scenario's files and the tree, the topmost first: build results, then the patch.
	over []string
	tree target.Tree
	// leased is set on the side that has to release the tree.
	leased bool
	// held keeps the side's other layers; sides that share layers share it.
	held []*os.File
}

// release gives the side's tree back to the cache, and its other layers.
func (a *Arena) release(s side) {
	if s.leased {
		a.Targets.Release(s.tree)
	}
	for _, f := range s.held {
		_ = f.Close() // of a shared one, the second time is in vain
	}
}

func (s side) layers() []string {
	layers := append([]string{s.files}, s.over...)
	return append(append(layers, s.tree.Dir), s.tree.Extra...)
}

// root is where the target's own tree lies inside the sandbox.
func (s side) root() string { return sandbox.WorkDir + "/" + s.tree.Root }

func (s side) env(extra []string) []string {
	env := append([]string{"TARGET=" + s.root()}, s.tree.Env...)
	return append(env, extra...)
}

// built are the places, beside the target's own tree, where a build may leave something for later runs. Whatever else it
// writes is dropped: a patched build must not plant files beside the scenario's.
var built = []string{"bin", "classes", ".cache"}

// buildLimits widen a scenario's limits for its build.
func buildLimits(l sandbox.Limits) sandbox.Limits {
	l.Wall, l.CPU = max(l.Wall, 5*time.Minute), max(l.CPU, 10*time.Minute)
	l.Memory, l.Disk = max(l.Memory, 3<<30), max(l.Disk, 2<<30)
	l.Processes = max(l.Processes, 512)
	return l
}

// buildResult is what a build left: its layers, the topmost first, and the check that tells of it.
type buildResult struct {
	layers []string
	check  crisol.Check
}

// build runs the scenario's build steps on a side and keeps what they wrote under dir.
func (a *Arena) build(ctx context.Context, s *scenario.Scenario, on side, dir string) (buildResult, error) {
	result := buildResult{check: crisol.Check{ID: "build", Side: on.name, Outcome: crisol.Passed}}
	for i, step := range s.Target.Build {
		keep := filepath.Join(dir, fmt.Sprintf("build-%d", i))
		stepSide := on
		stepSide.over = append(append([]string{}, result.layers...), on.over...)
		run, err := a.step(ctx, s, stepSide, step, keep)
		result.check.Runs = append(result.check.Runs, run)
		if err != nil {
			return result, err
		}
		if run.Exit != 0 || run.TimedOut || run.Note != "" {
			result.check.Outcome = crisol.Failed
			result.check.Oracle = fmt.Sprintf("step %d (%s) ended with exit %d %s", i+1, strings.Join(step.Run, " "), run.Exit, run.Note)
			return result, nil
		}
		if err := keepOnly(keep, append([]string{on.tree.Root}, built...)); err != nil {
			return result, crisol.Errorf(crisol.KindInfrastructure, "keep what the build wrote: %w", err)
		}
		result.layers = append([]string{keep}, result.layers...)
	}
	result.check.Oracle = fmt.Sprintf("%d steps ended with exit 0", len(s.Target.Build))
	return result, nil
}

func (a *Arena) step(ctx context.Context, s *scenario.Scenario, on side, step scenario.Step, keep string) (crisol.Run, error) {
	dir := step.Dir
	if dir == "" {
		dir = on.root()
	}
	command := sandbox.Command{
		Args: step.Run, Dir: dir, Env: on.env(nil), Layers: on.layers(), Keep: keep, Limits: buildLimits(limits(s)),
	}
	result, err := a.enter(ctx, command)
	if err != nil {
		return crisol.Run{Command: step.Run}, err
	}
	return a.record(step.Run, result), nil
}

// keepOnly removes from a layer everything but the given paths.
func keepOnly(dir string, allowed []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		var below []string
		whole := false
		for _, path := range allowed {
			first, rest, deeper := strings.Cut(path, "/")
			if first != entry.Name() {
				continue
			}
			if whole = whole || !deeper; deeper {
				below = append(below, rest)
			}
		}
		path := filepath.Join(dir, entry.Name())
		switch {
		case whole:
			continue
		case len(below) > 0 && entry.IsDir():
			err = keepOnly(path, below)
		default:
			err = os.RemoveAll(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vulnerable prepares the vulnerable side, built, from the caches where they have it. The second result is the layer of
// compiler caches that the patched build may start from.
func (a *Arena) vulnerable(ctx context.Context, s *scenario.Scenario) (side, []string, crisol.Check, error) {
	check := crisol.Check{ID: "build", Side: crisol.Vulnerable, Outcome: crisol.Skipped}
	want, err := s.Spec()
	if err != nil {
		return side{}, nil, check, err
	}
	tree, err := a.Targets.Prepare(ctx, want)
	if err != nil {
		return side{}, nil, check, fmt.Errorf("prepare the target: %w", err)
	}
	files, held, err := a.layer(s)
	if err != nil {
		a.Targets.Release(tree)
		return side{}, nil, check, err
	}
	on := side{name: crisol.Vulnerable, files: files, tree: tree, leased: true, held: []*os.File{held}}
	if len(s.Target.Build) == 0 {
		return on, nil, check, nil
	}
	built, err := a.builtVulnerable(ctx, s, on)
	if built.held != nil {
		on.held = append(on.held, built.held)
	}
	on.over = built.Layers
	return on, built.Caches, built.Check, err
}

// builtVulnerable returns what the scenario's build leaves on the vulnerable side, held, from the cache where it has it.
// A build that fails keeps nothing but the check that tells of it.
func (a *Arena) builtVulnerable(ctx context.Context, s *scenario.Scenario, on side) (keptBuild, error) {
	dir := filepath.Join(a.Dir, "builds", a.key(s.Digest, on.tree.Digest))
	var known keptBuild
	fresh, failed := false, keptBuild{}
	held, err := a.settled(dir, func(temp string) (_ string, err error) {
		fresh = true
		if known, err = a.buildVulnerable(ctx, s, on, temp, dir); err == nil && known.Check.Outcome != crisol.Passed {
			failed, err = known, errBuild
		}
		return temp, err
	})
	switch {
	case errors.Is(err, errBuild):
		return failed, nil
	case err != nil:
		return keptBuild{Check: known.Check}, err
	case !fresh:
		if err := readBuild(dir, &known); err != nil {
			a.Log.Warn("a kept build is damaged; it is built again", "error", err)
			_ = held.Close()
			if removed, err := a.remove(dir); !removed {
				return keptBuild{}, crisol.Errorf(crisol.KindInfrastructure, "remove a damaged build, %s: %w", dir, cmp.Or(err, errInUse))
			}
			return a.builtVulnerable(ctx, s, on)
		}
		known.Check.Cached = &known.Taken
	}
	known.held = held
	return known, nil
}

var (
	errBuild = errors.New("the vulnerable side doesn't build") // ends the making of what is to be kept: there is nothing
	errInUse = errors.New("another trial uses it")
)

// keptBuild is the record of a vulnerable build; it lies beside the layers.
type keptBuild struct {
	Taken  time.Time
	Layers []string
	Caches []string
	Check  crisol.Check

	held *os.File
}

const buildRecord = "build.json"

func readBuild(dir string, into *keptBuild) error {
	body, err := os.ReadFile(filepath.Join(dir, buildRecord))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "read the kept build: %w", err)
	}
	return nil
}

// buildVulnerable builds in temp what will lie in final.
func (a *Arena) buildVulnerable(ctx context.Context, s *scenario.Scenario, on side, temp, final string) (keptBuild, error) {
	result, err := a.build(ctx, s, on, temp)
	if err != nil || result.check.Outcome != crisol.Passed {
		return keptBuild{Check: result.check}, err
	}
	kept := keptBuild{Taken: a.Now(), Check: result.check}
	for i, layer := range result.layers {
		kept.Layers = append(kept.Layers, filepath.Join(final, filepath.Base(layer)))
		if _, err := os.Stat(filepath.Join(layer, ".cache")); err != nil {
			continue
		}
		caches := filepath.Join(temp, fmt.Sprintf("cache-%d", i))
		if err := moveInto(filepath.Join(layer, ".cache"), caches); err != nil {
			return kept, crisol.Errorf(crisol.KindInfrastructure, "keep the compiler's cache: %w", err)
		}
		kept.Caches = append(kept.Caches, filepath.Join(final, filepath.Base(caches)))
	}
	record := kept
	record.Check.Runs = nil
	if err := writeJSON(filepath.Join(temp, buildRecord), record); err != nil {
		return kept, crisol.Errorf(crisol.KindInfrastructure, "keep the build: %w", err)
	}
	return kept, nil
}

// moveInto makes dir, owned like every layer, and moves path into it.
func moveInto(path, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(dir, filepath.Base(path))); err != nil {
		return err
	}
	return sandbox.Own(dir)
}

func limits(s *scenario.Scenario) sandbox.Limits {
	l := sandbox.Limits{
		Wall: s.Limits.Timeout, CPU: s.Limits.Timeout, Memory: s.Limits.Memory,
		Processes: s.Limits.Processes, Disk: s.Limits.Disk,
	}
	return l.Or(sandbox.DefaultLimits)
}
