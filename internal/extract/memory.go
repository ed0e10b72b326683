package extract

import (
	"crisol/internal/features"
	"crisol/internal/predict"
	"crisol/internal/syntax"
)

// Memory keeps what many candidates have in common: the trees of the files that they change, and what their regular
// expressions are like. It changes no number. The zero value keeps nothing.
type Memory struct {
	Parser *syntax.Parser
	ranks  *features.Ranks
}

// The bounds of a Memory: trees of a hundred files and more, and expressions of a few megabytes.
const (
	treeRoom  = 64 << 20
	mostRanks = 4096
)

// NewMemory makes a memory with room.
func NewMemory() Memory { return Memory{syntax.NewParser(treeRoom), features.NewRanks(mostRanks)} }

// Features computes what a model reads.
func (m Memory) Features(in features.Input) predict.Features {
	in.Parser, in.Ranks = m.Parser, m.ranks
	return Features(in)
}
