"""XML external entities in Python, with its own parsers and a stand-in for lxml (libxml.py). A file of the vault that is opened, a request that a listener on
loopback gets, and the secret in a result are the effect. defusedxml, where the sandbox doesn't have it, is expat with
handlers that refuse what it refuses."""
import html
import io
import os
import re
import secrets
import sys
import types
import xml.dom.minidom
import xml.dom.pulldom
import xml.etree.ElementTree as ElementTree
import xml.parsers.expat
import xml.sax
import xml.sax.handler
import xml.sax.saxutils
from xml.dom import expatbuilder

import core
import libxml
from crisol_snippet import Response

work = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
vault = os.path.join(work, "vault")
secret = "secret-" + secrets.token_hex(8)
_opened, _watching = [], False


def _audit(event, args):
    if _watching and event == "open" and isinstance(args[0], (str, bytes)) and os.path.realpath(os.fsdecode(args[0])).startswith(vault + os.sep):
        _opened.append(os.fsdecode(args[0]))


sys.addaudithook(_audit)


class Encoded(str):
    """A text that is sent in UTF-16: to become bytes is to become those."""

    def __str__(self):
        return self

    def encode(self, *_):
        return super().encode("utf-16")


class Recorder(xml.sax.handler.ContentHandler):
    """A handler that the snippet doesn't define."""

    def __init__(self, *_):
        super().__init__()
        self.seen = []

    def startElement(self, name, attrs):
        self.seen += [name, *attrs.values()]

    def characters(self, content):
        self.seen.append(content)


class DefusedXmlException(ValueError):
    """What defusedxml raises."""


def _guard(parser, forbid_dtd, forbid_entities, forbid_external):
    def dtd(name, *_):
        raise DefusedXmlException(f"DTDForbidden(name={name!r})")

    def entity(name, *_):
        raise DefusedXmlException(f"EntitiesForbidden(name={name!r})")

    def external(context, base, system, public):
        raise DefusedXmlException(f"ExternalReferenceForbidden(system_id={system!r})")
    if forbid_dtd:
        parser.StartDoctypeDeclHandler = dtd
    if forbid_entities:
        parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = entity
    if forbid_external:
        parser.ExternalEntityRefHandler = external
    return parser


def _scan(data, forbid_dtd, forbid_entities, forbid_external):
    """Refuses a document before any other parser sees it."""
    parser = _guard(xml.parsers.expat.ParserCreate(), forbid_dtd, forbid_entities, forbid_external)
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError:
        pass  # the parser proper says so in its own words


def _defused(parse):
    def guarded(source, *args, forbid_dtd=False, forbid_entities=True, forbid_external=True, **kwargs):
        data = source
        if hasattr(source, "read"):
            data = source.read()
        elif parse.__name__ == "parse":
            with open(source, "rb") as f:
                data = f.read()
        _scan(data, forbid_dtd, forbid_entities, forbid_external)
        if parse.__name__ == "parse":
            data = io.BytesIO(data) if isinstance(data, bytes) else io.StringIO(data)
        return parse(data, *args, **kwargs)
    return guarded


def _exceptions():
    return {name: DefusedXmlException for name in ("DefusedXmlException", "DTDForbidden", "EntitiesForbidden", "ExternalReferenceForbidden", "NotSupportedError")}


_stand_ins = {
    "defusedxml": _exceptions(), "defusedxml.common": _exceptions(),
    "defusedxml.ElementTree": {"fromstring": _defused(ElementTree.fromstring), "XML": _defused(ElementTree.fromstring), "parse": _defused(ElementTree.parse), "tostring": ElementTree.tostring, "ParseError": ElementTree.ParseError},
    "defusedxml.minidom": {"parseString": _defused(xml.dom.minidom.parseString), "parse": _defused(xml.dom.minidom.parse)},
    "defusedxml.pulldom": {"parseString": _defused(xml.dom.pulldom.parseString), "parse": _defused(xml.dom.pulldom.parse)},
    "defusedxml.sax": {"parseString": _defused(xml.sax.parseString), "parse": _defused(xml.sax.parse)},
}
for _name in ("ElementTree", "minidom", "pulldom", "sax"):
    _stand_ins["defusedxml"][_name] = types.SimpleNamespace(**_stand_ins["defusedxml." + _name])
_stand_ins["defusedxml.cElementTree"] = _stand_ins["defusedxml.ElementTree"]
_stand_ins["defusedxml.lxml"] = {"fromstring": _defused(libxml.fromstring), "XML": _defused(libxml.fromstring), "parse": _defused(libxml.parse)}
_lxml = libxml.install()
_absent = ("xmltodict", "untangle", "bs4")


def modules(name):
    return name in _stand_ins or name.split(".")[0] in _absent


def lent(module, name, run):
    if module.split(".")[0] in _absent:
        run.missing(f"{module} is not in the sandbox, so what it makes of entities can't be tried: lxml.etree, xml.sax, minidom, pulldom and expat can")
    return _stand_ins.get(module, {}).get(name)


def roles(name, run):
    """Parsers that a snippet uses without importing them."""
    known = {
        "xml": xml, "minidom": xml.dom.minidom, "pulldom": xml.dom.pulldom, "expat": xml.parsers.expat, "expatbuilder": expatbuilder,
        "make_parser": xml.sax.make_parser, "feature_external_ges": xml.sax.handler.feature_external_ges, "feature_external_pes": xml.sax.handler.feature_external_pes,
        "sax": xml.sax, "etree": _lxml.etree, "lxml": _lxml, "ET": ElementTree, "ElementTree": ElementTree, "parseString": xml.dom.minidom.parseString, "ContentHandler": xml.sax.handler.ContentHandler,
        "BytesIO": io.BytesIO, "StringIO": io.StringIO,
    }
    if name in known:
        return (known[name],)
    if re.fullmatch(r"(content_?)?handler|\w*Handler", name) and not re.search(rf"def {name}\b", run.source):
        made = Recorder()
        run.state.setdefault("handlers", []).append(made)
        return (made if name.islower() else lambda *_: made,)
    return None


class Skeleton:
    """A document with the elements and attributes that snippets look for. What is looked for from the root on stands below
    it; what is looked for from any element stands below the root and in each of the others."""

    def __init__(self, *snippets):
        source = "\n".join(s.source for s in snippets)
        paths = re.findall(r"\.(?:find|findall|findtext|iter|xpath|getElementsByTagName)\(\s*[rbf]?['\"]([^'\"]+)['\"]", source)
        paths += re.findall(r"(?<!root\.)(?<!root\(\)\.)(?<!documentElement\.)(?:name|tag|tagName|nodeName|localName)\s*==\s*['\"]([\w-]+)['\"]", source)
        self.attributes = "".join(f' {a}="value"' for a in dict.fromkeys(re.findall(r"(?:getAttribute|attrs\.get|attrib\.get|\.get)\(\s*['\"]([\w-]+)['\"]|(?:attrs|attrib)\[['\"]([\w-]+)", source)) for a in a if a)
        absolute = next((p.split("/")[1] for p in paths if re.match(r"/\w", p)), None)
        tag = re.search(r"(?:root|root\(\)|documentElement)\.(?:tag|tagName|nodeName)\s*[!=]=\s*['\"]([\w-]+)", source)
        self.root = absolute or (tag[1] if tag else "root")
        self.fields, self.anywhere = [], []
        for path in paths:
            steps = [s for s in re.sub(r"\[[^\]]*\]|\(", "/", path).split("/") if re.fullmatch(r"[\w-]+", s) and s != "string"]
            steps = steps[1:] if steps[:1] == [self.root] else steps
            if steps and steps not in self.fields:
                self.fields.append(steps)
                if not path.startswith("/"):
                    self.anywhere.append(steps)

    def body(self, content, more=""):
        def leaf(steps, inner):
            for name in reversed(steps):
                inner = f"<{name}{self.attributes}>{inner}</{name}>"
            return inner
        inner = content if not self.fields else ""
        for steps in self.fields:
            inner += leaf(steps, content + "".join(leaf(other, content) for other in self.anywhere if other != steps))
        return f"<{self.root}{self.attributes}{more}>{inner}</{self.root}>"


def _file(text):
    at = os.path.join(work, "document.xml")
    with open(at, "wb") as f:
        f.write(text.encode())
    return at


# what a snippet may take: a text, bytes, or a file's name
_shapes = {"text": lambda text: text, "bytes": lambda text: text.encode(), "file": _file}
_started = False


def attempt(snippet, value, control=False):
    global _watching, _started
    if not _started:
        core.listen(_opened.append)
        _started = True
    os.makedirs(vault, exist_ok=True)
    for name, text in (("secret.txt", secret), ("evil.dtd", f'<!ENTITY e SYSTEM "file://{vault}/secret.txt">')):
        with open(os.path.join(vault, name), "w", encoding="utf-8") as f:
            f.write(text)
    _opened.clear()
    state = {}
    _watching = True
    try:
        outcome = snippet.run(value, control=control, state=state)
        shown = " ".join(_text(v) for v in (*outcome.values, *outcome.sent, *outcome.declared.values(), *state.get("handlers", [])))
    finally:
        _watching = False
    return outcome, list(_opened), html.unescape(shown)


def _text(value, deep=0):
    if deep > 4 or isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return ""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    if isinstance(value, Response):
        return _text(value.data, deep + 1)
    if isinstance(value, ElementTree.ElementTree):
        value = value.getroot()
    if isinstance(value, ElementTree.Element):
        return ElementTree.tostring(value, encoding="unicode")
    if isinstance(value, xml.dom.minidom.Node):
        return value.toxml() if hasattr(value, "toxml") else ""
    if isinstance(value, dict):
        return " ".join(_text(v, deep + 1) for v in value.values())
    if isinstance(value, (list, tuple, set)):
        return "".join(_text(v, deep + 1) for v in value)
    if isinstance(value, xml.dom.pulldom.DOMEventStream):
        return "".join(getattr(node, "data", "") for _, node in value)
    if type(value).__module__ == "crisol_snippet":
        return ""  # the input itself
    if hasattr(value, "__dict__") and not isinstance(value, xml.sax.xmlreader.XMLReader):
        return " ".join(_text(v, deep + 1) for v in vars(value).values())
    return str(value) if isinstance(value, (int, float)) else ""


def _shape(pair, text):
    why = ""
    for name, form in _shapes.items():
        outcome, _, _ = attempt(pair.affected, form(text), True)
        if outcome.proper and outcome.used and not outcome.error:
            return form, ""
        why = why or outcome.fault or str(outcome.error or "it takes no input")
    return None, why


def attack(pair, payloads):
    skeleton = Skeleton(pair.target, pair.affected)
    form, _ = _shape(pair, skeleton.body("first mark"))
    form = form or _shapes["text"]
    for payload in payloads:
        text = payload if isinstance(payload, str) else payload["utf-16"]
        text = re.sub(r"(<!doctype\s+)r\b", lambda m: m[1] + skeleton.root, text, flags=re.I)
        text = re.sub(r"<r>(.*?)</r>", lambda m: skeleton.body(m[1]), text)
        value = form(text if isinstance(payload, str) else Encoded(text))
        outcome, opened, shown = attempt(pair.target, value)
        if opened or secret in shown:
            return text
    return None


def benign(pair, payload):
    value = payload.get("before", "") + Skeleton(pair.affected).body(payload["content"], payload.get("attributes", ""))
    form, why = _shape(pair, value)
    if form is None:
        raise AssertionError(f"the vulnerable snippet can't read {value}: {why}")
    before, _, shown = attempt(pair.affected, form(value), True)
    outcome, _, shows = attempt(pair.target, form(value))
    if outcome.error:
        raise outcome.error
    lost = [m for m in payload["marks"] if m in shown and m not in shows]
    if lost:
        raise AssertionError(f"of {value}, {' and '.join(lost)} is lost")
    if not any(m in shown for m in payload["marks"]) and _plain(before) != _plain(outcome):
        raise AssertionError(f"of {value} it makes {_plain(outcome)} instead of {_plain(before)}")


def _plain(outcome):
    """What a snippet says of a document of which it shows nothing."""
    return [v for v in outcome.values if isinstance(v, (bool, int, float, str))]
