// Package ambiguity finds what makes a backtracking regular expression slow, and says it as texts.
//
// What enters: an expression as JavaScript or Python write it, or a source that holds some. What happens: the
// expression becomes an automaton of positions; a word that leads from one state back to itself in two ways makes a
// backtracking matcher take exponential time (EDA), a word that loops at one state, leads to another and loops there too
// makes it take polynomial time (IDA). The attempt of an unanchored search at every place of the text is such a loop
// as well. See Weideman, van der Merwe, Berglund, Watson, "Analyzing Matching Time Behavior of Backtracking Regular
// Expression Matchers by Using Ambiguity of NFA" (CIAA 2016), and Weber and Seidl, "On the degree of ambiguity of finite
// automata" (1991). What leaves: families of texts, each a prefix, a pump and a suffix, and only those for which the
// package's own backtracking matcher was seen to take more and more steps; the automaton alone is too generous, as it
// knows nothing of lookaround, backreferences and the order of attempts.
//
// The package reads no file, starts nothing and knows no clock: its limits count work, so the same question gets the
// same answer on every machine. It refuses to know what a family is used for.
package ambiguity
