"""Command injection in Python: what a snippet starts really runs. Programs that it names are fakes that record their
arguments (see fake.sh); the injected command is a program with a name of this run alone, which leaves a mark."""
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time

from crisol_snippet import Fault, Response

here = os.path.dirname(os.path.abspath(__file__))
work = os.path.dirname(here)
site, fake, log = os.path.join(work, "site"), os.path.join(work, "fake"), os.path.join(work, "commands")
secret = "crisol" + "".join(chr(97 + b % 26) for b in secrets.token_bytes(10))
mark, said = os.path.join(work, secret), "said" + secrets.token_hex(6)
_real = set("sh bash dash zsh ksh env cmd exec eval node nodejs python python3 perl if then else fi for do done while case esac in echo printf test cd pwd true false exit export set read kill wait".split())
_starts = {"system": os.system, "popen": os.popen, "Popen": subprocess.Popen, "run": subprocess.run, "call": subprocess.call, "check_call": subprocess.check_call, "check_output": subprocess.check_output, "getoutput": subprocess.getoutput, "getstatusoutput": subprocess.getstatusoutput, "quote": shlex.quote, "PIPE": subprocess.PIPE, "STDOUT": subprocess.STDOUT, "DEVNULL": subprocess.DEVNULL, "CalledProcessError": subprocess.CalledProcessError}
_folder = re.compile(r"(dir|directory|root|folder|cwd|basepath|workspace|workdir)$", re.I)


def roles(name, run):
    if name in _starts and (name.isupper() or re.search(rf"(?<![\w.]){name}\b\s*[(:]", run.source)):
        return (_starts[name],)
    if name in ("sp", "sub") and re.search(rf"\b{name}\.(run|call|Popen|check_)", run.source):
        return (subprocess,)
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", name) and re.search(r"DIR|FOLDER|ROOT|BASE|HOME|WORKSPACE", name):
        return (site,)
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", name) and re.search(r"BIN|CMD|COMMAND|EXE|TOOL|PATH", name):
        return (os.path.join(fake, name.lower()),)
    if re.search(rf"\bcwd\s*=\s*{re.escape(name)}\b", run.source) or (_folder.search(name) and "cwd" in run.source):
        return (site,)
    return None


def _rewrite(source):
    source = re.sub(r"(?<=['\"\s])(?:/usr)?(?:/local)?/s?bin/([\w.+-]+)", lambda m: m[0] if m[1] in _real else os.path.join(fake, m[1]), source)
    return re.sub(r"(\bcwd\s*=\s*)(['\"])[^'\"{]*\2", lambda m: m[1] + repr(site), source)


def _put(at, text, mode=0o644):
    os.makedirs(os.path.dirname(at), exist_ok=True)
    with open(at, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(at, mode)


def _link(at, program):
    os.makedirs(os.path.dirname(at), exist_ok=True)
    if not os.path.lexists(at):
        os.symlink(program, at)


def stage(pair):
    """Lays fakes for every word of the snippets that could be a program, for scripts that are named by their path, and files."""
    shutil.rmtree(site, ignore_errors=True)
    os.makedirs(site)
    program = os.path.join(fake, ".fake")
    if not os.path.exists(program):
        with open(os.path.join(here, "fake.sh"), encoding="utf-8") as f:
            _put(program, f.read().replace("@LOG@", log).replace("@SAID@", said), 0o755)
        _put(os.path.join(fake, secret), f"#!/bin/sh\nprintf x > '{mark}'\n", 0o755)
        os.environ["PATH"] = fake + ":" + os.environ.get("PATH", "/usr/bin:/bin")
    words = " ".join([pair.target.source, pair.affected.source, *_common])
    for word in set(re.findall(r"[A-Za-z_][\w.+-]*", words)) - _real:
        _link(os.path.join(fake, word), program)
        _link(os.path.join(fake, word.lower()), program)
    for at in re.findall(r"(?<=['\"\s/])((?:\./)?(?:[\w-]+/)*[\w-]+\.(?:sh|py|pl|rb|bin))", words):
        _link(os.path.join(site, at), program)
    for name in ("report.txt", "my-report_2.txt", "my report.txt", "größe.txt", "report", "report-2", "my report"):
        _put(os.path.join(site, name), f"{said} content of {name}\n")


class Seen:
    """What one run started and showed."""

    def __init__(self, outcome):
        self.outcome, self.commands, self.marked, self.files = outcome, _commands(), os.path.exists(mark), sorted(os.listdir(site))
        self.text = " ".join(_text(v) for v in (*outcome.values, *outcome.sent, *[a for c in outcome.called for a in c[1]]))


def _text(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Response):
        return _text(value.data)
    if isinstance(value, dict):
        return " ".join(_text(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return " ".join(_text(v) for v in value)
    if isinstance(value, subprocess.CompletedProcess):
        return _text([value.stdout, value.stderr])
    return "" if isinstance(value, subprocess.Popen) else str(value)


def _commands():
    """Reads what the fakes recorded: names and arguments."""
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8", errors="replace") as f:
        parts = f.read().split("\0")
    found, i = [], 0
    while i + 1 < len(parts):
        n = int(parts[i + 1])
        found.append((parts[i], parts[i + 2:i + 2 + n]))
        i += 2 + n
    return found


def _wait(seconds):
    """Waits for what a snippet started and didn't wait for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.002)


def attempt(snippet, value, control=False, inputs=None):
    os.chdir(site)
    for at in (log, mark):
        if os.path.exists(at):
            os.remove(at)
    outcome = snippet.run(value, control=control, rewrite=_rewrite, state={"dirname": site, "file": os.path.join(site, "snippet.py"), "inputs": inputs or {}})
    bare = re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "", snippet.source)
    if not (os.path.exists(log) or os.path.exists(mark)) and not re.search(r"subprocess|system|[Pp]open|spawn|exec|check_|getoutput|\brun\(", bare):
        _built([*outcome.values, *reversed(outcome.declared.values())])
    _wait(2)
    return Seen(outcome)


def _built(values):
    """Runs a command that a snippet only puts together, as its caller would."""
    for value in values:
        if isinstance(value, str) and value.strip() and "\0" not in value:
            subprocess.run(value, shell=True, capture_output=True, check=False)
            return
        if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value):
            try:
                subprocess.run(list(value), capture_output=True, check=False)
            except (OSError, ValueError):
                pass
            return


# kinds of input, by the names that the snippet gives them; a number is what any other kind may be too
_kinds = [(kind, re.compile(form, re.I)) for kind, form in (
    ("number", r"^(n|num|number|count|port|pid|id|width|height|size|limit|depth|quality|timeout|seconds|lines?|version|duration)$|(count|port|pid|width|height|size|limit)$"),
    ("email", r"e?mail|recipient"), ("url", r"ur[li]|link|remote|clone|href|repository"), ("host", r"host|^ip|ip$|addr|domain|server|target|dns|machine|node"),
    ("reference", r"branch|tag|commit|rev|ref$|sha|package|^pkg|module|repo"), ("user", r"user|login|owner|group"),
    ("file", r"file|path|image|img|video|photo|document|archive|src|source|input|output|dest|zip|pdf|audio|dir|folder|name"),
    ("text", r"text|message|msg|comment|title|query|search|pattern|term|keyword|subject|label|note|word|body|content"))]
_chooses = re.compile(r"^(format|ext|extension|type|mode|action|lang|cmd|command|op|operation|tool|program|service|script|task|job|util)$", re.I)
_usual = {"host": "127.0.0.1", "url": "https://example.com/a", "email": "user@example.com", "number": "42", "reference": "main", "user": "alice", "file": "report.txt", "text": "hello", "any": "report"}
_common = ["date", "uptime", "png", "status"]


def _kind(names):
    return next((kind for kind, form in _kinds if any(form.search(n) for n in names)), "any")


def _words(pair):
    """What a snippet that chooses may permit: the words of its text."""
    found = dict.fromkeys(re.findall(r"['\"]([A-Za-z][\w.-]{0,30})['\"]", pair.target.source))
    return [w for w in found if w not in ("utf-8", "POST", "GET")]


def _learn(pair):
    names = {}
    for snippet in (pair.affected, pair.target):
        names.update(dict.fromkeys(sorted(attempt(snippet, _usual["any"], True).outcome.names)))
    return list(names)


def _others(names, but=None):
    return {n: _usual[_kind([n])] for n in names if n != but}


def attack(pair, payloads):
    stage(pair)
    names = _learn(pair)
    choices = [*_words(pair)[:6], *_common] if any(_chooses.search(n) for n in names) else []
    for name in names[:4] if len(names) > 1 else [None]:
        inputs = _others(names, name) if name else {}
        oks = [_usual[_kind([name])]] if name and not _chooses.search(name) else list(dict.fromkeys([_usual[_kind(names)], *choices]))
        for payload in payloads:
            for ok in oks if "{ok}" in payload else oks[:1]:
                value = payload.replace("{ok}", ok).replace("{run}", secret).replace("{absolute}", os.path.join(fake, secret))
                if attempt(pair.target, value, inputs=inputs).marked:
                    return value
    return None


def _received(seen, value):
    return [(name, next((a for a in args if value in a), "")) for name, args in seen.commands if name == value or any(value in a for a in args)]


def benign(pair, payload):
    def run(snippet, value, control, inputs):
        stage(pair)
        before = sorted(os.listdir(site))
        seen = attempt(snippet, value, control, inputs)
        seen.received, seen.before = _received(seen, value), before
        return seen
    stage(pair)
    names = _learn(pair)
    listed = any(_chooses.search(n) for n in names)
    if listed:
        turns = [(v, _others([n for n in names if not _chooses.search(n)])) for v in (*_words(pair), *_common)]
    elif len(names) > 1:  # every input gets its turn, harmless values of their own kind in the others
        turns = [(v, {**_others(names, n), n: v}) for n in names for v in payload[_kind([n])]]
    else:
        turns = [(v, {}) for v in payload[_kind(names)]]
    compared, good, why = 0, 0, "no command receives it"
    for value, inputs in turns:
        was = run(pair.affected, value, True, inputs)
        if was.outcome.error or not (was.received or value in was.text):
            why = str(was.outcome.error or was.outcome.fault or why)
            continue
        compared += 1
        now = run(pair.target, value, False, inputs)
        lost = _worse(was, now, value)
        good, why = (good, lost) if lost else (good + 1, why)
        if lost and not listed:
            raise AssertionError(f"with {value!r}: {lost}")
    if not compared:
        raise AssertionError(f"the vulnerable snippet runs nothing with any of {[v for v, _ in turns]}: {why}")
    if not good:
        raise AssertionError(f"none of {[v for v, _ in turns]} does what it did: {why}")


def _worse(was, now, value):
    if not now.outcome.proper:
        raise Fault(now.outcome.fault)
    if now.outcome.error:
        return str(now.outcome.error) or type(now.outcome.error).__name__
    if said in was.text and said not in now.text:
        return "what the command says is no longer passed on"
    if was.files != now.files:
        return "other files are there than before"
    # a patch may as well do without the program what it did: show the same, change the same files
    again = {name for name, _ in was.received} & {name for name, _ in now.commands}
    instead = not again and ((said in was.text and said in now.text) or (not was.received and value in now.text) or was.files != was.before)
    if not instead and not all(one in now.received for one in was.received):
        return f"{was.received[0][0] if was.received else 'the command'} no longer receives it"
    return None
