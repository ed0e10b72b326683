"""Reads HTML as a browser does, by the tokenizer's states of the HTML standard, and tells what of it would run.

As a program it serves a JavaScript kit through two FIFOs, one line of JSON for each question and answer.
"""
import html
import json
import re
import sys
from html.entities import html5
from urllib.parse import unquote, unquote_plus

_void = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_raw = {"style", "xmp", "iframe", "noembed", "noframes", "noscript"}
_breakout = {"b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "ol", "p", "pre", "s", "small", "span", "strong", "table", "tt", "u", "ul", "var"}
_links = {("a", "href"), ("area", "href"), ("a", "xlink:href"), ("iframe", "src"), ("frame", "src"), ("embed", "src"), ("object", "data"), ("form", "action"), ("button", "formaction"), ("input", "formaction")}
URLS = {"href", "src", "action", "formaction", "data", "xlink:href", "poster", "cite"}
_call = re.compile(r"\b(?:alert|confirm|prompt)\s*(?:\(|`)\s*1")
_reference = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_space = "\t\n\f\r "


def in_attribute(text):
    """Decodes character references by the rules for attributes: a name without a semicolon before = or a letter is text."""
    def one(m):
        name = m[1]
        if name.startswith("#") or name in html5:
            if not name.startswith("#") and not name.endswith(";") and text[m.end():m.end() + 1] == "=":
                return m[0]
            return html.unescape(m[0])
        known = next((name[:n] for n in range(len(name) - 1, 1, -1) if name[:n] in html5), None)
        if known is None or name[len(known)] == "=" or name[len(known)].isalnum():
            return m[0]
        return html5[known] + name[len(known):]
    return _reference.sub(one, text)


def _script_end(text, at):
    """Finds where a script's text ends: the states escaped and double escaped count."""
    state = 0
    for m in re.compile(r"<!--|-->|<(/?)script(?=[\s/>])", re.I).finditer(text, at):
        word = m[0].lower()
        if word == "<!--":
            state = state or (0 if text.startswith((">", "->"), m.end()) else 1)
        elif word == "-->":
            state = 0
        elif word == "<script":
            state = 2 if state == 1 else state
        elif state == 2:
            state = 1
        else:
            return m.start()
    return len(text)


def _tag(text, i):
    """Reads a tag from its name on: (name, attributes, closed itself, index behind it), or None at the end of the text."""
    n = len(text)
    j = i
    while j < n and text[j] not in "\t\n\f\r />":
        j += 1
    name, attributes, closed = text[i:j].lower(), {}, False
    while True:
        while j < n and text[j] in _space + "/":
            closed = text[j] == "/"
            j += 1
        if j >= n:
            return None
        if text[j] == ">":
            return name, attributes, closed, j + 1
        start, j = j, j + 1
        while j < n and text[j] not in "\t\n\f\r />=":
            j += 1
        key, value, closed = text[start:j].lower(), "", False
        k = j
        while k < n and text[k] in _space:
            k += 1
        if k < n and text[k] == "=":
            j = k + 1
            while j < n and text[j] in _space:
                j += 1
            if j < n and text[j] in "\"'":
                end = text.find(text[j], j + 1)
                if end < 0:
                    return None
                value, j = text[j + 1:end], end + 1
            else:
                start = j
                while j < n and text[j] not in "\t\n\f\r >":
                    j += 1
                value = text[start:j]
        attributes.setdefault(key, in_attribute(value))


def tokens(text):
    """Yields ("text", data), ("start", name, attributes), ("end", name) and ("raw", name, data)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "�")
    i, n, foreign = 0, len(text), []
    while i < n:
        if text[i] != "<":
            j = text.find("<", i)
            j = n if j < 0 else j
            yield "text", html.unescape(text[i:j])
            i = j
            continue
        after = text[i + 1:i + 2]
        if text.startswith("<!--", i):
            short = re.compile(r"-?>").match(text, i + 4)
            end = short or re.compile(r"--!?>").search(text, i + 4)
            i = end.end() if end else n
        elif after in ("!", "?") or (after == "/" and not re.match(r"</[A-Za-z]", text[i:i + 3])):
            if after == "/" and i + 2 >= n:
                yield "text", "</"
                return
            cdata = foreign and text.startswith("<![CDATA[", i)
            end = text.find("]]>" if cdata else ">", i)
            if cdata:
                yield "text", text[i + 9:end if end >= 0 else n]
            i = n if end < 0 else end + (3 if cdata else 1)
        elif after == "/":
            tag = _tag(text, i + 2)
            if tag is None:
                return
            name, _, _, i = tag
            if name in foreign:
                del foreign[foreign.index(name):]
            yield "end", name
        elif after.isascii() and after.isalpha():
            tag = _tag(text, i + 1)
            if tag is None:
                return
            name, attributes, closed, i = tag
            if foreign and name in _breakout:
                foreign.clear()
            yield "start", name, attributes
            inside = foreign and foreign[-1] in ("svg", "math")
            if name in ("svg", "math") or (inside and name in ("foreignobject", "desc", "title", "mi", "mo", "mn", "ms", "mtext")):
                if not closed:
                    foreign.append(name)
                continue
            if inside:
                continue
            if name == "plaintext":
                yield "text", text[i:]
                return
            if name == "script":
                j = _script_end(text, i)
                yield "raw", name, text[i:j]
                i = j
            elif name in _raw or name in ("title", "textarea"):
                end = re.compile(rf"</{name}(?=[\s/>])", re.I).search(text, i)
                j = end.start() if end else n
                yield ("text", html.unescape(text[i:j])) if name in ("title", "textarea") else ("raw", name, text[i:j])
                i = j
        else:
            yield "text", "<"
            i += 1


def code(source):
    """Reads JavaScript: (what stands outside of texts and comments, the texts), or (None, []) where it can't be parsed."""
    out, texts, i, n, last = [], [], 0, len(source), ""
    depth = []  # of braces, for each template's ${

    def template(i):
        start = i
        while i < n and source[i] != "`":
            if source[i] == "\\":
                i += 1
            elif source.startswith("${", i):
                texts.append(_plain(source[start:i]))
                depth.append(0)
                return i + 2
            i += 1
        texts.append(_plain(source[start:i]))
        return i + 1 if i < n else -1
    while 0 <= i < n:
        c = source[i]
        if source.startswith("//", i) or source.startswith("<!--", i) or (source.startswith("-->", i) and not "".join(out).rpartition("\n")[2].strip()):
            end = re.compile(r"[\n\u2028\u2029]").search(source, i)
            i = end.start() if end else n
        elif source.startswith("/*", i):
            end = source.find("*/", i + 2)
            i = end + 2 if end >= 0 else -1
        elif c in "\"'":
            m = re.compile(r"(?:[^\\\n" + c + r"]|\\(?:\r\n|[\s\S]))*" + c).match(source, i + 1)
            if m is None:
                return None, []
            texts.append(_plain(source[i + 1:m.end() - 1]))
            out.append('""')
            i, last = m.end(), '"'
        elif c == "`":
            out.append('""')
            i, last = template(i + 1), '"'
        elif c == "/" and (last == "" or last in "(,=:[!&|?{};+-*%~^<>"):
            m = re.compile(r"(?:[^\\/\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/").match(source, i + 1)
            if m is None:
                return None, []
            i, last = m.end(), "/"
        else:
            if depth and c == "{":
                depth[-1] += 1
            if depth and c == "}":
                depth[-1] -= 1
                if depth[-1] < 0:
                    depth.pop()
                    i = template(i + 1)
                    continue
            out.append(c)
            last = c if not c.isspace() else last
            i += 1
    if i < 0:
        return None, []
    return "".join(out), texts


_escapes = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}


def _plain(text):
    def one(m):
        return chr(int(m[1] or m[2] or m[3], 16)) if m[1] or m[2] or m[3] else _escapes.get(m[4], m[4])
    return re.sub(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|([\s\S]))", one, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def scheme(url):
    """The scheme of a URL and what follows it, as the URL standard reads them."""
    url = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(0x21)))))
    m = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):([\s\S]*)", url)
    return (m[1].lower(), m[2]) if m else ("", url)


def programs(page, inert=False):
    """Lists the code that a page would run. What is put in by innerHTML is inert: its scripts don't run, its events do."""
    found, kind = [], ""
    for token in tokens(page):
        if token[0] == "raw" and token[1] == "script" and not inert and re.search(r"javascript|ecmascript|module|^$", kind, re.I):
            found.append(token[2])
        if token[0] != "start":
            continue
        _, name, attributes = token
        kind = attributes.get("type", "")
        for key, value in attributes.items():
            if key.startswith("on") and len(key) > 2:
                found.append(value)
            if (name, key) == ("iframe", "srcdoc"):
                found.extend(programs(value))
            if (name, key) in _links or (name, key) == ("script", "src"):
                is_scheme, rest = scheme(value)
                if is_scheme == "javascript" and name != "script":
                    found.append(unquote(rest))
                if is_scheme == "data" and name in ("iframe", "frame", "object", "embed") and re.match(r"text/html|application/xhtml|image/svg", rest, re.I):
                    found.extend(programs(unquote(rest.partition(",")[2])))
                if is_scheme == "data" and name == "script" and not inert:
                    found.append(unquote(rest.partition(",")[2]))
    return found


def hits(pages):
    """Counts the calls of the attack's that would run."""
    return sum(len(_call.findall(code(p)[0] or "")) for page in pages if page.get("kind") != "plain" for p in programs(page["html"], page.get("inert", False)))


def view(page):
    """What a reader gets of a page: its text, its attributes, and the texts in its scripts."""
    if page.get("kind") == "plain":
        try:
            text = "\n".join(_leaves(json.loads(page["html"])))
        except ValueError:
            text = page["html"]
        return {"text": text, "attributes": [], "strings": []}
    text, attributes, strings = [], [], []
    for token in tokens(page["html"]):
        if token[0] == "text":
            text.append(token[1])
        elif token[0] == "raw" and token[1] == "script":
            strings.extend(code(token[2])[1])
            strings.extend(re.findall(r"\b\d+\b", token[2]))
            try:
                strings.extend(_leaves(json.loads(token[2])))
            except ValueError:
                pass
        elif token[0] == "start":
            for key, value in token[2].items():
                attributes.append([token[1], key, value])
                if key.startswith("on"):
                    strings.extend(code(value)[1])
    return {"text": "".join(text), "attributes": attributes, "strings": strings}


def _leaves(value):
    if isinstance(value, (dict, list)):
        return [leaf for v in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(v)]
    return [str(value)]


def _squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def shown(pages, value):
    """Says how a value is shown: as text, in an attribute, as the address of a link, in a script. Nothing: it isn't."""
    ways, value = set(), _squeeze(value)
    for seen in map(view, pages):
        if value in _squeeze(seen["text"]):
            ways.add("text")
        for _, key, have in seen["attributes"]:
            if key in URLS and have.strip().startswith(value):
                ways.add("link")
            elif value in _squeeze(have) or (key in URLS and value in unquote_plus(have)) or (key.startswith("on") and value in _squeeze(html.unescape(have))):
                ways.add("attribute")
        if any(value in _squeeze(s) for s in seen["strings"]):
            ways.add("script")
    return sorted(ways)


def literal(pages):
    """Lists the names of tags that are shown as text."""
    return sorted({m.lower() for seen in map(view, pages) for m in re.findall(r"</?([A-Za-z][A-Za-z0-9]*)\b[^<>]*>", seen["text"])})


_kept = {"a", "abbr", "acronym", "b", "blockquote", "br", "code", "dd", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "q", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"}
_attributes = {"href", "src", "alt", "title", "class", "id", "name", "width", "height", "colspan", "rowspan", "target", "rel", "lang", "dir"}


def sanitize(text, tags=None, strip=True):
    """As sanitizers do: keeps harmless elements and attributes; others are left out, or shown as text if not strip."""
    tags, out, skip = _kept if tags is None else set(tags), [], False
    for token in tokens(text):
        if token[0] == "text":
            out.append(html.escape(token[1], quote=False))
        elif token[0] == "raw" and not strip:
            out.append(html.escape(token[2], quote=False))
        elif token[0] == "start" and token[1] in tags:
            kept = [f' {k}="{html.escape(v)}"' for k, v in token[2].items() if k in _attributes and (k not in URLS or scheme(v)[0] in ("", "http", "https", "mailto", "tel"))]
            out.append(f"<{token[1]}{''.join(kept)}>")
        elif token[0] == "end" and token[1] in tags and token[1] not in _void:
            out.append(f"</{token[1]}>")
        elif token[0] in ("start", "end") and not strip:
            out.append(html.escape(f"<{token[1]}>" if token[0] == "start" else f"</{token[1]}>"))
    return "".join(out)


_answers = {
    "hits": lambda q: hits(q["pages"]),
    "shown": lambda q: shown(q["pages"], q["value"]),
    "literal": lambda q: literal(q["pages"]),
    "sanitize": lambda q: sanitize(q["html"], q.get("tags"), q.get("strip", True)),
    "text": lambda q: view({"html": q["html"]})["text"],
}

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="surrogatepass") as questions, open(sys.argv[2], "w", encoding="utf-8") as answers:
        for line in questions:
            asked = json.loads(line)
            answers.write(json.dumps(_answers[asked["do"]](asked)) + "\n")
            answers.flush()
