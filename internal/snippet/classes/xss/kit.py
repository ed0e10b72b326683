"""Cross-site scripting in Python: what a snippet returns, sends or prints is read as HTML (see markup.py). The escapers of
markupsafe, Django and bleach are stood in for, and so is as much of Jinja as a template in a text needs."""
import ast
import html
import json
import re
import string

import markup
from crisol_snippet import Fault, Response

probe = "crisolprobe"


def escape(value):
    """As markupsafe.escape."""
    if hasattr(value, "__html__"):
        return Markup(value.__html__())
    return Markup(str(value).replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;").replace("'", "&#39;").replace('"', "&#34;"))


class Markup(str):
    """Text that is HTML already: what is added to it is escaped."""

    def __new__(cls, value="", *_, **__):
        return super().__new__(cls, value.__html__() if hasattr(value, "__html__") else value)

    def __html__(self):
        return str(self)

    def __add__(self, other):
        return Markup(str(self) + str(escape(other)))

    def __radd__(self, other):
        return Markup(str(escape(other)) + str(self))

    def __mod__(self, args):
        if isinstance(args, dict):
            args = {k: escape(v) if isinstance(v, str) else v for k, v in args.items()}
        elif isinstance(args, tuple):
            args = tuple(escape(v) if isinstance(v, str) else v for v in args)
        elif isinstance(args, str):
            args = escape(args)
        return Markup(str(self) % args)

    def format(self, *args, **kwargs):
        return Markup(string.Formatter().vformat(str(self), [escape(a) for a in args], {k: escape(v) for k, v in kwargs.items()}))

    def join(self, parts):
        return Markup(str(self).join(str(escape(p)) for p in parts))

    def unescape(self):
        return html.unescape(str(self))

    def striptags(self):
        return strip_tags(self)

    escape = classmethod(lambda cls, value: escape(value))


class Safe(str):
    """Django's text that is HTML already: what is added to it stays as it is."""

    def __html__(self):
        return str(self)

    def __add__(self, other):
        sum_ = str(self) + str(other)
        return Safe(sum_) if hasattr(other, "__html__") else sum_


def django_escape(value):
    """As django.utils.html.escape, which escapes what is escaped already, too."""
    return Safe(html.escape(str(value)))


def mark(value):
    return Markup(value)


def strip_tags(value):
    return markup.view({"html": str(value)})["text"]


def clean(text, tags=None, attributes=None, strip=False, **_):
    """As bleach.clean, whose tags are few by default."""
    return markup.sanitize(str(text), ["a", "abbr", "acronym", "b", "blockquote", "code", "em", "i", "li", "ol", "strong", "ul"] if tags is None else tags, strip)


def render(run, text, context, auto):
    """Fills a template of Jinja or Django: expressions with filters, {% autoescape %} and {% raw %} around all of it."""
    if re.search(r"\{%-?\s*autoescape\s+(false|off)", text):
        auto = False
    elif re.search(r"\{%-?\s*autoescape\s+(true|on)", text):
        auto = True
    text = re.sub(r"\{%-?\s*(end)?autoescape\b[^%]*%\}|\{#.*?#\}", "", text)
    if "{%" in text:
        run.missing("a template with {% %} can't be tried here")

    def one(m):
        name, *filters = [part.strip() for part in m[1].split("|")]
        value = context
        if re.fullmatch(r"(['\"]).*\1", name):
            value = name[1:-1]
        elif not re.fullmatch(r"[\w.]+", name):
            return ""  # an expression of the attacker's, or one that can't be told
        else:
            for key in name.split("."):
                value = value.get(key, "") if isinstance(value, dict) else getattr(value, key, "")
        for call in filters:
            known = {"safe": mark, "e": escape, "escape": escape, "forceescape": lambda v: escape(str(v)), "force_escape": lambda v: escape(str(v)), "striptags": strip_tags, "upper": lambda v: str(v).upper(), "lower": lambda v: str(v).lower(),
                     "trim": lambda v: str(v).strip(), "title": lambda v: str(v).title(), "string": str, "int": lambda v: int(v) if str(v).isdigit() else 0, "tojson": to_json, "urlencode": quote, "escapejs": escape_js}.get(call.split("(")[0].split(":")[0])
            if known is None:
                run.missing(f"the filter {call} of a template can't be tried here")
            value = known(value)
        return str(escape(value) if auto else value)
    return Markup(re.sub(r"\{\{-?\s*(.*?)\s*-?\}\}", one, str(text)))


def quote(value):
    from urllib.parse import quote as real
    return real(str(value))


def to_json(value):
    text = json.dumps(value)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("'", "\\u0027"))


def escape_js(value):
    return Markup("".join(c if c.isalnum() or c == " " else f"\\u{ord(c):04X}" for c in str(value)))


class Template:
    """A template of Jinja, which doesn't escape by itself, or of Django, which does."""

    def __init__(self, run, text, auto):
        self.run, self.text, self.auto = run, text, auto

    def render(self, context=None, **more):
        return render(self.run, self.text, {**(context or {}), **more}, self.auto)


def fakes(run):
    def response(kind):
        def make(data=None, *args, **kwargs):
            made = Response(data, *args, **kwargs)
            made.mimetype = made.mimetype or made.content_type or kwargs.get("media_type") or kind
            return made
        return make

    def environment(*_, autoescape=False, **__):
        made = type("Environment", (), {})()
        made.from_string = lambda text: Template(run, text, bool(autoescape))
        made.get_template = lambda *_: run.missing("the template that is rendered is not in the snippet")
        made.filters = {}
        return made

    def missing(*_, **__):
        run.missing("the template that is rendered is not in the snippet")
    django = "django" in run.source and "jinja" not in run.source
    formatted = lambda text, *a, **k: Markup(text).format(*a, **k)  # noqa: E731
    ours = re.search(r"django|HttpResponse", run.source) and not re.search(r"markupsafe|jinja|flask", run.source)
    return {
        "escape": django_escape if ours else escape, "conditional_escape": escape, "Markup": Markup, "mark_safe": Safe, "SafeString": Safe, "SafeText": Safe, "format_html": formatted, "strip_tags": strip_tags, "striptags": strip_tags,
        "format_html_join": lambda sep, text, rows: Markup(sep).join(Markup(text).format(*row) for row in rows), "escapejs": escape_js, "urlencode": quote,
        "bleach": type("bleach", (), {"clean": staticmethod(clean), "linkify": staticmethod(lambda s, **_: s)}), "nh3": type("nh3", (), {"clean": staticmethod(lambda s, tags=None, **_: markup.sanitize(s, tags))}),
        "clean": clean, "render_template_string": lambda text, **context: render(run, text, context, True), "render_template": missing, "render": missing, "render_to_string": missing,
        "Template": lambda text, *_, autoescape=None, **__: Template(run, text, django if autoescape is None else bool(autoescape)), "Context": lambda d=None, autoescape=True, **_: d or {}, "RequestContext": lambda _, d=None, **__: d or {},
        "Environment": environment, "select_autoescape": lambda *_, **__: True, "BaseLoader": object, "DictLoader": lambda d: d, "tojson": to_json,
        "Response": response("text/html"), "HttpResponse": response("text/html"), "HTMLResponse": response("text/html"), "PlainTextResponse": response("text/plain"), "JSONResponse": response("application/json"), "JsonResponse": response("application/json"),
        "jsonify": lambda *a, **k: response("application/json")(k or (a[0] if len(a) == 1 else a)),
    }


def modules(name):
    return name.split(".")[0] in ("bleach", "nh3", "markupsafe", "jinja2")


def lent(module, name, run):
    return fakes(run).get(name)


def roles(name, run):
    if name == "print":
        return (lambda *parts, **_: run.state["parts"].append(" ".join(map(str, parts)) + "\n"),)
    if name in ("wfile", "stdout"):
        return (type("Writer", (), {"write": lambda _, part: run.state["parts"].append(part.decode() if isinstance(part, bytes) else str(part))})(),)
    if name == "write" and re.search(r"self\.write\(", run.source):
        return (lambda part: run.state["parts"].append(str(part)),)
    if name in ("get_argument", "get_query_argument", "get_body_argument") and f"self.{name}(" in run.source:
        return (lambda *_, **__: run.read("argument"),)
    if name in ("escape_html", "html_escape", "escapeHtml"):
        return (escape,)
    if name in ("send_response", "send_header", "end_headers", "set_header", "finish", "send_error"):
        return (lambda *_, **__: None,)
    return None


def _pages(value):
    if isinstance(value, str):
        return [{"html": str(value)}]
    if isinstance(value, bytes):
        return [{"html": value.decode("utf-8", "replace")}]
    if isinstance(value, Response):
        kind = str(value.headers.get("Content-Type") or value.headers.get("content-type") or value.mimetype or value.content_type or "text/html")
        body = value.data.decode("utf-8", "replace") if isinstance(value.data, bytes) else value.data if isinstance(value.data, str) else json.dumps(value.data, default=str, ensure_ascii=False)
        return [{"html": str(body), "kind": "" if re.search(r"html|xml|svg", kind) else "plain"}]
    if isinstance(value, tuple) and value:
        kind = next((str(v) for part in value[1:] if isinstance(part, dict) for k, v in part.items() if k.lower() == "content-type"), "html")
        return [dict(page, kind="" if "html" in kind else "plain") for page in _pages(value[0])]
    if isinstance(value, list) and value and all(isinstance(v, (str, bytes)) for v in value):
        return [{"html": "".join(v if isinstance(v, str) else v.decode("utf-8", "replace") for v in value)}]
    if isinstance(value, dict):
        return [{"html": json.dumps(value, default=str, ensure_ascii=False), "kind": "plain"}]
    return []


def attempt(snippet, value, control=False):
    state = {"parts": []}
    outcome = snippet.run(value, control=control, state=state)
    pages = [page for one in outcome.values for page in _pages(one)]
    if state["parts"]:
        pages.append({"html": re.sub(r"(?i)^\s*content-type:[^\n]*\n+", "", "".join(state["parts"]))})
    for _, args, _ in [s for s in outcome.sent if s[0] != "redirect"]:
        pages += [page for one in args[:1] for page in _pages(one)]
    if not pages and not outcome.errors:
        pages = [page for one in _results(snippet.source, outcome.declared) for page in _pages(one)]
    return outcome, pages


def _results(source, declared):
    """The variables that are a result: those that the snippet reads nowhere, else the last that it writes."""
    texts = {name: one for name, one in declared.items() if isinstance(one, (str, Response))}
    try:
        read = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    except SyntaxError:
        read = set()
    return [one for name, one in texts.items() if name not in read] or list(texts.values())[-1:]


def attack(pair, payloads):
    usual = markup.hits(attempt(pair.target, probe, True)[1])
    for payload in payloads:
        if markup.hits(attempt(pair.target, payload)[1]) > usual:
            return payload
    return None


_number = re.compile(r"(id|page|num|number|count|limit|offset|age|qty|quantity|year|size|\w+_id)$")


def _inputs(payload, outcome, pages):
    """Chooses harmless inputs by the names that are read, and by whether they are shown as the address of a link."""
    if "link" in markup.shown(pages, probe):
        return payload["urls"]
    return payload["numbers"] if outcome.names and all(_number.match(n) for n in outcome.names) else payload["values"]


def benign(pair, payload):
    compared, why = False, "it shows nothing"
    values = _inputs(payload, *attempt(pair.affected, probe, True))
    for value in values:
        before, was = attempt(pair.affected, value, True)
        if before.error or not markup.shown(was, value):
            why = str(before.error or before.fault or why)
            continue
        compared = True
        after, now = attempt(pair.target, value)
        if not after.proper:
            raise Fault(after.fault)
        if after.error:
            raise after.error
        if not markup.shown(now, value):
            raise AssertionError(f"{value} is no longer shown: {str([p['html'] for p in now])[:300]}")
        odd = [tag for tag in markup.literal(now) if tag not in markup.literal(was)]
        if odd:
            raise AssertionError(f"with {value}, the tag {odd[0]} is shown as text")
    if not compared:
        raise AssertionError(f"the vulnerable snippet shows none of {', '.join(values)}: {why}")
