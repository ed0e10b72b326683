"""Code injection in Python: what a snippet evaluates really runs. The effect is a call of a builtin with a name of this run
alone: code whose names are restricted has to find its way to the builtins first."""
import builtins
import keyword
import re
import secrets

from crisol_snippet import Response

secret = "crisol" + "".join(chr(97 + b % 26) for b in secrets.token_bytes(10))
# the same name in letters that Python reads as the plain ones and a filter may not
styled = "".join(chr(0x1D5BA + ord(c) - 97) for c in secret)
_marked = []


def _mark(*_, **__):
    _marked.append(True)
    return 1


setattr(builtins, secret, _mark)

_record = {"id": 7, "name": "Ada", "title": "Sums", "price": 3, "total": 9, "amount": 4, "age": 36, "x": 2, "y": 3, "a": 5, "b": 6, "value": 8, "count": 1, "items": [1, 2, 3]}
# in no order, whatever they are sorted by, and in another by each of their fields
_records = [{**_record, "id": 9, "name": "Bob", "title": "Roots", "price": 5, "age": 33}, _record, {**_record, "id": 8, "name": "Cy", "title": "Signs", "price": 1, "age": 30}]
_about = re.compile(r"^(data|context|ctx|variables|scope|env|locals_|globals_|model|items?|rows?|records?|users?|products|obj|object|person|order|values|params|bindings|namespace|names|settings|config|options|state|store|registry|target)$", re.I)


class _Record(dict):
    """Read by key or by attribute."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def roles(name, run):
    if name == "print":
        return (lambda *a, **_: run.state["logged"].append(a),)
    if hasattr(builtins, name):
        return None
    if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", run.source):
        # a name that only the evaluated input has: nothing stands for it
        raise NameError(f"name '{name}' is not defined")
    if not _about.match(name) or _evaluated(name, run.source):
        return None
    many = re.search(rf"\bin\s+{name}\b|\b(sorted|filter|map)\s*\(.*\b{name}\b|\b{name}\.sort\(", run.source)
    return ([_Record(r) for r in _records],) if many else (_Record(_record),)


def _evaluated(name, source):
    """Whether a name goes into the text that is evaluated."""
    bare = rf"(?<![\w.]){re.escape(name)}(?!\w)"
    return re.search(rf"\+\s*{bare}(?!\s*[.\[(])|{bare}\s*\+|[{{]\s*{bare}\s*[}}]|%\s*{bare}|(?:eval|exec|compile|literal_eval|parse|loads)\s*\(\s*{bare}\s*[,)]", source)


class Seen:
    """What one run did."""

    def __init__(self, outcome, logged):
        self.outcome, self.marked = outcome, bool(_marked)
        self.shown = _plain([outcome.values, [(s[0], s[1]) for s in outcome.sent], [c[1] for c in outcome.called], logged])
        self.kept = {k: _plain(v) for k, v in outcome.declared.items() if isinstance(v, (str, int, float, bool, list, tuple, dict, set)) or v is None}


def _plain(value, depth=0):
    if isinstance(value, Response):
        return _plain([value.data, value.status_code], depth + 1)
    if depth > 8:
        return "..."
    if isinstance(value, dict):
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, depth + 1) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def attempt(snippet, value, control=False, inputs=None):
    """Runs a snippet once. What it returns to be called is called, for code that is only compiled does nothing yet."""
    _marked.clear()
    state = {"inputs": inputs or {}, "logged": []}
    outcome = snippet.run(value, control=control, state=state)
    for i, made in enumerate(outcome.values):
        try:
            if type(made).__name__ == "code":
                outcome.values[i] = eval(made)  # noqa: S307  running it is the trial
            elif type(made).__name__ == "function":
                outcome.values[i] = made(_Record(_record))
        except (Exception, SystemExit) as err:  # noqa: BLE001
            outcome.errors.append(err)
    _forgive(outcome, snippet.source)
    return Seen(outcome, state["logged"])


def _forgive(outcome, source):
    """Takes an undefined name that isn't in the snippet for what it is: the input's fault, not the snippet's."""
    missed = re.match(r"NameError: name '(\w+)' is not defined", outcome.fault)
    if missed and not re.search(rf"(?<!\w){missed[1]}(?!\w)", source):
        outcome.proper, outcome.fault = True, ""


_kinds = [("operator", re.compile(r"^(op|operator|operation|sign)$", re.I)),
          ("number", re.compile(r"^(n|num|number|count|port|pid|id|width|height|size|limit|a|b|x|y|left|right|num\d|[lr]hs|operand\w*|age|year|amount|qty|quantity)$|(count|size|tax|number)$", re.I)),
          ("words", re.compile(r"name$|field$|key$|column$|attr(ibute)?$|prop(erty)?$", re.I))]
_usual = {"operator": "+", "number": "6", "words": "name", "any": "1"}


def _kind(name):
    return next((kind for kind, form in _kinds if form.search(name)), "any")


def _others(names, but=None):
    """Harmless values for all inputs but one; an only input has no others."""
    return {} if len(names) < 2 else {n: _usual[_kind(n)] for n in names if n != but}


def _learn(pair):
    names = {}
    for snippet in (pair.affected, pair.target):
        names.update(dict.fromkeys(sorted(attempt(snippet, "1", True).outcome.names)))
    return list(names)


def _words(source):
    """The names in a text, which may be objects that lead out of restricted names."""
    return [w for w in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", source)) if not keyword.iskeyword(w) and w not in ("eval", "exec", "__builtins__")]


def attack(pair, payloads):
    names = _learn(pair)
    calm = attempt(pair.target, "1", True, _others(names)).outcome.proper
    for name in names[:5] if len(names) > 1 else [None]:
        inputs = _others(names, name)
        for payload in payloads:
            for host in _words(pair.target.source)[:24] if "{host}" in payload else [""]:
                value = payload.replace("{mark}", secret + "()").replace("{bare}", secret).replace("{styled}", styled).replace("{host}", host)
                got = attempt(pair.target, value, inputs=inputs)
                if got.marked:
                    return value
                if calm and not got.outcome.proper and got.outcome.fault.startswith(("TypeError", "AttributeError", "IndentationError")):
                    got.outcome.proper = True  # as good as a refusal
    return None


# kinds of input that a snippet says in its names it is for
_purposes = [("arithmetic", re.compile(r"calc|formula|expr|math|arith|comput", re.I)), ("json", re.compile(r"json|pars|deserial|decode|literal|load", re.I)), ("template", re.compile(r"templat|render|tpl|interpolat|greeting", re.I))]


class Kept:
    """What became of all inputs of a kind that the affected snippet takes."""

    def __init__(self):
        self.lost, self.one, self.worked = "", False, False


def _compare(pair, value, inputs, base):
    """Runs both snippets with one input: None if the affected one makes nothing of it that none of the base runs shows, else (why the target's result is worse, whether the affected one did more than hand the input on, what it gave)."""
    was = attempt(pair.affected, value, True, inputs)
    if was.outcome.error or not was.outcome.proper:
        return None
    how = next((how for how in ("shown", "kept") if all(getattr(was, how) != getattr(b, how) for b in base)), None)
    if how is None:
        return None
    now = attempt(pair.target, value, False, inputs)
    before, after = getattr(was, how), getattr(now, how)
    worked = value not in repr(before)
    if not now.outcome.proper:
        return now.outcome.fault, worked, repr(before)
    if now.outcome.error:
        return str(now.outcome.error) or type(now.outcome.error).__name__, worked, repr(before)
    if how == "kept":
        common = [k for k in before if k in after]
        same = bool(common) and all(before[k] == after[k] for k in common)
    else:
        same = before == after
    return "" if same else f"it gives {after!r}, the vulnerable code gave {before!r}", worked, repr(before)


def _takes(pair, kind, values, inputs, name, base):
    kept, given = None, []
    for value in values:
        got = _compare(pair, value, {**inputs, name: value} if name else inputs, base)
        if got is None:
            continue
        given.append(got[2])
        kept = kept or Kept()
        kept.worked = kept.worked or got[1]
        if got[0]:
            kept.lost = kept.lost or f"with {value!r}: {got[0]}"
        elif kind != "template" or got[1]:
            kept.one = True
    return None if len(given) > 1 and len(set(given)) < 2 else kept  # what doesn't depend on the input says nothing of it


def benign(pair, payload):
    names = _learn(pair)
    called = re.search(r"\(\)\s*['\"]", pair.affected.source)  # names of functions may be inputs only where the input is called
    own = [a or b for a, b in re.findall(r"['\"]([A-Za-z_]\w{0,30})['\"]|def\s+(\w+)", pair.affected.source + pair.target.source) if a or called]
    compared = 0
    for name in names if len(names) > 1 else [None]:
        kind = _kind(name or (names[0] if names else ""))
        inputs = _others(names, name)
        base = [attempt(pair.affected, value, True, {**inputs, name: value} if name else {}) for value in ("crisolword" if kind == "words" else _usual[kind], "crisolword")]
        seen = {}
        for of, values in {**payload, "words": list(dict.fromkeys([*payload["words"], *own]))}.items():
            if of == "operator" and kind == "any" or kind not in ("any", of):
                continue
            got = _takes(pair, of, values, inputs, name, base if of == "words" else base[:1])
            if got:
                seen[of] = got
        if seen:
            compared += 1
            _decide(seen, pair.affected.source)
    if not compared:
        raise AssertionError(f"the vulnerable snippet makes nothing of {payload!r}")


def _decide(seen, source):
    """Raises when the target kept too little: all inputs of the kind that the snippet says or shows it is for, else all of one kind. Of words, of which a patch may have to choose some, one is enough, and so it is of the ways to write a template."""
    source = re.sub(r"jsonify|get_json|\.json\b|JSONResponse|JsonResponse", "", source)
    wanted = [kind for kind, form in _purposes if kind in seen and form.search(source)]
    if "template" in seen and seen["template"].worked:
        wanted = ["template"]
    if not any(seen[k].one if k in ("words", "template") else not seen[k].lost for k in wanted or seen):
        raise AssertionError(seen[(wanted or list(seen))[0]].lost)
