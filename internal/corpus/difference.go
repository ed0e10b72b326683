package corpus

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"deps.dev/util/semver"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// official proposes the fix: reduced to what is loaded, and, where that doesn't come out fixed, all of its source.
func official(ctx context.Context, x *subject, got verdicts) iter.Seq[proposal] {
	return func(yield func(proposal) bool) {
		if len(x.fix) == 0 {
			return
		}
		p := proposal{after: x.fix, parent: "reference"}
		if !yield(p) || got(p) == crisol.Fixed || x.loads == nil {
			return
		}
		fixed, err := x.state(ctx, x.Target.Reference, "reference")
		if err != nil {
			return
		}
		whole := proposal{after: x.changed(fixed, nil), parent: "reference", note: "all source files"}
		if yield(whole) && got(whole) == crisol.Fixed {
			x.fix = whole.after
		}
	}
}

// mostTests bounds the trials by which the minimal part of a fix is looked for.
const mostTests = 12

// minimise looks for a part of the fix that still comes out fixed and of which nothing can be left out, by delta
// debugging (Zeller and Hildebrandt, IEEE Trans. Software Eng. 28(2), 2002), and proposes every part that it has to try.
func minimise(_ context.Context, x *subject, got verdicts) iter.Seq[proposal] {
	return func(yield func(proposal) bool) {
		edits := editsBetween(x.base, x.fix)
		if len(edits) < 2 || got(proposal{after: x.fix}) != crisol.Fixed {
			return
		}
		whole := x.id(x.fix)
		left := mostTests
		try := func(part []edit) (fixed, goOn bool) {
			if left--; left < 0 {
				return false, false
			}
			p := proposal{after: apply(x.base, part), parent: whole, note: fmt.Sprintf("%d of %d edits", len(part), len(edits))}
			if !yield(p) {
				return false, false
			}
			if got(p) == crisol.Fixed {
				x.reduced = p.after // each that is fixed is smaller than those before
				return true, true
			}
			return false, true
		}
		deltaDebug(edits, try)
	}
}

// deltaDebug is ddmin: it tries ever smaller parts of what was fixed, and returns the least. try's second result ends the
// search.
func deltaDebug(edits []edit, try func([]edit) (fixed, goOn bool)) []edit {
	for n := 2; len(edits) >= 2; {
		smaller, reduced := []edit(nil), false
		parts := split(edits, n)
		for i := 0; i < 2*len(parts) && !reduced; i++ {
			part := parts[i%len(parts)]
			if i >= len(parts) { // the complement
				if n == 2 {
					break // each is the other's complement
				}
				part = slices.Concat(slices.Delete(slices.Clone(parts), i-len(parts), i-len(parts)+1)...)
			}
			fixed, goOn := try(part)
			if !goOn {
				return edits
			}
			if fixed {
				if smaller, reduced = part, true; i < len(parts) {
					n = 2
				} else {
					n = max(n-1, 2)
				}
			}
		}
		switch {
		case reduced:
			edits = smaller
		case n >= len(edits):
			return edits
		default:
			n = min(2*n, len(edits))
		}
	}
	return edits
}

func split(edits []edit, n int) (parts [][]edit) {
	for i := range n {
		if from, to := i*len(edits)/n, (i+1)*len(edits)/n; from < to {
			parts = append(parts, edits[from:to])
		}
	}
	return parts
}

// dropped proposes the fix without one of its hunks, or edits where there is one hunk only.
func dropped(_ context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
	return func(yield func(proposal) bool) {
		bases := []sources{x.reduced}
		if len(x.reduced) == len(x.fix) {
			bases = append(bases, x.fix)
		}
		for _, base := range bases {
			whole, edits := x.id(base), editsBetween(x.base, base)
			for _, part := range x.parts(edits) {
				left := slices.DeleteFunc(slices.Clone(edits), func(e edit) bool {
					return slices.ContainsFunc(part, func(other edit) bool { return other.path == e.path && other.at == e.at })
				})
				if len(left) > 0 && !yield(proposal{after: apply(x.base, left), parent: whole, note: "without the change at " + part[0].place()}) {
					return
				}
			}
		}
	}
}

// parts are a fix's hunks, or its edits where there is one hunk only, in an order of the scenario's own.
func (x *subject) parts(edits []edit) (parts [][]edit) {
	if len(edits) == 0 {
		return nil
	}
	single := edits[0].hunk == edits[len(edits)-1].hunk
	for i, e := range edits {
		if i == 0 || single || e.hunk != edits[i-1].hunk {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], e)
	}
	x.shuffle("parts", len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts
}

// oneOf proposes the fix of one file only, and one hunk or edit only.
func oneOf(_ context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
	return func(yield func(proposal) bool) {
		edits, whole := editsBetween(x.base, x.fix), x.id(x.fix)
		for _, name := range x.fix.names() {
			own := slices.DeleteFunc(slices.Clone(edits), func(e edit) bool { return e.path != name })
			if len(own) < len(edits) && !yield(proposal{after: apply(x.base, own), parent: whole, note: "only " + name}) {
				return
			}
		}
		for _, part := range x.parts(edits) {
			if len(part) < len(edits) && !yield(proposal{after: apply(x.base, part), parent: whole, note: "only the change at " + part[0].place()}) {
				return
			}
		}
	}
}

// adjacent proposes what lies between published versions: the scenario's declared incomplete ones, those before the
// vulnerable one, those between it and the fix, the one after the fix, and what that one changes beyond the fix.
func adjacent(ctx context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
	return func(yield func(proposal) bool) {
		for i, f := range x.Target.Incomplete {
			if f.Package == "" {
				continue
			}
			state, err := x.state(ctx, f, fmt.Sprintf("incomplete-%d", i))
			if err == nil && !yield(proposal{after: x.essential(state), parent: f.Package}) {
				return
			}
		}
		reference, err := target.ParsePackage(x.Target.Reference.Package)
		if x.Target.Reference.Package == "" || err != nil {
			return
		}
		versions, err := x.targets.Versions(ctx, x.tree.Ecosystem, x.pkg)
		if err != nil {
			return // an ecosystem whose client lists none
		}
		for _, version := range neighbours(x.tree.Ecosystem, versions, x.version, reference.Version) {
			purl := strings.TrimSuffix(x.Target.Package, x.version) + version
			state, err := x.other(ctx, target.Spec{Package: purl, With: x.Target.With})
			if err != nil {
				continue
			}
			if !yield(proposal{after: x.essential(state), parent: purl}) {
				return
			}
		}
	}
}

// neighbours chooses versions around the vulnerable one and the fix, at most five.
func neighbours(ecosystem string, versions []string, vulnerable, fixed string) (chosen []string) {
	system, ok := map[string]semver.System{"npm": semver.NPM, "pypi": semver.PyPI, "golang": semver.Go}[ecosystem]
	if !ok {
		return nil
	}
	versions = slices.DeleteFunc(slices.Clone(versions), func(v string) bool {
		parsed, err := system.Parse(v)
		return err != nil || parsed.IsPrerelease()
	})
	slices.SortFunc(versions, system.Compare)
	at := func(v string) int { return slices.Index(versions, v) }
	v, f := at(vulnerable), at(fixed)
	if v < 0 {
		return nil
	}
	add := func(i int) {
		if i >= 0 && i < len(versions) && i != v && i != f && !slices.Contains(chosen, versions[i]) {
			chosen = append(chosen, versions[i])
		}
	}
	if f > v {
		add(f - 1)
	}
	add(v - 1)
	if f >= 0 {
		add(f + 1)
	}
	if f > v {
		add(v + 1)
	}
	add(v - 2)
	return chosen
}

// others proposes the official diffs of the package's other scenarios, so far as their hunks apply to this target: alone,
// and on top of what fixes this one.
func others(library []*scenario.Scenario) func(context.Context, *subject, verdicts) iter.Seq[proposal] {
	return func(ctx context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
		return func(yield func(proposal) bool) {
			for _, s := range library {
				if s.ID == x.ID || s.Target.Package == "" || purlName(s.Target.Package) != purlName(x.Target.Package) {
					continue
				}
				other, err := open(ctx, x.targets, s)
				if err != nil {
					continue
				}
				alone := transplant(x.base, other.base, other.fix)
				both := transplant(overlay(x.base, x.reduced), other.base, other.fix)
				other.release()
				if len(alone) > 0 && !yield(proposal{after: alone, parent: s.ID}) {
					return
				}
				if len(both) > 0 && !yield(proposal{after: overlay(x.reduced, both), parent: s.ID, note: "with this one's fix"}) {
					return
				}
			}
		}
	}
}

func purlName(purl string) string {
	p, err := target.ParsePackage(purl)
	if err != nil {
		return purl
	}
	return p.Ecosystem + "/" + p.Name
}

// transplant makes, on a state, those edits between two states of another version whose surroundings occur there once.
// It returns the files that they change.
func transplant(onto, before, after sources) sources {
	out := sources{}
	for _, name := range after.names() {
		text, ok := onto[name]
		if !ok {
			continue
		}
		was := strings.SplitAfter(before[name], "\n")
		for _, e := range slices.Backward(editsBetween(sources{name: before[name]}, sources{name: after[name]})) {
			from, to := max(0, e.at-3), min(len(was), e.at+e.removed+3)
			old := strings.Join(was[from:to], "")
			now := strings.Join(was[from:e.at], "") + strings.Join(e.added, "") + strings.Join(was[e.at+e.removed:to], "")
			if strings.Count(text, old) == 1 {
				text = strings.Replace(text, old, now, 1)
			}
		}
		if text != onto[name] {
			out[name] = text
		}
	}
	return out
}

// handwritten proposes the patches that people wrote: those that the scenario declares to be incomplete, its decoy, and
// those in a set of files SCENARIO/*.diff.
func handwritten(set fs.FS) func(*subject) []proposal {
	return func(x *subject) (list []proposal) {
		add := func(files fs.FS, name string) {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return
			}
			patch, err := diff.Parse(text, diff.Limits{})
			if err != nil {
				return
			}
			if state, err := x.patched(patch); err == nil {
				list = append(list, proposal{after: x.changed(state, nil), parent: path.Base(name)})
			}
		}
		if set != nil {
			names, _ := fs.Glob(set, x.ID+"/*.diff") // the pattern is well formed
			for _, name := range names {
				add(set, name)
			}
		}
		fixes := slices.Clone(x.Target.Incomplete)
		if x.Target.Decoy != nil {
			fixes = append(fixes, *x.Target.Decoy)
		}
		for _, f := range fixes {
			if f.Patch != "" {
				add(x.Files, f.Patch)
			}
		}
		return list
	}
}
