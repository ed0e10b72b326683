package certify

import (
	"math"
	"slices"

	"crisol"
	"crisol/internal/random"
)

// Certify finds, for each side, the threshold that lets the model decide most while the risk is certified, by
// Learn-then-Test (Angelopoulos, Bates, Candes, Jordan, Lei, arXiv 2110.01052).
//
// The risk of the side `fixed` at threshold t is R(t) = P(not fixed | score >= t), that of `not fixed` is
// P(fixed | score <= t), for a random patch of a random vulnerability group that was never seen: it is the selective risk
// of Geifman and El-Yaniv (NeurIPS 2017), the risk given that the model decides.
//
// One patch a group. Patches of one vulnerability fail together, so 200 patches of four vulnerabilities say little more
// than four do. A binomial test over all of them takes them for independent and certifies far too much; hence one random
// patch is drawn from every group, and those are independent because groups are.
//
// One test. Given that n drawn patches are above a threshold, they are independent draws from the patches above it, so
// the number of errors among them is binomial with rate R(t), whatever n came out as. Tail(errors, n, alpha) is therefore
// an exact p-value of "R(t) > alpha", for any distribution and any model.
//
// Many tests, in a fixed sequence. The thresholds are the scores at ranks of the drawn patches that depend on the plan and
// the number of groups alone: at rank Least(e) the test allows e errors, for e = 0, 1, 2 and so on, from the most
// conservative on, beginning where a tenth of the groups is decided. They end at 1/2, where the other side begins. Tests
// go on until the first that fails; the last that passed is certified. A threshold is the score of the patch at the next
// rank, excluded: given that score, the patches above it are again independent draws.
//
// Why the first error has a probability of at most the level. Let tau be where R rises above alpha as the threshold falls.
// Of the N patches above tau, Binomial(N, alpha) err. The first threshold below tau that can be tested is known from N;
// the patches between it and tau err at a rate of at least alpha, or R would not be above alpha there. So the errors there
// are at least as many as Binomial(n, alpha) gives, given N, and the test passes with a probability of at most its level.
// This takes R to cross alpha once. If it falls below alpha and rises again, each further crossing may add as much again.
//
// Several draws. If R crosses alpha once and the median draw's threshold is below tau, at least half of the draws passed a
// test in error; by Markov's inequality that has at most twice the probability of one doing so (Rueger 1978; Vovk, Wang,
// Biometrika 107, 2020, arXiv 1212.4966). So each draw is tested at half the level.
//
// What it doesn't cover: vulnerabilities or patches of another kind than the labelled ones, labels that are wrong, and
// scores of models that saw the group. Scores from out-of-fold models stand for the model that ships, which has learnt
// from all folds; the guarantee is for a model of their kind.
func Certify(cases []Case, plan Plan) (Certificates, error) {
	plan, err := plan.withDefaults()
	if err != nil {
		return Certificates{}, err
	}
	for i, c := range cases {
		if !(c.Score >= 0 && c.Score <= 1) {
			return Certificates{}, crisol.Errorf(crisol.KindInput, "certify: case %d has score %g, want a probability", i, c.Score)
		}
	}
	groups := gather(cases)
	fixed, notFixed := make([]Certificate, plan.Draws), make([]Certificate, plan.Draws)
	for n := range plan.Draws {
		drawn := draw(groups, random.New(plan.Seed, uint64(n)))
		fixed[n] = certifySide(Fixed, drawn, plan)
		notFixed[n] = certifySide(NotFixed, drawn, plan)
	}
	return Certificates{Fixed: median(fixed), NotFixed: median(notFixed)}, nil
}

// gather puts the cases of each group together, the groups in ascending order.
func gather(cases []Case) [][]Case {
	index := map[int]int{}
	var names []int
	for _, c := range cases {
		if _, known := index[c.Group]; !known {
			index[c.Group] = 0
			names = append(names, c.Group)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		index[name] = i
	}
	groups := make([][]Case, len(names))
	for _, c := range cases {
		groups[index[c.Group]] = append(groups[index[c.Group]], c)
	}
	return groups
}

func draw(groups [][]Case, r *random.Stream) []Case {
	drawn := make([]Case, len(groups))
	for i, g := range groups {
		drawn[i] = g[r.IntN(len(g))]
	}
	return drawn
}

// candidate is a drawn patch as one side sees it: the higher the key, the surer the side.
type candidate struct {
	key   float64
	wrong bool
}

// onSide returns the candidates that the side may decide at all, the surest first.
func onSide(side Side, drawn []Case) []candidate {
	var list []candidate
	for _, c := range drawn {
		switch {
		case side == Fixed && c.Score >= 0.5:
			list = append(list, candidate{c.Score, !c.Fixed})
		case side == NotFixed && c.Score < 0.5:
			list = append(list, candidate{-c.Score, c.Fixed})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		switch {
		case a.key > b.key:
			return -1
		case a.key < b.key:
			return 1
		}
		return 0
	})
	return list
}

// certifySide runs the fixed sequence of one side on one draw.
func certifySide(side Side, drawn []Case, plan Plan) Certificate {
	level := plan.level()
	c := Certificate{Side: side, Abstains: true, Alpha: plan.Alpha, Delta: plan.Delta, Groups: len(drawn), Draws: plan.Draws, Seed: plan.Seed}
	list := onSide(side, drawn)
	for allowed, last := 0, 0; last < len(list); allowed++ {
		rank := Least(allowed, plan.Alpha, level)
		if rank < len(drawn)/10 && rank < len(list) {
			continue
		}
		n, threshold := cut(side, list, rank)
		if n < len(list) && (n <= last || Tail(0, n, plan.Alpha) > level) {
			continue // ties: no more patches are above this threshold than above the one before, or too few to pass
		}
		last = max(n, last)
		errors := 0
		for _, candidate := range list[:n] {
			if candidate.wrong {
				errors++
			}
		}
		if Tail(errors, n, plan.Alpha) > level {
			if c.Abstains {
				c.Decided, c.Errors = n, errors
			}
			break
		}
		c.Abstains, c.Decided, c.Errors, c.Threshold = false, n, errors, threshold
	}
	// Where so many errors are unlikely at alpha itself, the model is to blame and not the number of labels.
	if c.Abstains && 1-Tail(c.Errors-1, c.Decided, plan.Alpha) > level {
		c.Needed = Least(c.Errors, plan.Alpha, level) - c.Decided
	}
	c.Upper = Upper(c.Errors, c.Decided, level)
	c.Reason = c.reason(level)
	return c
}

// cut returns how many candidates are above the score at the next rank, and the least score above it. Where the ranks run
// out, all candidates are, and the threshold is the side's end.
func cut(side Side, list []candidate, rank int) (n int, threshold float64) {
	if rank >= len(list) {
		if side == Fixed {
			return len(list), 0.5
		}
		return len(list), math.Nextafter(0.5, 0)
	}
	bound := list[rank].key
	for n = rank; n > 0 && list[n-1].key == bound; n-- {
	}
	return n, math.Abs(math.Nextafter(bound, math.Inf(1)))
}

// median returns the certificate that at least half of the draws support: it, or one that decides more.
func median(certificates []Certificate) Certificate {
	sure := func(c Certificate) float64 { // how sure a score must be
		switch {
		case c.Abstains:
			return 2
		case c.Side == Fixed:
			return c.Threshold
		default:
			return 1 - c.Threshold
		}
	}
	slices.SortStableFunc(certificates, func(a, b Certificate) int {
		switch x, y := sure(a), sure(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return certificates[(len(certificates)-1)/2]
}
