"""What the trials of Python code and of plain SQL share: a snippet's run is judged by what its database saw."""
import re

from sqlite import LABELS, identities

_statement = re.compile(r"\s*\(?\s*(select|insert|update|delete|replace|with)\b", re.I)


def is_statement(value):
    return isinstance(value, str) and bool(_statement.match(value))


def spread(payload):
    """A payload with {columns} is tried with each number of columns."""
    if isinstance(payload, list):
        return [value for one in payload for value in spread(one)]
    if "{columns}" not in payload:
        return [payload]
    return [payload.replace("{columns}", ", ".join(["secret"] * n)) for n in range(1, 11)]


def secretly(report):
    """The row that nobody may see was seen, by its secret or by its number."""
    return report["looted"] or any(v == 4242 or report["secret"] in str(v) for row in report["rows"] for v in row)


def attack(attempt, target, payload):
    """attempt(snippet, value, control) runs a snippet once and returns (outcome, report)."""
    usual, open_to_all = set(), False
    for value in ("nobody", "1", "alice", ""):
        _, report = attempt(target, value, True)
        usual.update(identities(report, value))
        open_to_all = open_to_all or secretly(report)
    for value in spread(payload):
        _, report = attempt(target, value, False)
        if report["looted"] or not open_to_all and (secretly(report) or set(identities(report, value)) - usual):
            return value
    return False


def benign(attempt, pair, payload, delivered):
    """Compares what both snippets find and deliver for harmless values."""
    compared = False
    listed = [w for w in re.findall(r"['\"](\w{1,30})['\"]", pair.target.source) if not is_statement(w)]
    for values, everything in ((payload["values"], False), (listed, True), (payload.get("names", []), True)):
        for value in values:
            outcome, was = attempt(pair.affected, value, True)
            if outcome.error or was["errors"] or not (identities(was, value) or was["state"] or payload.get("empty")):
                continue
            if secretly(was) != everything and not was["state"]:
                continue  # a word in a number's place may find every row; names of columns do so where they are asked for
            after, found = attempt(pair.target, value, False)
            compared = True
            why = worse(value, outcome, was, after, found, delivered)
            if why:
                raise AssertionError(f"with {value!r}: {why}")
        if compared:
            return
    raise AssertionError(f"the vulnerable snippet does nothing useful with any of {payload['values']!r}: {outcome.error or outcome.fault or 'no rows are found'}")


def worse(value, before, was, after, found, delivered):
    if not after.proper:
        return after.fault
    if after.error:
        return f"{type(after.error).__name__}: {after.error}"
    if found["errors"]:
        return found["errors"][0]
    a, b = identities(was, value), identities(found, value)
    if a != b:
        return f"the rows {b} are found instead of {a}"
    if was["state"] and not _same(was["state"], found["state"] or {}):
        return "other data are written"
    for label in LABELS:
        if label in delivered(before) and label not in delivered(after):
            return f"the row of {label} is found and not delivered"
    return None


def _same(a, b):
    """Compares what was written, as far as both databases have the same columns."""
    return all(t in b and len(a[t]) == len(b[t]) and all(x[k] == y[k] for x, y in zip(a[t], b[t]) for k in x if k in y) for t in a)
