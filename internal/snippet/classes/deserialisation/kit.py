"""Deserialisation in Python: what a snippet reads is really read. A payload calls a builtin with a name of this run alone, or
starts a command that leaves a file of that name. PyYAML is the sandbox's own; yaml.load without a Loader does what it did
before version 6, which asks for one."""
import base64
import builtins
import bz2
import gzip
import hashlib
import hmac
import io
import itertools
import json
import lzma
import marshal
import os
import pickle
import re
import secrets
import sys
import zlib

from crisol_snippet import HTTPError, Request, Response

try:
    import yaml
except ImportError:
    yaml = None

work = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
secret = "crisol" + "".join(chr(97 + b % 26) for b in secrets.token_bytes(10))
mark, store = os.path.join(work, secret), os.path.join(work, "stored")
_called = []
setattr(builtins, secret, lambda *_, **__: _called.append(True))

if yaml:
    def _before_6(plain):
        return lambda stream, Loader=yaml.UnsafeLoader: plain(stream, Loader=Loader)
    yaml.load, yaml.load_all = _before_6(yaml.load), _before_6(yaml.load_all)

_formats = [("pickle", re.compile(r"pickle|\bdill\b|shelve", re.I)), ("yaml", re.compile(r"\byaml\b", re.I)), ("marshal", re.compile(r"\bmarshal\b")),
            ("code", re.compile(r"(?<![.\w])(eval|exec|literal_eval)\s*\(|\bast\.literal_eval\b")), ("json", re.compile(r"\bjson\b|get_json"))]


def formats(source):
    return [name for name, form in _formats if form.search(source)]


# --- names

class _Request(Request):
    """A request whose body is the message, where the snippet leaves it to the framework to read JSON."""

    def __getattr__(self, name):
        run = self._run
        if name not in ("json", "get_json") or re.search(r"\bjson\.loads?\(", run.source) or formats(run.source) != ["json"]:
            return super().__getattr__(name)
        run.outcome.used = True
        try:
            body = json.loads(run.state["message"])
        except ValueError:
            raise HTTPError(400) from None
        return body if name == "json" else lambda *_, **__: body


_pickles = ("cPickle", "_pickle", "dill", "cloudpickle")


def roles(name, run):
    bare = re.escape(name)
    if name in ("request", "req"):
        return (_Request(run),)
    if name in _pickles or name == "yaml":
        return (pickle if name != "yaml" else yaml or run.missing(_no_yaml),)
    if re.search(r"secret|(^|_)key$|^salt$", name, re.I) and re.search(r"\b(hmac|hashlib)\b", run.source):
        return (b"the signing key of the trial",) if re.search(rf"hmac\.new\(\s*{bare}\s*,|HMAC\(\s*{bare}\s*,|\+\s*{bare}|{bare}\s*\+", run.source) else ("the signing key of the trial",)
    if name in vars(builtins) or re.search(rf"(?<![\w.]){bare}\s*\(", run.source):
        return None
    if re.search(rf"\b(open|Path|read_pickle)\(\s*(os\.path\.join\([^()]*,\s*)?{bare}\b", run.source):
        run.take(name)
        return (store,)
    if re.search(rf"(?<!def )\b(?:load|load_all|Unpickler|full_load|unsafe_load|safe_load)\(\s*{bare}\s*[,)]", run.source) and "message" in run.state and "pickle" in formats(run.source):
        run.take(name)
        return (io.BytesIO(run.state["message"]),)
    return None


_no_yaml = "PyYAML is not in the sandbox of this machine (Debian: python3-yaml)"


def modules(name):
    return name in _pickles or name == "yaml"


def lent(module, name, run):
    return run.missing(_no_yaml) if module == "yaml" else getattr(pickle, name, None)


def _rewrite(source):
    """A file that is named in the text is the one that holds the message."""
    return re.sub(r"\bopen\(\s*(['\"])[^'\"{}]+\1", lambda _: f"open({store!r}", source)


# --- messages

def _plain_form(form, value):
    """Encodes plain data as a format does."""
    if form == "pickle":
        return pickle.dumps(value, 2)
    if form == "marshal":
        return marshal.dumps(value)
    return (repr(value) if form == "code" else json.dumps(value, ensure_ascii=False)).encode()


class Carrier:
    """How a message comes to a snippet: packed, encoded, as bytes or as a text."""

    def __init__(self, pack, encode, text):
        self.pack, self.encode, self.text = pack, encode, text

    def carry(self, raw):
        message = self.encode(self.pack(raw))
        return message, message.decode("utf-8" if self.encode is _same else "ascii", "surrogateescape") if self.text else message


def _same(raw):
    return raw


_packs = [(r"\bzlib\b", zlib.compress), (r"\bgzip\b", gzip.compress), (r"\bbz2\b", bz2.compress), (r"\blzma\b", lzma.compress)]
_encodings = [(r"urlsafe_b64decode", base64.urlsafe_b64encode), (r"b64decode|b64|base64", base64.b64encode), (r"fromhex|unhexlify|hex", lambda raw: raw.hex().encode()), (r"b85decode", base64.b85encode), (r"b32decode", base64.b32encode)]


def carriers(source):
    found = [[make for form, make in table if re.search(form, source)] + [_same] for table in (_packs, _encodings)]
    return [Carrier(pack, encode, text) for pack, encode, text in itertools.product(*found, (False, True))]


class Layout:
    """Where a message stands beside its signature; an empty name is none."""

    def __init__(self, join, names=()):
        self.join, self.names = join, names


_signs = re.compile(r"^(sig|signature|mac|hmac|digest|tag|checksum|hash)$|_(sig|signature|mac|digest)$", re.I)


def layouts(source):
    """How a snippet that checks signatures may read one: in a parameter of its own, behind or before a separator, in front."""
    if not re.search(r"\bhmac\b", source):
        return []
    list_ = []
    names = [n for n in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", source)) if _signs.search(n) and n != "hmac"]
    if names:
        list_.append(Layout(lambda m, s: m, tuple(names)))
    for _, text in re.findall(r"r?(?:split|partition)\(\s*b?(['\"])(.+?)\1", source):
        list_ += [Layout(lambda m, s, t=text: s + t.encode() + m), Layout(lambda m, s, t=text: m + t.encode() + s)]
    sizes = [int(n) for pair in re.findall(r"\[-?(\d+):\]|\[:-?(\d+)\]", source) for n in pair if n] or ([32, 64] if re.search(r"\[:\s*-?\w+\]", source) else [])
    for size in dict.fromkeys(sizes):
        list_ += [Layout(lambda m, s, n=size: s[:n].ljust(n, b"0") + m), Layout(lambda m, s, n=size: m + s[:n].ljust(n, b"0"))]
    return list_


class Seen:
    """What one run did and shows."""

    def __init__(self, outcome, signatures):
        self.outcome, self.signatures = outcome, signatures
        self.marked = bool(_called) or os.path.exists(mark)
        self.shown = _plain([outcome.values, [(s[0], s[1]) for s in outcome.sent], [c[1] for c in outcome.called]])
        self.kept = {k: _plain(v) for k, v in outcome.declared.items() if isinstance(v, (str, int, float, list, tuple, dict))}


def _plain(value, depth=0):
    if isinstance(value, Response):
        return _plain(value.data, depth + 1)
    if depth > 12:
        return "..."
    if isinstance(value, dict):
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, depth + 1) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else re.sub(r" at 0x[0-9a-f]+", "", repr(value))


_new = hmac.new


def attempt(snippet, carrier, raw, control=False, layout=None, signature=b"0" * 64):
    """Runs a snippet once with a message."""
    _called.clear()
    if os.path.exists(mark):
        os.remove(mark)
    message, value = carrier.carry(raw)
    inputs = {}
    if layout:
        message = layout.join(message, signature)
        value = message.decode("latin-1") if carrier.text else message
        inputs = dict.fromkeys(layout.names, signature.decode("latin-1") if carrier.text else signature)
    with open(store, "wb") as f:
        f.write(message)
    signed = []

    def new(*args, **kwargs):
        made = _new(*args, **kwargs)
        signed.append(made)
        return made
    hmac.new = new
    modules_before = dict(sys.modules)
    try:
        outcome = snippet.run(value, control=control, rewrite=_rewrite, state={"message": message, "inputs": inputs})
    finally:
        hmac.new = _new
        for name, module in modules_before.items():  # a payload may have put another in its place
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
    if store in _rewrite(snippet.source) and outcome.proper:
        outcome.used = True
    return Seen(outcome, [s for one in signed for s in (one.hexdigest().encode(), one.digest(), base64.b64encode(one.digest()), base64.urlsafe_b64encode(one.digest()))])


# --- harmless data

def _data(pair, base):
    """The data with the members that the snippets ask for."""
    if not isinstance(base, dict):
        return base
    words = dict.fromkeys(re.findall(r"(?:\[\s*|get\(\s*|pop\(\s*)['\"]([A-Za-z_]\w*)['\"]", pair.affected.source + pair.target.source))
    return {**{w: f"first mark of {w}" for w in words}, **base}


def _works(seen, raw):
    """Which of the views of a run shows the data, and not the message as it came; None if it failed or none does."""
    if seen.outcome.error or not seen.outcome.proper:
        return None
    whole = repr(raw.decode("utf-8", "replace"))
    return next((how for how in ("shown", "kept") if "first mark" in repr(getattr(seen, how)) and whole not in repr(getattr(seen, how))), None)


class Way:
    """A format and a carrier in which plain data gets through the affected snippet, and what is then seen."""

    def __init__(self, form, carrier, how, was):
        self.form, self.carrier, self.how, self.was = form, carrier, how, was

    def same(self, seen):
        if seen.outcome.error or not seen.outcome.proper:
            return False
        before, after = getattr(self.was, self.how), getattr(seen, self.how)
        return before == after if self.how == "shown" else any(k in after for k in before) and all(before[k] == after[k] for k in before if k in after)


def _ways(pair, value):
    """All ways in which data gets through the affected snippet."""
    found, why = [], ""
    for form in formats(pair.affected.source):
        raw = _plain_form(form, value)
        for carrier in carriers(pair.affected.source):
            seen = attempt(pair.affected, carrier, raw, True)
            how = _works(seen, raw)
            if how:
                found.append(Way(form, carrier, how, seen))
            else:
                why = why or seen.outcome.fault or (str(seen.outcome.error) if seen.outcome.error else "")
    if not found:
        raise AssertionError(f"the vulnerable snippet makes nothing of plain data in {' or '.join(formats(pair.affected.source)) or 'a format that it names'}: {why or 'it shows nothing of the data'}")
    return found


def _through_target(pair, ways, value):
    """(way, run of the target that gives what the affected snippet gave, None), or (None, None, why there is none). The message is that of the affected snippet, signed as only the key's holder can, or JSON if the target reads that."""
    lost = ""
    again = [Way("json", carrier, ways[0].how, ways[0].was) for carrier in carriers(pair.target.source)] if "json" in formats(pair.target.source) else []
    for way in [*ways, *again]:
        raw = _plain_form(way.form, value)
        seen = attempt(pair.target, way.carrier, raw)
        if way.same(seen):
            return way, seen, None
        lost = lost or seen.outcome.fault or (f"{type(seen.outcome.error).__name__}: {seen.outcome.error}" if seen.outcome.error else f"it gives {getattr(seen, way.how)!r}, the vulnerable code gave {getattr(way.was, way.how)!r}")
        for layout in layouts(pair.target.source):
            for signature in attempt(pair.target, way.carrier, raw, layout=layout).signatures:
                seen = attempt(pair.target, way.carrier, raw, layout=layout, signature=signature)
                if way.same(seen):
                    return way, seen, None
    return None, None, lost


def benign(pair, values):
    compared, why = 0, ""
    for base in values:
        value = _data(pair, base)
        try:
            ways = _ways(pair, value)
        except AssertionError as err:
            why = err
            continue
        compared += 1
        way, seen, lost = _through_target(pair, ways, value)
        if lost:
            raise AssertionError(f"with {base!r}: {lost}")
        if way.form != ways[0].form:
            print(f"the patch reads {way.form} where the vulnerable code read {ways[0].form}")
        for outcome in pair.target.outcomes:  # the ways that didn't fit prove nothing
            outcome.control = outcome.control or outcome is not seen.outcome
    if not compared:
        raise why


# --- hostile messages

def _arguments(args, protocol):
    return b"(" + b"".join(pickle.dumps(a, protocol)[2 if protocol else 0:-1] for a in args) + b"t"


def _name(module, name):
    return b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, name)) + b"\x93"


def _pickled(target, args, way):
    """Bytes that call module.name, in one of the ways that pickles know."""
    module, name = target.rsplit(".", 1)
    if way == "global":
        return f"c{module}\n{name}\n".encode() + _arguments(args, 0) + b"R."
    if way == "stack":
        return b"\x80\x04" + _name(module, name) + _arguments(args, 2) + b"R."
    if way == "inst":
        return b"(" + b"".join(pickle.dumps(a, 0)[:-1] for a in args) + f"i{module}\n{name}\n.".encode()
    if way == "obj":
        return b"(" + f"c{module}\n{name}\n".encode() + b"".join(pickle.dumps(a, 0)[:-1] for a in args) + b"o."
    # among plain data
    return b"\x80\x02}" + pickle.dumps("user", 2)[2:-1] + f"c{module}\n{name}\n".encode() + _arguments(args, 2) + b"Rs."


def _through(module, command):
    """Bytes that name only members of one module: os, or sys.modules by which os takes its place."""
    own = sys.modules.get(module)
    for name in ("os", "_os"):
        if hasattr(own, name):
            yield b"\x80\x04" + _name(module, name + ".system") + _arguments([command], 2) + b"R."
    for name in ("sys", "_sys"):
        if hasattr(own, name):
            got = _name(module, name + ".modules.get") + _arguments(["os"], 2) + b"R"
            put = _name(module, name + ".modules.__setitem__") + b"(" + pickle.dumps(module, 2)[2:-1] + got + b"tR0"
            yield b"\x80\x04" + put + _name(module, "system") + _arguments([command], 2) + b"R."


def _allowed(source):
    """The modules that a text names in quotes, of those that are there."""
    for name in dict.fromkeys(re.findall(r"['\"]([a-z_][\w.]*)['\"]", source)):
        if name in sys.stdlib_module_names and name not in ("os", "subprocess"):
            try:
                __import__(name)
                yield name
            except ImportError:
                pass


def _messages(pair, payload):
    """The bytes of a payload: {format, call or text, way}."""
    command, code = f"touch {mark}", f"{secret}()"
    if payload["format"] == "pickle":
        if "call" not in payload:
            for module in _allowed(pair.target.source):
                yield from _through(module, command)
            return
        args = {"command": [command], "list": [["touch", mark]], "code": [code], "statement": [code], "timed": [code, "pass"]}[payload["takes"]]
        yield _pickled(payload["call"], args, payload["way"])
    elif payload["format"] == "marshal":
        yield marshal.dumps(compile(code, "payload", "exec"))
    else:
        yield payload["text"].replace("{command}", command).replace("{file}", mark).replace("{code}", code).replace("{name}", secret).encode()


def attack(pair, payloads):
    ways, why, value = [], "", _data(pair, {"crisol": "first mark"})
    try:
        ways = _ways(pair, value)
    except AssertionError as err:
        why = str(err)
    calm, _, _ = _through_target(pair, ways, value) if ways else (None, None, None)
    for outcome in pair.target.outcomes:
        outcome.control = True
    read = {*formats(pair.affected.source), *formats(pair.target.source)}
    tried = 0
    for payload in payloads:
        if payload["format"] not in read:
            continue
        known = [way.carrier for way in ways if way.form == payload["format"]]
        open_to = [calm.carrier] if calm and calm.carrier in known else known or carriers(pair.target.source)
        for raw in _messages(pair, payload):
            for carrier, layout in itertools.product(open_to, [None, *layouts(pair.target.source)]):
                seen = attempt(pair.target, carrier, raw, layout=layout)
                tried += 1
                if seen.marked:
                    return payload
                # what only a hostile message, or one in another form, gets is as good as a refusal
                if calm and (carrier is not calm.carrier or re.match(r"(TypeError|AttributeError)", seen.outcome.fault)):
                    seen.outcome.proper = seen.outcome.used = True
    if not tried:
        raise RuntimeError(f"it reads none of {', '.join(sorted({p['format'] for p in payloads}))}")
    if not ways:
        raise RuntimeError(why)
    return None
