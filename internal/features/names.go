package features

// Version names the meaning of the vector. It changes whenever a number's meaning does: a model serves only vectors of
// the version that it learnt from.
const Version = "f6"

// Feature is one number of a vector.
type Feature struct {
	Name string
	// Doc says what the number is, in one line.
	Doc string
	// Source is true for a number that needs the source of the touched files: it is NaN when only the patch is at hand.
	Source bool
}

// The places of the features in a vector.
const (
	classPollution = iota
	classRedos
	classCommand
	classPath
	classMarkup
	classQuery
	classCode
	classMemory
	classExchange
	severity
	ecosystemNPM

	languageScript
	languagePython
	languageNative
	errorsAdded

	fileCount
	hunkCount
	linesAdded
	linesRemoved
	tokensAdded
	tokensRemoved
	churn
	movedShare
	remarkShare
	logShare
	functionsTouched
	functionsAdded
	conditionsAdded
	conditionsChanged
	callsAdded
	callsRemoved
	exitsAdded
	assignmentsAdded
	stringsAdded
	numbersChanged
	operatorsChanged
	complexityBefore
	complexityDelta
	nestingDelta
	sizeRatio
	emptied

	unconditionalExit
	swallowed
	sinksRemoved

	guardsNew
	guardsRight
	guardsWrong
	guardContradiction
	guardCovers
	sinkShareNew
	sinkShareAny
	guardIdle
	guardLate
	guardOther
	guardLiteral
	guardDeny
	guardAllow
	sinksBefore
	sinksAfter
	sinksTouchedShare
	sinkScopeShare
	sinkRepeats
	wrapsSink
	reassigns
	transformLate
	resultUnused
	inverted

	pollutionNames
	pollutionNamesPresent
	pollutionOwn
	pollutionNullObject

	regexBefore
	regexAfter
	regexRemaining
	regexDrop
	regexRemoved
	regexAgreement
	regexAnchored
	regexGlobal
	regexIgnoreCase
	replaceOnce

	commandVector
	commandShell
	commandOption

	pathResolve
	pathPrefix
	pathSeparator
	pathDots

	escapeCalls
	queryParameters
	safeInterface
	unsafeRemoved
	hostCheck

	boundsCheck
	relationChanged
	sizeChange
	nullAfterFree

	textNames
	textMatch

	typeChecks
	limitsAdded
	limitValue
	filterShare
	filterHarm
	undefinedNames
	unusedNames
	unknownImports
	alarms
	idleNames
	guardsBroad
	throwsAdded
	probeStops
	probeLists
	probeHarm
	probeApart
	probeAmiss
	probeShare

	count // how many there are
)

// Names are the names of the features, in the order of a Vector.
func Names() []string {
	out := make([]string, count)
	for i, f := range table {
		out[i] = f.Name
	}
	return out
}

// All describes the features, in the order of a Vector.
func All() []Feature { return append([]Feature(nil), table[:]...) }

var table = [count]Feature{
	classPollution: {"class_pollution", "1 if the weakness is prototype pollution (CWE-1321, CWE-915)", false},
	classRedos:     {"class_redos", "1 if it is a slow regular expression or another drain on resources (CWE-1333, CWE-400)", false},
	classCommand:   {"class_command", "1 if it is command or argument injection (CWE-77, CWE-78, CWE-88)", false},
	classPath:      {"class_path", "1 if it is path traversal or link following (CWE-22, CWE-59)", false},
	classMarkup:    {"class_markup", "1 if it is cross-site scripting (CWE-79)", false},
	classQuery:     {"class_query", "1 if it is injection into a query (CWE-89, CWE-943)", false},
	classCode:      {"class_code", "1 if it is code or template injection or unsafe deserialisation (CWE-94, CWE-95, CWE-502, CWE-1336)", false},
	classMemory:    {"class_memory", "1 if it is memory corruption or an arithmetic error that leads to it (CWE-119 to CWE-131, CWE-190, CWE-415, CWE-416, CWE-787)", false},
	classExchange:  {"class_exchange", "1 if it is XML entities, forged requests, open redirects or uploads (CWE-611, CWE-918, CWE-601, CWE-352, CWE-434)", false},
	severity:       {"severity", "0 unknown, 1 low, 2 medium, 3 high, 4 critical", false},
	ecosystemNPM:   {"ecosystem_npm", "1 for npm, 0 for any other", false},

	languageScript: {"language_script", "share of touched files in JavaScript or TypeScript", false},
	languagePython: {"language_python", "share of touched files in Python", false},
	languageNative: {"language_native", "share of touched files in C or C++", false},
	errorsAdded:    {"errors_added", "files with an error in the tree after the patch and none before", true},

	fileCount:         {"files", "touched source files", false},
	hunkCount:         {"hunks", "hunks in them", false},
	linesAdded:        {"lines_added", "added lines with a token on them", false},
	linesRemoved:      {"lines_removed", "removed lines with a token on them", false},
	tokensAdded:       {"tokens_added", "added tokens, by an alignment of each hunk's tokens: comments and white space are none", false},
	tokensRemoved:     {"tokens_removed", "removed tokens", false},
	churn:             {"churn", "added tokens as a share of added and removed ones", false},
	movedShare:        {"moved_share", "share of added tokens that were removed elsewhere in the patch", false},
	remarkShare:       {"remark_share", "share of changed lines that are blank, or comments throughout", false},
	logShare:          {"log_share", "share of added calls that write a log", false},
	functionsTouched:  {"functions_touched", "functions, and top levels of files, with a changed token", true},
	functionsAdded:    {"functions_added", "names of functions that are new in the touched files", true},
	conditionsAdded:   {"conditions_added", "conditions (if, ternary, loop) of which most tokens are added", true},
	conditionsChanged: {"conditions_changed", "conditions of which fewer tokens are added", true},
	callsAdded:        {"calls_added", "names that are called oftener after the patch, summed", false},
	callsRemoved:      {"calls_removed", "names that are called less often, summed", false},
	exitsAdded:        {"exits_added", "return, throw, raise, break and continue, added minus removed where positive", false},
	assignmentsAdded:  {"assignments_added", "assignments added", false},
	stringsAdded:      {"strings_added", "added strings that are nowhere removed", false},
	numbersChanged:    {"numbers_changed", "numbers, added and removed", false},
	operatorsChanged:  {"operators_changed", "operators of comparison and logic, added and removed", false},
	complexityBefore:  {"complexity_before", "branches of the touched functions before the patch", true},
	complexityDelta:   {"complexity_delta", "branches added minus removed", false},
	nestingDelta:      {"nesting_delta", "deepest nesting of blocks in the touched functions, after minus before", true},
	sizeRatio:         {"size_ratio", "tokens of the touched functions after the patch as a multiple of those before", true},
	emptied:           {"emptied", "share of touched functions that lost two thirds of their tokens", true},

	unconditionalExit: {"unconditional_exit", "added return, throw or end of the program that always happens before other statements of a function", true},
	swallowed:         {"swallowed", "added handlers of errors that neither throw nor call anything", true},
	sinksRemoved:      {"sinks_removed", "dangerous operations of the vulnerability's kind that are gone, minus those that are new, where positive", true},

	guardsNew:          {"guards_new", "new or changed conditions that decide whether code is left or entered", true},
	guardsRight:        {"guards_right", "tests in them that let pass what is allowed or stop what is denied", true},
	guardsWrong:        {"guards_wrong", "tests in them that stop what is allowed or let pass what is denied", true},
	guardContradiction: {"guard_contradiction", "changed chains of conditions that no value passes, every value passes, or of which a part decides nothing", true},
	guardCovers:        {"guard_covers", "1 if a new condition that tests a variable of a dangerous operation decides whether it runs", true},
	sinkShareNew:       {"sink_share_new", "share of dangerous operations in the touched functions that new conditions or new calls on their variables protect", true},
	sinkShareAny:       {"sink_share_any", "share of them that any such condition or call protects, new or old", true},
	guardIdle:          {"guard_idle", "new conditions whose body does nothing", true},
	guardLate:          {"guard_late", "new conditions on a dangerous operation's variables that stand after it", true},
	guardOther:         {"guard_other", "new conditions that decide whether a dangerous operation runs and test none of its variables", true},
	guardLiteral:       {"guard_literal", "new comparisons with a long or numeric constant that isn't known as dangerous: perhaps one exploit's", true},
	guardDeny:          {"guard_deny", "new tests that look for what is bad: known dangerous constants, lists and names of denial", true},
	guardAllow:         {"guard_allow", "new tests that ask for what is good: own properties, prefixes, types, anchored expressions, lists of permission", true},
	sinksBefore:        {"sinks_before", "dangerous operations of the vulnerability's kind in the touched functions before the patch", true},
	sinksAfter:         {"sinks_after", "the same after the patch", true},
	sinksTouchedShare:  {"sinks_touched_share", "share of the dangerous operations in the touched files, by their look, that lie in the touched functions", true},
	sinkScopeShare:     {"sink_scope_share", "share of the changed tokens that lie in functions with a dangerous operation", true},
	sinkRepeats:        {"sink_repeats", "touched functions with a dangerous operation that call themselves or loop over keys", true},
	wrapsSink:          {"wraps_sink", "new calls inside a dangerous operation, around a value that it had", true},
	reassigns:          {"reassigns", "variables of a dangerous operation that a new call gives a value before it", true},
	transformLate:      {"transform_late", "variables of a dangerous operation that a new call gives a value after it", true},
	resultUnused:       {"result_unused", "new calls that clean or escape and whose result nobody takes", true},
	inverted:           {"inverted", "conditions that differ only by a negation or by one operator of comparison or logic", true},

	pollutionNames:        {"pollution_names", "how many of __proto__, constructor and prototype are added", false},
	pollutionNamesPresent: {"pollution_names_present", "how many of them the touched code holds after the patch", false},
	pollutionOwn:          {"pollution_own", "added tests of own properties (hasOwnProperty, hasOwn, keys)", false},
	pollutionNullObject:   {"pollution_null_object", "added objects without a prototype: Object.create(null), Map, Set, freeze", false},

	regexBefore:     {"regex_before", "worst ambiguity of a removed regular expression: 0 none, 1 slow by starting again at each character, 2 polynomial, 3 exponential", false},
	regexAfter:      {"regex_after", "worst ambiguity of an added one", false},
	regexRemaining:  {"regex_remaining", "worst ambiguity of those in the touched files after the patch, where the weakness is about that", false},
	regexDrop:       {"regex_drop", "by how much the worst ambiguity in the touched files sinks, where the weakness is about that", false},
	regexRemoved:    {"regex_removed", "regular expressions removed minus added", false},
	regexAgreement:  {"regex_agreement", "share of sample texts that removed regular expressions and those in their places treat alike; 1 without any", false},
	regexAnchored:   {"regex_anchored", "share of added regular expressions that are anchored at both ends; 0 without any", false},
	regexGlobal:     {"regex_global", "global flags of regular expressions, added minus removed", false},
	regexIgnoreCase: {"regex_ignore_case", "case-insensitive flags and folding calls, added minus removed", false},
	replaceOnce:     {"replace_once", "added replacements of a string or without a global flag, which change the first occurrence only", false},

	commandVector: {"command_vector", "calls that pass arguments as a list (execFile, spawn), added minus removed", false},
	commandShell:  {"command_shell", "calls and options that use a shell, added minus removed", false},
	commandOption: {"command_option", "added strings - or --, which keep values from being options", false},

	pathResolve:   {"path_resolve", "added calls that make a path canonical (resolve, normalize, realpath), keep its last part or decode a URL's percent signs, and tests of a zero byte", false},
	pathPrefix:    {"path_prefix", "added tests of a prefix or of a relation of paths", false},
	pathSeparator: {"path_separator", "1 if such a test comes with a separator (path.sep, '/')", false},
	pathDots:      {"path_dots", "added strings and regular expressions with two dots", false},

	escapeCalls:     {"escape_calls", "added calls that escape, encode, sanitise or quote for a shell", false},
	queryParameters: {"query_parameters", "placeholders and calls that bind, added minus removed", false},
	safeInterface:   {"safe_interface", "interfaces that are safe by design (safe_load, JSON.parse, textContent), added minus removed, and added options that keep a parser from external entities", false},
	unsafeRemoved:   {"unsafe_removed", "interfaces that run or trust their input (eval, unserialize, innerHTML), removed minus added", false},
	hostCheck:       {"host_check", "added parts of a URL (host, origin, protocol, URL) that are looked at", false},

	boundsCheck:     {"bounds_check", "added comparisons by < <= > >=", false},
	relationChanged: {"relation_changed", "1 if comparisons by < <= > >= are swapped for others, or constants 1 are added or removed", false},
	sizeChange:      {"size_change", "changed tokens in sizes, limits of integer types, and calls that reserve or copy memory or calculate with checks", false},
	nullAfterFree:   {"null_after_free", "added assignments of NULL, and releases of memory added or removed", false},

	textNames: {"text_names", "1 if the vulnerability's text names a touched function or file", false},
	textMatch: {"text_match", "BM25 of the touched code's words for the words of the vulnerability's text; a word's weight is by its form", false},

	typeChecks:     {"type_checks", "added tests and conversions of type (typeof, isArray, isinstance, String)", false},
	limitValue:     {"limit_value", "logarithm (base 10) of the smallest number that an added comparison or slice holds something to; 0 without any", false},
	filterShare:    {"filter_share", "share of some hostile texts of the weakness that an added expression or constant would catch", false},
	filterHarm:     {"filter_harm", "share of some benign texts that it would catch too", false},
	undefinedNames: {"undefined_names", "names that nothing declares where they are used, or only later, and that were declared or not there before", true},
	unusedNames:    {"unused_names", "names that the patch declares and nothing in the file uses", true},
	unknownImports: {"unknown_imports", "modules that the touched files did not name before and that neither the language nor the patch brings", false},
	limitsAdded:    {"limits_added", "added comparisons of a length, size, count or depth", false},
	alarms:         {"alarms", "kinds of damage that hardly a good patch does: names that nothing defines, unknown modules, code that is never reached, broken syntax, contradictions, what Go refuses", true},
	idleNames:      {"idle_names", "variables and parameters in functions that nothing reads, and that were read or weren't there before", true},
	guardsBroad:    {"guards_broad", "new conditions that leave for ordinary values: whatever is there, a text, a list that isn't empty", true},
	throwsAdded:    {"throws_added", "statements that throw, added", true},
	probeStops:     {"probe_stops", "share of hostile texts of the weakness, long ones where time is at stake, that a new condition stops, as it works out with the text for each variable", true},
	probeLists:     {"probe_lists", "that share for keys of a prototype that come as a list of one", true},
	probeHarm:      {"probe_harm", "that share for ordinary texts", true},
	probeApart:     {"probe_apart", "by how much more hostile texts than ordinary ones the new condition stops that tells them apart best", true},
	probeAmiss:     {"probe_amiss", "by how much more ordinary texts than hostile ones a new condition stops", true},
	probeShare:     {"probe_share", "share of dangerous operations in the touched functions that hostile texts don't reach, by conditions new or old", true},
}

// OfVulnerability names the features that tell of the vulnerability and nothing of the patch.
func OfVulnerability() []string { return Names()[:ecosystemNPM+1] }
