"""A real SQLite whose tables come into being as a snippet names them.

Every table has three ordinary rows and one that nobody may see by asking for something else. Beside them lies
crisol_vault, which no snippet knows: a statement that reads or changes it was made by an injection. As a program it
serves a JavaScript kit through two FIFOs, one line of JSON for each question and answer.
"""
import json
import re
import secrets
import sqlite3
import sys

VAULT = "crisol_vault"
LABELS = ["alice", "O'Brien", "Zoë Müller"]
_whole = re.compile(r"(^|_)(id|uid|pid|age|count|qty|quantity|number|num|year|price|amount|total|level|balance|limit|offset|page)$|Id$|^(is|has)_|^(active|enabled|deleted|verified|admin|published|stock)$", re.I)
_fixed = re.compile(r"(?:where|and|or)\s+(?:\w+\.)?[\"`]?(\w+)[\"`]?\s*=\s*(\d+|true|false|'[^'\"${}+?%:@\n]*')(?!\s*\+)", re.I)


class Database:
    """One database. words are the names that a snippet's own text holds: only those become tables and columns."""

    def __init__(self, source):
        self.secret = "secret" + secrets.token_hex(8)
        self.words = {w.lower() for w in re.findall(r"[A-Za-z_]\w*", source)}
        self.fixed = {}
        for name, value in _fixed.findall(source):
            if not re.search(r"(^|_)id$|^(user|name|pass|email|login)", name, re.I):
                value = {"true": "1", "false": "0"}.get(value.lower(), value)
                self.fixed[name.lower()] = int(value) if value.isdigit() else value.strip("'")
        self.con = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.con.execute(f"CREATE TABLE {VAULT}(secret TEXT)")
        self.con.execute(f"INSERT INTO {VAULT} VALUES (?)", (self.secret,))
        for name, count, call in (("NOW", 0, lambda: "2024-01-01"), ("CONCAT", -1, lambda *a: "".join(str(x) for x in a if x is not None)),
                                  ("MD5", 1, lambda x: f"md5({x})"), ("SHA1", 1, lambda x: f"sha1({x})"), ("PASSWORD", 1, lambda x: x)):
            self.con.create_function(name, count, call)
        self.log = []
        self.looted = False  # a statement that reads the vault ran to its end
        self._reads = False
        self.con.set_authorizer(self._authorize)

    def _authorize(self, action, first, *_):
        if action == sqlite3.SQLITE_READ and first == VAULT:
            self._reads = True
        return sqlite3.SQLITE_OK

    def query(self, sql, params=None, script=False):
        """Runs a statement, or a script of several; returns columns, rows and what changed. Raises sqlite3.Error."""
        sql, params = bind(sql, params)
        # SQLite takes "name" for a text where there is no such column; whoever compares a name that the snippet holds means it
        sql = re.sub(r'(?<![=\w(,\'] )"(\w+)"(?=\s*(?:=|<|>|!=|like\b|in\b|is\b|between\b))', lambda m: f"`{m[1]}`" if m[1].lower() in self.words else m[0], sql, flags=re.I)
        entry = {"sql": sql, "rows": [], "error": None}
        self.log.append(entry)
        for _ in range(40):
            self._reads = False
            try:
                got = self._script(sql) if script and not params else self._one(sql, params)
                self.looted = self.looted or self._reads
                entry["rows"] = got["rows"]
                return got
            except sqlite3.Error as err:
                self.looted = self.looted or (script and self._reads)
                if not self._supply(str(err), sql):
                    entry["error"] = str(err)
                    raise
        raise sqlite3.OperationalError("too many unknown names")

    def _one(self, sql, params):
        cur = self.con.execute(sql, params)
        rows = cur.fetchall()
        names = [d[0] for d in cur.description or []]
        return {"columns": names, "rows": [list(r) for r in rows], "changes": max(cur.rowcount, 0), "last": cur.lastrowid}

    def _script(self, sql):
        got, part = {"columns": [], "rows": [], "changes": 0, "last": None}, ""
        for piece in re.split(r"(;)", sql):
            part += piece
            if piece == ";" and sqlite3.complete_statement(part):
                got, part = self._one(part, ()), ""
        if re.sub(r"--[^\n]*|\s", "", part):
            one = self._one(part, ())
            got = one if one["columns"] else got
        return got

    def _supply(self, error, sql):
        """Makes the table or column that a statement lacks, if the snippet itself names it."""
        m = re.match(r"no such table: (?:(\w+)\.)?(\w+)$", error)
        if m and m[2].lower() in self.words:
            if m[1]:
                self.con.execute(f"ATTACH ':memory:' AS \"{m[1]}\"")
            at = f'"{m[1]}".' if m[1] else ""
            self.con.execute(f'CREATE TABLE {at}"{m[2]}"(id INTEGER PRIMARY KEY)')
            for i in (1, 2, 3, 4242):
                self.con.execute(f'INSERT INTO {at}"{m[2]}"(id) VALUES (?)', (i,))
            for column in ("name", "email"):
                self._column(f'{at}"{m[2]}"', column)
            return True
        m = re.match(r"no such column: (?:\w+\.)*(\w+)$", error) or re.match(r"table \w+ has no column named (\w+)$", error)
        if m and m[1].lower() in self.words:
            made = False
            for table in re.findall(r"\b(?:from|join|into|update|table)\s+((?:[\"`\[]?\w+[\"`\]]?\.)?[\"`\[]?\w+[\"`\]]?)", sql, re.I):
                try:
                    made = self._column(table, m[1]) or made
                except sqlite3.Error:
                    continue
            return made
        return False

    def _column(self, table, name):
        kind = "INTEGER" if _whole.search(name) else "TEXT"
        self.con.execute(f'ALTER TABLE {table} ADD COLUMN "{name}" {kind}')
        for i, label in zip((1, 2, 3, 4242), LABELS + [self.secret]):
            value = self.fixed.get(name.lower(), i if kind == "INTEGER" else label)
            self.con.execute(f'UPDATE {table} SET "{name}" = ? WHERE id = ?', (value, i))
        return True

    def report(self):
        """What happened since the database was made."""
        reads = self.looted
        try:
            kept = self.con.execute(f"SELECT secret FROM {VAULT}").fetchall() == [(self.secret,)]
        except sqlite3.Error:
            kept = False
        return {"rows": [r for e in self.log for r in e["rows"]], "errors": [e["error"] for e in self.log if e["error"]], "statements": len(self.log),
                "sql": [e["sql"] for e in self.log], "looted": reads or not kept, "secret": self.secret, "state": self.state()}

    def state(self):
        """The content of every table that a statement may have written, by its columns."""
        if not any(re.match(r"\s*(insert|update|delete|replace|with)\b", e["sql"], re.I) for e in self.log):
            return None
        tables = [r[0] for r in self.con.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if r[0] != VAULT]
        content = {}
        for table in tables:
            cur = self.con.execute(f'SELECT * FROM "{table}" ORDER BY rowid')
            names = [d[0] for d in cur.description]
            content[table] = [dict(zip(names, (None if v is None else str(v).replace(self.secret, "secret") for v in row))) for row in cur]
        return content


_token = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|%\((\w+)\)s|(%s)|\$(\d+)(?:::\w+)?|(\?\?)|(\?)|(::\w+)|(\bILIKE\b)|(\s+FOR\s+UPDATE\b)|(?<![\w:@])[:@]([A-Za-z_]\w*)", re.I)


def placeholders(sql):
    """Counts the bind placeholders of any usual style."""
    return sum(1 for m in _token.finditer(sql) if m[1] or m[2] or m[3] or m[5] or m[9])


def bind(sql, params):
    """Turns the placeholder styles of many drivers into SQLite's; without parameters the text stays what it is."""
    named = isinstance(params, dict)
    given = list(params) if isinstance(params, (list, tuple)) else [] if params is None or named else [params]
    values, at = [], [0]

    def take(value):
        if isinstance(value, (list, tuple)):
            values.extend(value)
            return ", ".join("?" * len(value)) or "NULL"
        values.append(json.dumps(value) if isinstance(value, dict) else value)
        return "?"

    def one(m):
        if m[6] or m[8]:
            return ""
        if m[7]:
            return "LIKE"
        if params is None:
            return m[0]
        name = m[1] or m[9]
        if name and named and name in params:
            return take(params[name])
        if name and named and name not in params and m[9] and (":" + name in params or "@" + name in params or "$" + name in params):
            return take(next(params[k + name] for k in ":@$" if k + name in params))
        if m[3] and not named and int(m[3]) <= len(given):
            return take(given[int(m[3]) - 1])
        if (m[2] or m[5] or m[4]) and not named and at[0] < len(given):
            at[0] += 1
            if m[4]:
                return '"' + str(given[at[0] - 1]).replace('"', '""') + '"'
            return take(given[at[0] - 1])
        if m[2] and not named:
            return "?"
        return m[0]

    text = _token.sub(one, sql)
    if named and not values:
        return text, params
    return text, values


def identity(row):
    """Says which ordinary row a result's row shows: 1 to 3, or its text."""
    for value in row:
        for i, label in enumerate(LABELS):
            if value == label or value == i + 1:
                return str(i + 1)
    return json.dumps(row)


def identities(report, *inputs):
    """Names the rows that were seen, without what merely echoes the input."""
    seen = []
    for row in report["rows"]:
        plain = []
        for value in row:
            if isinstance(value, str):
                value = value.replace(report["secret"], "<secret>")
            for text in inputs:
                if isinstance(value, str) and len(str(text)) > 1 and str(text) in value:
                    value = value.replace(str(text), "<input>")
            plain.append(value)
        seen.append(identity(plain))
    return sorted(seen)


def serve(questions, answers):
    db = None
    for line in questions:
        q = json.loads(line)
        try:
            if q["do"] == "open":
                db, got = Database(q["source"]), {}
            elif q["do"] == "report":
                got = db.report()
                got["seen"] = identities(got, *q["inputs"])
            elif q["do"] == "placeholders":
                got = {"count": placeholders(q["sql"])}
            else:
                got = db.query(q["sql"], q.get("params"), q.get("script", False))
        except (sqlite3.Error, sqlite3.Warning, TypeError, ValueError, OverflowError) as err:
            got = {"error": str(err)}
        answers.write(json.dumps(got, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="surrogatepass") as questions, open(sys.argv[2], "w", encoding="utf-8") as answers:
        serve(questions, answers)
