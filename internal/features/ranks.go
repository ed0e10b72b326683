package features

import "github.com/maypok86/otter/v2"

// Ranks remembers how ambiguous regular expressions are: those of a file that many patches change are the same each time,
// and to search one takes longer than all else. nil remembers nothing. It may be used by many at once.
type Ranks struct {
	kept *otter.Cache[ranked, float64]
}

// ranked is all that a rank hangs on.
type ranked struct {
	pattern, flags string
	search         search
}

// NewRanks remembers at most so many expressions, each no longer than are searched (see search).
func NewRanks(most int) *Ranks {
	return &Ranks{otter.Must(&otter.Options[ranked, float64]{MaximumSize: most})}
}

func (r *Ranks) of(e expression, s search) float64 {
	if r == nil || len(e.pattern) > s.length {
		return e.rank(s)
	}
	s.patterns = 0 // how many are searched says nothing about one
	key := ranked{e.pattern, e.flags, s}
	rank, known := r.kept.GetIfPresent(key)
	if !known {
		rank = e.rank(s)
		r.kept.Set(key, rank)
	}
	return rank
}
