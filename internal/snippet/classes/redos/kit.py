"""Slow regular expressions in Python. A text grows, pump by pump, until a run of the snippet takes long or the text is as
long as the trial asks for. An expression that stands alone is looked for in the text."""
import math
import re
import time

from crisol_snippet import Fault, Response

_harmless = [{"pump": "\x02"}, {"pump": "-"}, {"pump": "a"}, {"pump": " "}, {"pump": "lorem ipsum, "}]


def attempt(snippet, value, control=False):
    """Runs a snippet once. What it leaves is what it gave, or what its expressions find where it only declares them."""
    outcome = snippet.run(value, control=control)
    given = [*outcome.values, *[a for how in outcome.sent for a in how[1]]]
    if outcome.used:
        return outcome, given or list(outcome.declared.values())
    found = []
    for one in (*given, *outcome.declared.values()):
        if isinstance(one, str) and len(outcome.declared) < 2:
            try:
                one = re.compile(one)
            except re.error as err:
                outcome.errors.append(err)
        if isinstance(one, re.Pattern):
            outcome.used = True
            found.append(one.search(value))
    return outcome, found


def counts(most):
    """How often a pump is repeated: by small steps, as a text may take twice as long with each, then by leaps."""
    n = 4
    while n <= most:
        yield n
        n = n + 2 if n < 40 else math.ceil(n * 1.4)


def grow(snippet, family, size, limit):
    """Runs the snippet with longer and longer texts and says whether it came to take more than limit seconds."""
    began = time.process_time()
    pump = family["pump"]
    for n in counts(max(4, size // len(pump))):
        attempt(snippet, family.get("prefix", "") + pump * n + family.get("suffix", ""))
        if time.process_time() - began > limit:
            return True
    return False


def slow(pair, families, t):
    size = t.size // 2  # re takes about twice as long for a step as other engines
    for family in families:
        if t.hostile:
            if grow(pair.target, family, size, 0.6):
                return
            continue
        # a text of which the snippet makes much as well is none to compare with: another is taken
        while _harmless and grow(pair.target, _harmless[0], size, 0.05):
            _harmless.pop(0)


def attack(pair, payload):
    raise RuntimeError("a regular expression is judged by CPU time")


def _plain(value):
    """A result by which two are compared: of a match, where it is and what it says."""
    if isinstance(value, re.Match):
        return value.span(), value.group(0)
    if isinstance(value, re.Pattern) or callable(value):
        return None
    if isinstance(value, Response):
        return _plain(value.data), value.status_code
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if hasattr(value, "__next__"):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, bytes, int, float, bool, type(None))) else str(type(value))


def _told(outcome, given):
    return repr(([_plain(v) for v in given], "it raises" if outcome.error else ""))


def benign(pair, texts):
    compared = False
    for value in texts:
        before, gave = attempt(pair.affected, value, True)
        if not before.proper:
            raise Fault(before.fault)
        if not before.used:
            continue
        compared = True
        after, gives = attempt(pair.target, value)
        if not after.proper:
            raise Fault(after.fault)
        if _told(before, gave) != _told(after, gives):
            raise AssertionError(f"of {value!r} it makes {_told(after, gives)}, and the vulnerable snippet made {_told(before, gave)}")
    if not compared:
        raise AssertionError("the vulnerable snippet takes no text and has no expression" if texts else "no text is known")
