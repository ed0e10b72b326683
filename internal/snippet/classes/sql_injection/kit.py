"""SQL injection in Python: names that mean a database are handles on a real SQLite, in the shapes of DB-API 2.0 (PEP 249),
of Django's cursor and of SQLAlchemy's execute(text(...))."""
import re
import sqlite3

import core
from sqlite import Database, placeholders

_database = re.compile(r"^(db|dbh|conn|connection|cur|curs|cursor|c|pool|engine|database|session|tx|transaction|con|sqlite|mysql|pg)$|(_db|_conn|_connection|_cursor|_pool|_session|_engine)$|^(db|conn|cursor)_")
_drivers = re.compile(r"^(psycopg2?|pymysql|MySQLdb|mysql|sqlite3|asyncpg|aiosqlite|pyodbc|cx_Oracle|oracledb)(\.|$)")


class Row(dict):
    """A row that can be asked by name and by number."""

    def __init__(self, names, values):
        super().__init__(zip(names, values))
        self._values = tuple(values)

    def __getitem__(self, key):
        return self._values[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self):
        return iter(self._values)

    def __repr__(self):
        return repr(self._values)


class Text(str):
    """SQLAlchemy's text()."""

    def bindparams(self, **params):
        bound = Text(self)
        bound.params = params
        return bound


class Handle:
    """A connection, a cursor, an engine and a session in one: what is asked decides."""

    def __init__(self, run):
        self.run, self.rows, self.names, self.rowcount, self.lastrowid = run, [], [], -1, None
        self.row_factory = self.autocommit = None
        self.arraysize = 1

    def execute(self, sql, params=None, *more, **kwargs):
        if not isinstance(sql, str):
            sql = str(sql)
        if more:
            params = (params, *more)
        params = kwargs.get("params", kwargs.get("vars", params))
        if params is None and hasattr(sql, "params"):
            params = sql.params
        return self._take(self.run.state["db"].query(sql, params))

    def _take(self, got):
        self.names, self.rows = got["columns"], [Row(got["columns"], r) for r in got["rows"]]
        self.rowcount, self.lastrowid = (len(self.rows) if self.names else got["changes"]), got["last"]
        self.description = [(n, None, None, None, None, None, None) for n in self.names] or None
        return self

    def executemany(self, sql, many):
        for params in many:
            self.execute(sql, params)
        return self

    def executescript(self, sql):
        return self._take(self.run.state["db"].query(sql, None, True))

    def fetchall(self):
        rows, self.rows = self.rows, []
        return rows

    def fetchone(self):
        return self.rows.pop(0) if self.rows else None

    def fetchmany(self, n=None):
        rows, self.rows = self.rows[:n or self.arraysize], self.rows[n or self.arraysize:]
        return rows

    def scalar(self):
        row = self.fetchone()
        return row[0] if row else None

    def mappings(self):
        return self

    scalars = mappings
    all = fetchall
    first = one = one_or_none = scalar_one_or_none = fetchone
    query = raw = read = execute

    def fetch(self, sql, *params):  # asyncpg
        return _later(self.execute(sql, list(params) or None).fetchall())

    def fetchrow(self, sql, *params):
        return _later(self.execute(sql, list(params) or None).fetchone())

    fetchval = fetchrow

    def cursor(self, *_, **__):
        return Handle(self.run)

    def _self(self, *_, **__):
        return self

    connect = begin = acquire = getconn = get_connection = connection = session = _self
    __enter__ = _self

    def __exit__(self, *_):
        return False

    def __iter__(self):
        return iter(self.fetchall())

    def __call__(self, *_, **__):
        return self

    def commit(self, *_, **__):
        pass

    rollback = close = flush = putconn = dispose = set_session = ping = create_function = commit


async def _later(value):
    return value


def roles(name, run):
    if name in ("text",) and re.search(r"\btext\(", run.source):
        return (Text,)
    if name == "pd" or name == "pandas":
        return None
    if name == "sqlite3" or (name in ("psycopg2", "pymysql", "MySQLdb") and re.search(rf"\b{name}\.", run.source)):
        return (_Driver(run),)
    if _database.search(name) and re.search(rf"(?<![\w]){re.escape(name)}\b\s*(\.|\)|,|\()", run.source):
        return (Handle(run),)
    return None


class _Driver:
    """A driver's module: whatever opens something gives a handle, errors are SQLite's."""

    def __init__(self, run):
        self.run = run

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("connect", "connection", "pooling", "SimpleConnectionPool", "create_pool", "connector"):
            return Handle(self.run)
        if hasattr(sqlite3, name):
            return getattr(sqlite3, name)
        if name in ("extras", "cursors", "sql"):
            return _Identifiers() if name == "sql" else self
        return None


class _Identifiers:
    """psycopg2.sql: statements composed of quoted parts."""

    @staticmethod
    def SQL(text):  # noqa: N802
        return _Composable(text)

    @staticmethod
    def Identifier(name):  # noqa: N802
        return '"' + name.replace('"', '""') + '"'

    @staticmethod
    def Literal(value):  # noqa: N802
        return "'" + str(value).replace("'", "''") + "'"

    @staticmethod
    def Placeholder(name=None):  # noqa: N802
        return f"%({name})s" if name else "%s"


class _Composable(str):
    def format(self, *args, **kwargs):
        return _Composable(str.format(self, *args, **kwargs))


def modules(name):
    return _drivers.match(name)


def lent(module, name, run):
    """What a module that the sandbox doesn't have lends."""
    if _drivers.match(module):
        return _Identifiers() if name == "sql" else getattr(_Identifiers, name, None) if module.endswith(".sql") else getattr(_Driver(run), name)
    if module.startswith("sqlalchemy"):
        return Text if name == "text" else Handle(run)
    if module.startswith(("django.db", "flask_sqlalchemy", "flask_mysqldb")):
        return Handle(run)
    return None


def _import(run):
    """import sqlite3 gives the handles' driver too, although the sandbox has the real one."""
    return re.sub(r"(?m)^(\s*)import sqlite3(?: as (\w+))?\s*$", lambda m: f"{m[1]}{m[2] or 'pass'}{' = sqlite3' if m[2] else ''}", run)


def _built(value):
    if core.is_statement(value):
        return value, getattr(value, "params", None)
    if isinstance(value, (tuple, list)) and value and core.is_statement(value[0]):
        return value[0], value[1] if len(value) > 1 else None
    if isinstance(value, dict):
        sql = next((value[k] for k in ("sql", "query", "text") if core.is_statement(value.get(k))), None)
        if sql:
            return sql, next((value[k] for k in ("params", "values", "args", "parameters") if k in value), None)
    return None


def attempt_with(words):
    def attempt(snippet, value, control):
        db = Database(words)
        outcome = snippet.run(value, control=control, state={"db": db}, rewrite=_import)
        if not db.log:
            candidates = outcome.values[::-1] + list(outcome.declared.values())[::-1]
            found = next((b for b in map(_built, candidates) if b), None)
            if found:
                sql, params = found
                if params is None:
                    params = next((v for k, v in outcome.declared.items() if re.search(r"param|value|arg|bind", k) and isinstance(v, (tuple, list, dict))), None)
                if params is None and placeholders(sql):
                    params = [value] * placeholders(sql)
                try:
                    db.query(sql, params)
                except sqlite3.Error as err:
                    outcome.errors.append(err)
        return outcome, db.report()
    return attempt


def delivered(outcome):
    return repr((outcome.values, outcome.sent, outcome.called, [getattr(v, "data", None) for v in outcome.values]))


def attack(pair, payload):
    return core.attack(attempt_with(pair.target.source + pair.affected.source), pair.target, payload)


def benign(pair, payload):
    core.benign(attempt_with(pair.target.source + pair.affected.source), pair, payload, delivered)
