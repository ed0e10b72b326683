"""Path traversal in Python: paths are resolved in a real tree. Absolute paths in the snippet's literals are moved below
/work/tree, relative ones start in the site's folder there; the secret lies at /work/vault, and others in folders beside
each base whose names begin with the base's."""
import os
import posixpath
import re
import secrets
import sys
import unicodedata

from crisol_snippet import Fault, HTTPError, Response

work = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
tree = os.path.join(work, "tree")
site, base = os.path.join(tree, "srv/app"), os.path.join(tree, "srv/files")
secret, probe = "secret-" + secrets.token_hex(8), "crisolprobe"
_literal = re.compile(r"(['\"])(/(?:var|srv|home|opt|app|data|mnt|usr|www|uploads?|files?|public|static|storage|media|images?|docs?|documents|content|assets|private|web|site|export|reports?|templates?|downloads?|avatars?|tmp|safe|base|root)(?=[/'\"])[\w./@-]*)")
_folder = re.compile(r"(dir|directory|root|folder|base|basepath)$", re.I)

_watching = None


def _audit(event, args):
    if _watching is None or not args:
        return
    if event == "open":
        mode = args[1] if isinstance(args[1], str) else ""
        writes = any(c in mode for c in "wax+") or (not mode and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR))
        _note("write" if writes else "read", args[0])
    elif event in ("os.remove", "os.rename", "os.truncate", "os.mkdir", "os.rmdir", "shutil.copyfile", "shutil.move", "shutil.rmtree"):
        for at in args[:2]:
            _note("write", at)
    elif event in ("os.listdir", "os.scandir"):
        _note("look", args[0])


def _note(kind, at):
    if isinstance(at, bytes):
        at = os.fsdecode(at)
    if isinstance(at, (str, os.PathLike)):
        _watching.append((kind, os.path.abspath(os.path.join(site, at))))


sys.addaudithook(_audit)


def _looked(real):
    def stat(at, *args, **kwargs):
        if _watching is not None and isinstance(at, (str, os.PathLike)):
            _note("look", at)
        return real(at, *args, **kwargs)
    return stat


os.stat, os.lstat = _looked(os.stat), _looked(os.lstat)


def is_base(name):
    if _folder.search(name) and not re.match(r"(user|sub|req|requested|target|input|param|tainted|file|new)", name, re.I):
        return True
    if re.match(r"(base|root|uploads?|public|static|storage|media|safe|allowed|data|templates?|downloads?|content|assets?|docs?|files|images?)_?(path|location)$", name, re.I):
        return True
    return bool(re.fullmatch(r"[A-Z][A-Z0-9_]+", name)) and bool(re.search(r"BASE|ROOT|UPLOAD|PUBLIC|STATIC|STORAGE|MEDIA|SAFE|FILES|DOCS|DIR|FOLDER|PATH", name))


class _Settings:
    def __init__(self, run):
        self.run = run

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return base if is_base(name) else self.run.missing(f"the setting {name} is not in the snippet")

    __getitem__ = __getattr__


def roles(name, run):
    if name in ("__file__",):
        return None
    if is_base(name) and not re.search(rf"\b{re.escape(name)}\s*\(", run.source):
        import pathlib
        divided = re.search(rf"\b{re.escape(name)}\s*(/|\.(joinpath|resolve|is_file)\b)|/\s*{re.escape(name)}\b", run.source)
        return (pathlib.Path(base) if divided else base,)
    if name in ("settings", "config", "conf"):
        return (_Settings(run),)
    return None


def safe_join(directory, *names):
    """As werkzeug.utils.safe_join: None where the result would leave the directory."""
    parts = [directory or "."]
    for name in names:
        if name != "":
            name = posixpath.normpath(name)
        if os.path.isabs(name) or name == ".." or name.startswith("../"):
            return None
        parts.append(name)
    return posixpath.join(*parts)


def secure_filename(name):
    """As werkzeug.utils.secure_filename."""
    name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    name = name.replace("/", " ")
    return str(re.sub(r"[^A-Za-z0-9_.-]", "", "_".join(name.split()))).strip("._")


def fakes(run):
    def send_file(at, *_, **__):
        if hasattr(at, "read"):
            body = at.read()
        else:
            with open(os.path.join(site, at), "rb") as f:
                body = f.read()
        run.outcome.sent.append(("send_file", (body,), {}))
        return Response(body)

    def send_from_directory(directory, path=None, filename=None, **_):
        at = safe_join(os.path.join(site, directory), path if path is not None else filename)
        if at is None or not os.path.isfile(at):
            raise HTTPError(404)
        return send_file(at)

    def joined(directory, *names):
        at = safe_join(directory, *names)
        if at is None and re.search(r"flask.*safe_join|import\s+safe_join.*flask", run.source):
            raise HTTPError(404)
        return at

    def django_join(root, *names):
        at = os.path.abspath(os.path.join(root, *names))
        if at != os.path.abspath(root) and not at.startswith(os.path.join(os.path.abspath(root), "")):
            raise HTTPError(400, "SuspiciousFileOperation")
        return at
    join = django_join if "django" in run.source else joined
    return {"send_file": send_file, "send_from_directory": send_from_directory, "safe_join": join, "secure_filename": secure_filename,
            "FileResponse": send_file, "StreamingResponse": lambda it, **_: Response(it), "StreamingHttpResponse": lambda it, **_: Response(it)}


def _rewrite(source):
    return _literal.sub(lambda m: m[1] + tree + m[2], source)


class Seen:
    """What one run touched, returned and sent."""

    def __init__(self, outcome, paths):
        self.outcome, self.paths = outcome, paths
        results = [*outcome.values, *[a for c in outcome.called for a in c[1]]]
        self.results = results
        self.sent = [*outcome.sent]

    def named(self, source):
        results = list(self.results)
        if not (self.paths or self.sent or self.outcome.errors or results) and not re.search(r"\bopen\(|send_file|read_text|read_bytes|request", source):
            results = list(self.outcome.declared.values())
        return [os.path.abspath(os.path.join(site, v)) for v in results if isinstance(v, (str, os.PathLike)) and str(v) and "\0" not in str(v) and "\n" not in str(v)]

    def shown(self):
        return " ".join(_text(v) for v in (*self.results, *self.sent))


def _text(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Response):
        return _text(value.data)
    if hasattr(value, "read") and not isinstance(value, type):
        try:
            return _text(value.read())
        except (ValueError, OSError):
            return ""
    if isinstance(value, dict):
        return " ".join(_text(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return " ".join(_text(v) for v in value)
    return str(value)


def attempt(snippet, value, control=False):
    global _watching
    os.chdir(site)
    for name in re.findall(r"environ(?:\.get)?[\[(]\s*['\"](\w+)|getenv\(\s*['\"](\w+)", snippet.source):
        for one in name:
            if one and is_base(one):
                os.environ[one] = base
    paths = []
    _watching = paths
    try:
        outcome = snippet.run(value, control=control, state={"dirname": site, "file": os.path.join(site, "snippet.py")}, rewrite=_rewrite)
    finally:
        _watching = None
    return Seen(outcome, paths)


def _bases(pair):
    found = []
    for snippet in (pair.affected, pair.target):
        seen = attempt(snippet, probe, True)
        for at in [p for _, p in seen.paths] + seen.named(snippet.source):
            i = at.find(probe)
            if i > 0 and at.startswith(tree):
                one = (os.path.dirname(at[:i] + "x"), at[i + len(probe):].split("/")[0])
                if one not in found:
                    found.append(one)
    return found or [(base, "")]


class World:
    """The tree with its benign files and its secrets."""

    def __init__(self, pair):
        for at in (site, base, os.path.join(work, "vault")):
            os.makedirs(at, exist_ok=True)
        listed = re.search(r"['\"]\.?(png|jpe?g|gif|pdf|csv|md|json|html|svg|docx?)['\"]", pair.target.source + pair.affected.source)
        self.kind = listed[1] if listed else "txt"
        self.found, self.secrets = _bases(pair), set()
        for root, suffix in self.found:
            for name in ("report.txt", "sub/inner.txt", "my file.txt", "notes..txt"):
                _put(os.path.join(root, self.called(name)) + suffix, "content of " + self.called(name))
            for flag in (root + "-evil/flag.txt", os.path.join(work, "vault/flag.txt")):
                at = self.called(flag) + suffix
                _put(at, secret)
                self.secrets.add(os.path.realpath(at))

    def called(self, name):
        return re.sub(r"txt$", self.kind, name)

    def below(self, at):
        return any(at.startswith(root + os.sep) for root, _ in self.found)


def _put(at, body):
    os.makedirs(os.path.dirname(at), exist_ok=True)
    with open(at, "w", encoding="utf-8") as f:
        f.write(body)


def _body(at):
    try:
        with open(at, encoding="utf-8") as f:
            return f.read()
    except (OSError, ValueError):
        return None


def _leaks(seen, world, source):
    if any(kind != "look" and os.path.realpath(at) in world.secrets for kind, at in seen.paths if "\0" not in at):
        return True
    if any(os.path.realpath(at) in world.secrets for at in seen.named(source)):
        return True
    return secret in seen.shown() or any(_body(at) != secret for at in world.secrets)


def attack(pair, payloads):
    world = World(pair)
    for payload in payloads:
        for root, _ in world.found:
            value = payload.replace("{base}", os.path.basename(root)).replace("{root}", root).replace("flag.txt", world.called("flag.txt"))
            for at in world.secrets:
                _put(at, secret)
            if _leaks(attempt(pair.target, value), world, pair.target.source):
                return value
    return None


def _served(seen, world, name, source):
    body = "content of " + world.called(name)
    return {
        "shown": body in seen.shown(),
        "read": any(kind == "read" and world.below(at) and _body(at) == body for kind, at in seen.paths),
        "written": any(kind == "write" and world.below(at) for kind, at in seen.paths),
        "named": any(world.below(at) and _body(at) == body for at in seen.named(source)),
    }


def benign(pair, payload):
    compared, why = False, ""
    for name in payload["values"]:
        world = World(pair)
        value = world.called(name)
        before = attempt(pair.affected, value, True)
        was = _served(before, world, name, pair.affected.source)
        # a subdirectory is asked for only where the input is said to be a path: else a patch may well take the base name
        if "/" in name and not any(re.search(r"path|dir|folder|url|uri|location", n, re.I) for n in before.outcome.names):
            continue
        if before.outcome.error or not any(was.values()):
            why = str(before.outcome.error or before.outcome.fault or "nothing is read, sent or returned")
            continue
        compared = True
        world = World(pair)
        after = attempt(pair.target, value)
        served = _served(after, world, name, pair.target.source)
        if not after.outcome.proper:
            raise Fault(after.outcome.fault)
        if after.outcome.error:
            raise after.outcome.error
        if not served["shown"] if was["shown"] else not any(served.values()):
            raise AssertionError(f"{value} is no longer {[k for k in was if was[k]][0]}")
    if not compared:
        raise AssertionError(f"the vulnerable snippet serves none of {', '.join(payload['values'])}: {why}")
