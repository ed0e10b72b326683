package corpus

import (
	"context"
	"iter"
	"maps"
	"slices"

	"crisol"
	"crisol/internal/diff"
)

// proposal is a candidate before it was tried.
type proposal struct {
	after  sources // the touched files, as the patch leaves them
	parent string
	note   string
}

// patch is the proposal as a patch to the subject's target.
func (p proposal) patch(x *subject) *diff.Patch {
	before := map[string]string{}
	for name := range p.after {
		if text, ok := x.base[name]; ok {
			before[name] = text
		}
	}
	return diff.Between(before, p.after)
}

// verdicts answers what came of a proposal that was made before; "" where nothing did.
type verdicts func(proposal) crisol.Verdict

// operator is a way to make candidates. What it proposes is pulled one at a time, so that it may ask what came of what it
// proposed before. It is a function of the subject and those verdicts alone.
type operator struct {
	name string
	// turns is how many candidates it may make each time that its turn comes.
	turns int
	// edits is set for an operator that edits what came out fixed: its turns begin when something did.
	edits   bool
	propose func(context.Context, *subject, verdicts) iter.Seq[proposal]
}

// list makes an operator's function of one that lists everything at once.
func list(all func(*subject) []proposal) func(context.Context, *subject, verdicts) iter.Seq[proposal] {
	return func(_ context.Context, x *subject, _ verdicts) iter.Seq[proposal] {
		return func(yield func(proposal) bool) { // listed when first pulled: what is known by then may matter
			for _, p := range all(x) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// overlay returns the files of a state with others laid over them.
func overlay(under, over sources) sources {
	out := maps.Clone(under)
	if out == nil {
		out = sources{}
	}
	maps.Copy(out, over)
	return out
}

// names lists the paths of a state, sorted.
func (s sources) names() []string { return slices.Sorted(maps.Keys(s)) }
