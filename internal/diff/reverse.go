package diff

import (
	"slices"

	"crisol"
)

// Reverse returns the patch that undoes this one. A copy can't be undone: the patch does not hold the copied content.
func (p *Patch) Reverse() (*Patch, error) {
	back := &Patch{limits: p.limits}
	// The last change of a path is undone first.
	for _, f := range slices.Backward(p.Files) {
		r := File{Old: f.New, New: f.Old, OldMode: f.Mode, Mode: f.OldMode, Hunks: reverseHunks(f.Hunks)}
		switch f.Op {
		case Create:
			r.Op = Delete
		case Delete:
			r.Op = Create
		case Modify, Rename:
			r.Op = f.Op
		case Copy:
			return nil, crisol.Errorf(crisol.KindInput, "reverse patch: %s is a copy, and the patch does not hold its content", f.New)
		}
		back.Files = append(back.Files, r)
	}
	return back, nil
}

func reverseHunks(hunks []Hunk) []Hunk {
	var out []Hunk
	delta := 0
	for _, h := range hunks {
		out = append(out, reverseHunk(h, delta))
		old, now := h.counts()
		delta += now - old
	}
	return out
}

func reverseHunk(h Hunk, delta int) Hunk {
	r := Hunk{OldStart: h.newStart(delta), Lines: slices.Clone(h.Lines)}
	for i, l := range r.Lines {
		switch l.Op {
		case '+':
			r.Lines[i].Op = '-'
		case '-':
			r.Lines[i].Op = '+'
		}
	}
	r.Lines = ordered(r.Lines)
	return r
}

// ReverseHunk returns a patch for the tree after p that undoes only one hunk, both counted from 0. The hunk of a file
// that is created or deleted is undone with the file; a mode or a rename stays.
func (p *Patch) ReverseHunk(file, hunk int) (*Patch, error) {
	if err := p.checkHunk(file, hunk); err != nil {
		return nil, err
	}
	f := p.Files[file]
	if f.Op == Create || f.Op == Delete {
		one := &Patch{Files: []File{f}, limits: p.limits}
		return one.Reverse()
	}
	r := File{Old: f.New, New: f.New, Op: Modify, Hunks: reverseHunks(f.Hunks)[hunk : hunk+1]}
	trimCR(r.Hunks)
	return &Patch{Files: []File{r}, limits: p.limits}, nil
}

// WithoutHunk returns p without one hunk, both counted from 0, for the same tree as p. A file of which no change is left
// is left out; so the Patch may have no Files, and then changes nothing.
func (p *Patch) WithoutHunk(file, hunk int) (*Patch, error) {
	if err := p.checkHunk(file, hunk); err != nil {
		return nil, err
	}
	out := &Patch{Files: slices.Clone(p.Files), limits: p.limits}
	f := &out.Files[file]
	f.Hunks = slices.Delete(slices.Clone(f.Hunks), hunk, hunk+1)
	if f.Op != Create && f.Op != Delete {
		for i, h := range f.Hunks {
			f.Hunks[i].Lines = slices.Clone(h.Lines)
		}
		trimCR(f.Hunks)
	}
	if len(f.Hunks) == 0 && (f.Op == Create || f.Op == Delete || (f.Op == Modify && f.Mode == 0)) {
		out.Files = slices.Delete(out.Files, file, file+1)
	}
	return out, nil
}

func (p *Patch) checkHunk(file, hunk int) error {
	if file < 0 || file >= len(p.Files) || hunk < 0 || hunk >= len(p.Files[file].Hunks) {
		return crisol.Errorf(crisol.KindInput, "hunk %d of file %d: the patch has none such", hunk, file)
	}
	return nil
}

// Without returns p without the files that drop holds for, and their paths, sorted. A rename is dropped when drop holds
// for either of its paths, since it takes one file away and puts another in place. The Patch that is kept may have no
// Files, and then changes nothing.
func (p *Patch) Without(drop func(path string) bool) (kept *Patch, dropped []string) {
	kept = &Patch{limits: p.limits}
	for _, f := range p.Files {
		if drop(f.Path()) || (f.Op == Rename && drop(f.Old)) {
			dropped = append(dropped, f.Path())
			continue
		}
		kept.Files = append(kept.Files, f)
	}
	slices.Sort(dropped)
	return kept, slices.Compact(dropped)
}
