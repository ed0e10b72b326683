"""Evaluates a snippet with the names that it doesn't define given by their role, and calls what it declares."""
import ast
import asyncio
import builtins
import importlib
import importlib.util
import inspect
import io
import re
import sys
import textwrap
import traceback
import types
import urllib.parse

_text_members = set(dir(str))
_getters = re.compile(r"^(get\w*|getlist|read\w*|param|header|text|json|input|value|strip|pop|items|keys|values|to_dict|decode)$")


class Fault(NameError):
    """A name that has to be defined and isn't."""


class Outcome:
    """What became of one run."""

    def __init__(self, control):
        self.values, self.sent, self.called, self.errors, self.declared = [], [], [], [], {}
        self.proper, self.used, self.fault, self.control, self.names = True, False, "", control, set()

    @property
    def value(self):
        return self.values[-1] if self.values else None

    @property
    def error(self):
        return self.errors[0] if self.errors else None


class Snippet:
    """A text that can be run as often as a kit needs, each time anew."""

    def __init__(self, file, kit):
        with open(file, encoding="utf-8") as f:
            self.source = textwrap.dedent(f.read().replace("\t", "    ")).strip("\n") + "\n"
        self.file, self.kit, self.outcomes = file, kit, []

    def run(self, value, control=False, state=None, rewrite=None):
        """Evaluates the snippet with value as its input. control marks a run that proves nothing of reach."""
        outcome = Outcome(control)
        self.outcomes.append(outcome)
        Run(rewrite(self.source) if rewrite else self.source, value, outcome, self.kit, state if state is not None else {}).play()
        return outcome


class Names(dict):
    """The globals of a snippet: what it doesn't define is asked of the run."""

    def __init__(self, run):
        super().__init__(__name__="snippet", __builtins__=builtins, __file__=run.state.get("file", "/work/app/snippet.py"))
        self.run = run

    def __missing__(self, name):
        role = self.run.given(name)
        if role is not None:
            return role[0]
        if hasattr(builtins, name) and name not in self.run.shadowed:
            raise KeyError(name)
        return self.run.unknown(name)


class Run:
    """One evaluation."""

    def __init__(self, source, value, outcome, kit, state):
        self.source, self.input, self.outcome, self.kit, self.state = source, value, outcome, kit, state
        self.known, self.routes, self.tree = {}, [], None
        # builtins that a snippet uses as its input: "input" and "id" and "file" without a call
        self.shadowed = {n for n in ("id", "input", "file", "filter", "type", "hash", "format", "dir") if not re.search(rf"\b{n}\s*\(", source)}

    def play(self):
        names = Names(self)
        sys.meta_path.append(finder := _Finder(self))
        before = set(sys.modules)
        try:
            code = self.compile()
            if code is None:
                return
            self.settle(lambda: eval(code, names))  # noqa: S307  running it is the trial
            main = names.pop("__crisol_main", None)
            if main is not None:
                self.settle(main)
            self.outcome.declared = {k: v for k, v in names.items() if not k.startswith("__")}
            self.enter(names)
        finally:
            sys.meta_path.remove(finder)
            for name in set(sys.modules) - before:
                if getattr(sys.modules[name], "__crisol__", False):
                    del sys.modules[name]

    def compile(self):
        for text in (self.source, "if True:\n" + textwrap.indent(self.source, " "), "class Snippet:\n" + textwrap.indent(self.source, " ")):
            try:
                self.tree = ast.parse(text)
                break
            except SyntaxError as err:
                first = self.outcome.errors[0] if self.outcome.errors else err
                self.outcome.errors[:] = [first]
        else:
            self.fault(f"SyntaxError: {self.outcome.errors[0].msg}")
            return None
        self.outcome.errors.clear()
        tree = self.tree
        loose = [n for n in _outside(tree) if isinstance(n, (ast.Return, ast.Yield, ast.Await, ast.AsyncWith, ast.AsyncFor))]
        if loose:
            kind = ast.AsyncFunctionDef if any(isinstance(n, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for n in loose) else ast.FunctionDef
            imports = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
            rest = [n for n in tree.body if n not in imports] or [ast.Pass()]
            free = sorted({t.id for n in ast.walk(tree) if isinstance(n, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.withitem))
                           for t in ast.walk(n.targets[0] if isinstance(n, ast.Assign) else getattr(n, "target", None) or getattr(n, "optional_vars", None) or ast.Pass()) if isinstance(t, ast.Name) and isinstance(t.ctx, ast.Store)})
            if free:
                rest = [ast.Global(names=free)] + rest
            wrapped = kind(name="__crisol_main", args=ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]), body=rest, decorator_list=[], returns=None)
            tree = ast.fix_missing_locations(ast.Module(body=imports + [wrapped], type_ignores=[]))
        elif tree.body and isinstance(tree.body[-1], ast.Expr):  # the last expression's value is a result
            last = tree.body[-1]
            tree.body[-1] = ast.copy_location(ast.Assign(targets=[ast.Name(id="__crisol_value", ctx=ast.Store())], value=last.value), last)
            ast.fix_missing_locations(tree)
        try:
            return compile(tree, "snippet.py", "exec")
        except (SyntaxError, ValueError) as err:
            self.failed(err)
            self.fault(f"{type(err).__name__}: {err}")
            return None

    def settle(self, call):
        try:
            value = call()
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            if inspect.isgenerator(value):
                value = list(value)
            if value is not None:
                self.outcome.values.append(value)
            return value
        except (Exception, SystemExit) as err:  # noqa: BLE001
            self.failed(err)

    def failed(self, err):
        if is_fault(err):
            self.fault(f"{type(err).__name__}: {err}")
        self.outcome.errors.append(err)

    def fault(self, message):
        self.outcome.proper = False
        self.outcome.fault = self.outcome.fault or message

    def missing(self, message):
        self.fault(message)
        raise Fault(message)

    def enter(self, names):
        if "__crisol_value" in names:
            value = names["__crisol_value"]
            if value is not None:
                self.outcome.values.append(value)
        if self.routes:
            for handler in self.routes:
                self.call(handler)
            return
        top = [n for n in self.tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
        if len(self.tree.body) == 1 and isinstance(self.tree.body[0], ast.If):
            top = [n for n in self.tree.body[0].body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
        uses = [n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)]
        entries = [n for n in top if n.name not in uses] or top
        for node in entries:
            value = names.get(node.name)
            if isinstance(value, type):
                if not issubclass(value, BaseException):
                    self.instance(value)
            elif callable(value):
                self.call(value)

    def instance(self, cls):
        run = self

        def __getattr__(_, name):
            return run.attribute(name)
        if "__getattr__" not in cls.__dict__:
            cls.__getattr__ = __getattr__
        made = cls.__new__(cls)
        try:
            if "__init__" in cls.__dict__:
                args, kwargs = self.args(cls.__init__, 1)
                made.__init__(*args, **kwargs)
        except Exception as err:  # noqa: BLE001
            return self.failed(err)
        if any(base.__module__ == "http.server" for base in cls.__mro__):
            self.serve(made)
        for name, raw in list(cls.__dict__.items()):
            if isinstance(raw, (types.FunctionType, staticmethod, classmethod)) and not name.startswith("__") and not re.search(rf"(self|cls|{cls.__name__})\.{name}\(", self.source):
                self.call(getattr(made, name))

    def serve(self, handler):
        """Takes an http.server's handler off its connection: what it writes is sent, its path begins with a slash, or has the parameters it reads."""
        def write(part):
            self.outcome.sent.append(("write", (part,), {}))
        own = {"wfile": types.SimpleNamespace(write=write), "log_message": lambda *_: None}
        own.update(dict.fromkeys(("send_response", "send_header", "end_headers", "send_error"), lambda *_, **__: None))
        for name, value in own.items():
            role = self.given(name)
            setattr(handler, name, role[0] if role is not None else value)
        names = re.findall(r"(?:\.get\(|\[)\s*['\"](\w+)['\"]", self.source) if "parse_qs" in self.source else []
        if "self.path" in self.source:
            self.take(names[0] if names else "path")
            handler.path = "/?" + urllib.parse.urlencode({name: str(self.input) for name in names}) if names else re.sub("^(?!/)", "/", str(self.input))

    def call(self, fn):
        try:
            args, kwargs = self.args(fn)
        except Fault as err:
            return self.failed(err)
        self.settle(lambda: fn(*args, **kwargs))

    def args(self, fn, skip=0):
        args, kwargs = [], {}
        for i, p in enumerate(inspect.signature(fn).parameters.values()):
            if i < skip or p.kind == p.VAR_KEYWORD:
                continue
            if p.kind == p.VAR_POSITIONAL:
                args.append(self.taint(p.name))
                continue
            if i == 0 and p.name in ("self", "cls"):
                args.append(_Self(self))
                continue
            role = self.given(p.name)
            if role is None and p.default is not p.empty:
                continue
            value = role[0] if role is not None else self.taint(p.name)
            if p.kind == p.KEYWORD_ONLY:
                kwargs[p.name] = value
            else:
                args.append(value)
        return args, kwargs

    def attribute(self, name):
        """What self.name means where the class doesn't say."""
        if name.startswith("__"):
            raise AttributeError(name)
        role = self.given(name)
        if role is not None:
            return role[0]
        if re.search(rf"self\.{name}\s*\(", self.source) or name.isupper():
            self.missing(f"self.{name} is not defined in the snippet")
        return self.taint(name)

    def given(self, name):
        """Finds what a name stands for, if that isn't the input: a tuple of one."""
        if name not in self.known:
            role = self.kit.roles(name, self) if hasattr(self.kit, "roles") else None
            role = role or self.usual(name)
            if role is None:
                return None
            self.known[name] = role
        return self.known[name]

    def usual(self, name):
        if name in ("request", "req"):
            return (self.request(),)
        if name in ("app", "bp", "blueprint", "router", "api"):
            return (_Router(self),)
        if name in ("logger", "log"):
            return (_Silent(),)
        own = fake_names(self).get(name)
        if own is not None:
            return (own,)
        if name in sys.stdlib_module_names and re.search(rf"\b{name}\.", self.source):
            return (importlib.import_module(name),)
        if name == "Path":
            import pathlib
            return (pathlib.Path,)
        return None

    def unknown(self, name):
        if name.startswith("__"):
            raise KeyError(name)
        if name[0].isupper() or name.lstrip("_")[:1].isupper():
            self.missing(f"name '{name}' is not defined in the snippet")
        if re.search(rf"(?<![\w.]){re.escape(name)}\s*\(", self.source):
            self.missing(f"{name} is called and not defined in the snippet")
        return self.taint(name)

    def members(self, name):
        return re.findall(rf"(?<![\w.]){re.escape(name)}\s*\.\s*(\w+)\s*(\(?)", self.source)

    def taint(self, name):
        """The input as a name is used: a text, or something of which texts are read."""
        self.take(name)
        members = self.members(name)
        subscript = re.search(rf"(?<![\w.]){re.escape(name)}\s*\[\s*[rb]?['\"]", self.source)
        if subscript or any(m not in _text_members for m, _ in members) or (members and all(m == "get" for m, _ in members)):
            return Tainted(self, name, {m for m, call in members if call})
        return self.value(name)

    def take(self, name):
        self.outcome.used = True
        self.outcome.names.add(name)

    def read(self, name):
        self.take(name)
        deeper = re.findall(rf"\.{re.escape(name)}\s*(?:\.\s*(\w+)|(\[\s*['\"]))", self.source)
        if any(sub or (m and m not in _text_members) for m, sub in deeper):
            return Tainted(self, name, set())
        return self.value(name)

    def value(self, name):
        """What an input of that name holds: state["inputs"] names those that differ from the others."""
        return self.state.get("inputs", {}).get(name, self.input)

    def request(self):
        return Request(self)


class Tainted:
    """Something whose every member and item is the input."""

    def __init__(self, run, name, called):
        self.__dict__.update(_run=run, _name=name, _called=called)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        run = self._run
        if _getters.match(name):
            run.outcome.used = True
            if name in ("items", "values", "keys", "to_dict"):
                run.missing(f"{self._name}.{name}() can't be told: name the parameter")
            if name == "getlist":
                return lambda *a, **k: [run.input]

            def get(*a, **k):
                run.take(str(a[0]) if a else name)
                return _typed(run.value(str(a[0]) if a else name), k.get("type"))
            return get
        if name in self._called:
            run.missing(f"{self._name}.{name} is called, and the snippet doesn't say what {self._name} is")
        return run.read(name)

    def __getitem__(self, key):
        self._run.take(str(key))
        return self._run.value(str(key))

    def __contains__(self, key):
        return True

    def __bool__(self):
        return True

    def __str__(self):
        self._run.outcome.used = True
        return str(self._run.input)

    def __iter__(self):
        return iter([self._run.input])


def _typed(value, kind):
    """As werkzeug does: what can't be converted is the default."""
    if kind is None:
        return value
    try:
        return kind(value)
    except (TypeError, ValueError):
        return None


def _bytes(value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class Request(Tainted):
    """A request of Flask or Django: every parameter of it is the input."""

    def __init__(self, run):
        super().__init__(run, "request", set())
        self.__dict__.update(method="POST" if re.search(r"method\s*==\s*['\"]POST", run.source) else "GET", is_json=True, user=Tainted(run, "user", set()))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        run = self._run
        run.outcome.used = True
        if name in ("args", "form", "values", "cookies", "headers", "GET", "POST", "COOKIES", "META", "json", "query_params", "path_params", "view_args", "params", "session", "match_info", "query"):
            return Tainted(run, name, set())
        if name == "data" or name == "stream":
            return _bytes(run.input) if name == "data" else io.BytesIO(_bytes(run.input))
        if name in ("get_json", "get_data"):
            return (lambda *a, **k: Tainted(run, "json", set())) if name == "get_json" else (lambda *a, **k: run.input if k.get("as_text") else _bytes(run.input))
        if name in ("FILES", "files"):
            return _Files(run)
        if name in ("body",):
            return _bytes(run.input)
        if name in ("path", "full_path", "url", "path_info"):
            run.take("path")
            return "/" + str(run.input).lstrip("/")
        return run.input


class _Files:
    def __init__(self, run):
        self.file = Upload(run)

    def __getitem__(self, _):
        return self.file

    def get(self, *_):
        return self.file

    def __contains__(self, _):
        return True


class Upload:
    """An uploaded file whose name is the input."""

    def __init__(self, run):
        run.outcome.used = True
        self.filename = self.name = run.input
        self.stream = self.file = io.BytesIO(b"uploaded")
        self.size, self.content_type = 8, "text/plain"

    def save(self, to):
        with open(to, "wb") as f:
            f.write(b"uploaded")

    def read(self, *_):
        return b"uploaded"

    def chunks(self):
        return [b"uploaded"]


class _Self:
    """What self is for a method that is taken out of its class."""

    def __init__(self, run):
        self.__dict__["_run"] = run

    def __getattr__(self, name):
        return self._run.attribute(name)


class _Router:
    """An application: what its decorators are given are the entry points."""

    def __init__(self, run):
        self.__dict__.update(_run=run, config=_Config(run), debug=False, logger=_Silent(), root_path=run.state.get("dirname", "/work/app"))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("run", "register_blueprint", "add_middleware", "mount"):
            return lambda *a, **k: None
        if name == "add_url_rule":
            return lambda *a, **k: [self._run.routes.append(x) for x in (*a, *k.values()) if inspect.isfunction(x)]

        def decorator(*a, **_):
            if len(a) == 1 and inspect.isfunction(a[0]):
                return self._add(a[0])
            return self._add
        return decorator

    def _add(self, handler):
        if handler not in self._run.routes:
            self._run.routes.append(handler)
        return handler


class _Config(dict):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def __missing__(self, name):
        role = self.run.given(name)
        return role[0] if role is not None else self.run.missing(f"the configuration {name} is not set in the snippet")

    def get(self, name, default=None):
        try:
            return self[name]
        except Fault:
            return default


class _Silent:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *a, **_):
        return a[0] if len(a) == 1 and inspect.isfunction(a[0]) else self


class HTTPError(Exception):
    """What flask.abort and its like raise."""

    def __init__(self, code=400, description=None, detail=None, status_code=None):
        super().__init__(f"{status_code or code} {description or detail or ''}".strip())
        self.code = status_code or code


class Response:
    """What a view sends."""

    def __init__(self, response=None, status=None, headers=None, mimetype=None, content_type=None, **_):
        self.data = self.response = response if response is not None else ""
        self.status_code, self.headers, self.mimetype, self.content_type = status, dict(headers or {}), mimetype, content_type

    def set_cookie(self, *_, **__):
        pass

    def __setitem__(self, name, value):
        self.headers[name] = value

    def __repr__(self):
        return f"Response({self.data!r})"


def fake_names(run):
    """What flask, django and fastapi lend to a snippet, by name; a kit's fakes(run) come first."""
    def abort(code=400, description=None, **_):
        raise HTTPError(code, description)

    def sender(how):
        def send(*args, **kwargs):
            run.outcome.sent.append((how, args, kwargs))
            return Response(args[0] if len(args) == 1 else args)
        return send
    import html
    names = {
        "abort": abort, "HTTPException": HTTPError, "Http404": HTTPError, "NotFound": HTTPError, "BadRequest": HTTPError, "Forbidden": HTTPError,
        "jsonify": lambda *a, **k: Response(k or (a[0] if len(a) == 1 else a)), "make_response": lambda *a: a[0] if a and isinstance(a[0], Response) else Response(*a[:1]),
        "Response": Response, "HttpResponse": Response, "JsonResponse": Response, "HTMLResponse": Response, "PlainTextResponse": Response, "JSONResponse": Response,
        "HttpResponseForbidden": Response, "HttpResponseBadRequest": Response, "HttpResponseNotFound": Response,
        "redirect": sender("redirect"), "render": sender("render"), "render_template": sender("render"), "url_for": lambda *a, **k: "/" + str(a[0] if a else ""),
        "escape": html.escape, "g": None, "current_app": _Router(run), "session": None, "flash": lambda *a, **k: None,
        "Flask": lambda *a, **k: _Router(run), "Blueprint": lambda *a, **k: _Router(run), "FastAPI": lambda *a, **k: _Router(run), "APIRouter": lambda *a, **k: _Router(run),
    }
    if hasattr(run.kit, "fakes"):
        names.update(run.kit.fakes(run))
    return {name: value for name, value in names.items() if value is not None}


class _Finder:
    """Finds modules that the sandbox doesn't have and a snippet usually means, by their names' roles."""

    known = re.compile(r"^(flask|werkzeug|django|fastapi|starlette|quart|bottle|aiohttp|sanic|tornado|psycopg2?|pymysql|MySQLdb|mysql|sqlalchemy|asyncpg|aiosqlite|markupsafe|dotenv|pyodbc|flask_\w+)(\.|$)")

    def __init__(self, run):
        self.run = run

    def find_spec(self, name, path=None, target=None):
        own = getattr(self.run.kit, "modules", None)
        if not self.known.match(name) and not (own and own(name)):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)

    def create_module(self, spec):
        return _Module(spec.name, self.run)

    def exec_module(self, module):
        pass


class _Module(types.ModuleType):
    def __init__(self, name, run):
        super().__init__(name)
        self.__dict__.update(_run=run, __crisol__=True, __path__=[])

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        lent = getattr(self._run.kit, "lent", None)
        value = lent(self.__name__, name, self._run) if lent else None
        if value is not None:  # what is said of this module counts before what the name means elsewhere
            return value
        role = self._run.given(name)
        if role is not None:
            return role[0]
        if name in ("request",):
            return self._run.request()
        self._run.missing(f"{self.__name__}.{name} is not there: the snippet has to do without it")


def _outside(tree):
    """Walks what lies outside any function of its own."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield node
        yield from _outside(node)


def is_fault(err):
    """Tells a mistake in the snippet from an error that it may well mean."""
    if isinstance(err, (NameError, ImportError, AttributeError, IndentationError)):
        return True
    if not isinstance(err, TypeError):
        return False
    frames = traceback.extract_tb(err.__traceback__)
    return bool(re.search(r"not callable|positional argument|unexpected keyword|not subscriptable|has no attribute|unsupported operand|can only concatenate", str(err))) and bool(frames) and not isinstance(err, HTTPError)
