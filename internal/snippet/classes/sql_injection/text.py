"""SQL injection in a statement without code around it. Where the text shows that a value is put into it as text, it is;
a placeholder of a driver is bound."""
import re
import sqlite3

import core
from sqlite import Database, bind, placeholders

# ${x} #{x} {x} {{x}} <x> [x]-free: templates; " + x + " and ' . $x . ': concatenation; '%s' and '$x' in quotes; $x of PHP
_spliced = re.compile(
    r"\$\{[^}]*\}|#\{[^}]*\}|\{\{[^}]*\}\}|\{\w*\}|<%=?[^%]*%>"
    r"|\"\s*(?:\+|\.|&|\|\|)\s*\$?[\w.\[\]'()]+\s*(?:(?:\+|\.|&|\|\|)\s*\"|$)|'\s*\+\s*[\w.\[\]()]+\s*\+\s*'(?!')"
    r"|(?<=['\"%])%s(?=['\"%])|\$[A-Za-z_]\w*")


class Outcome:
    """What became of one run of a statement."""

    def __init__(self, control):
        self.proper, self.used, self.fault, self.control, self.error = True, False, "", control, None


class Snippet:
    """A statement into which a value is put as its text says."""

    def __init__(self, file, _kit):
        with open(file, encoding="utf-8") as f:
            self.source = f.read().strip().rstrip(";")
        self.outcomes = []

    def run(self, value, control, db):
        outcome = Outcome(control)
        self.outcomes.append(outcome)
        sql, spliced = _spliced.subn(lambda _: value, self.source)
        bound = placeholders(_spliced.sub("", self.source))
        if not spliced and not bound:
            outcome.proper, outcome.fault = False, "the statement takes no input: it holds neither a placeholder nor a value put into its text"
            return outcome
        outcome.used = True
        names = re.findall(r"[:@$]([A-Za-z_]\w*)|%\((\w+)\)s", self.source)
        params = {a or b: value for a, b in names} if bound and names else [value] * max(bound, _highest(self.source))
        try:
            db.query(*((sql, params) if bound and not spliced else (_both(self.source, value, params) if bound else (sql, None))))
        except (sqlite3.Error, sqlite3.Warning) as err:
            outcome.error = err
        return outcome


def _highest(sql):
    return max((int(n) for n in re.findall(r"\$(\d+)", sql)), default=0)


def _both(source, value, params):
    """Binds what is bound first, so that placeholders in the value itself stay text."""
    marks = []

    def keep(_):
        marks.append(value)
        return f"crisolspliced{len(marks)}x"
    sql, values = bind(_spliced.sub(keep, source), params)
    for i, text in enumerate(marks, 1):
        sql = sql.replace(f"crisolspliced{i}x", text)
    return sql, values


def _attempt_with(words):
    def attempt(snippet, value, control):
        db = Database(words)
        return snippet.run(value, control, db), db.report()
    return attempt


def attack(pair, payload):
    return core.attack(_attempt_with(pair.target.source + pair.affected.source), pair.target, payload)


def benign(pair, payload):
    core.benign(_attempt_with(pair.target.source + " " + pair.affected.source), pair, payload, lambda _: "")
