package corpus

// operatorsOf lists the operators in the order of their turns. The first two come before the others because what they
// show, the fix and its minimal part, is what the others are made from.
func operatorsOf(o Options) []operator {
	return []operator{
		{"official", 2, official},
		{"ddmin", mostTests, minimise},
		{"handwritten", 8, list(handwritten(o.Handwritten))},
		{"dropped_hunk", 1, list(dropped)},
		{"one_of", 1, list(oneOf)},
		{"adjacent", 1, adjacent},
		{"other_vulnerability", 2, others(o.Library)},
	}
}
