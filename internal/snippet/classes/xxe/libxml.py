"""lxml.etree as snippets use it, over expat: the options of a parser mean what they mean to libxml2 (core.py), with the
defaults that lxml had before version 5, which replaced external entities. Trees are those of xml.etree."""
import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from xml.parsers import expat

import core


class XMLSyntaxError(SyntaxError):
    """What lxml raises for a document that isn't well-formed."""


class Element(ElementTree.Element):
    """An element with lxml's methods on top of the standard library's."""

    def xpath(self, path, namespaces=None, **_):
        return _select(self, path, namespaces)

    def getroottree(self):
        return self.__dict__.get("tree") or Tree(self)

    def getchildren(self):
        return list(self)

    @property
    def nsmap(self):
        return {}


class Tree(ElementTree.ElementTree):
    """A document: docinfo says whether it declares its type."""

    def __init__(self, root, info=None):
        super().__init__(root)
        self.docinfo = info or types.SimpleNamespace(doctype="", internalDTD=None, externalDTD=None, system_url=None)

    def xpath(self, path, namespaces=None, **_):
        return _select(self.getroot(), path, namespaces)


class Unknown(NameError):
    """Something that the stand-in doesn't have."""


def _select(root, path, namespaces):
    """Knows paths of steps that end in elements, in an attribute or in text(), and string() around one."""
    whole = re.fullmatch(r"(string\()?((?:\./|/{1,2}|\.//)?[\w:*.@\[\]='\"/-]*?)(/?text\(\)|/?@[\w-]+)?(\))?", path)
    if whole is None or bool(whole[1]) != bool(whole[4]):
        raise Unknown(f"the XPath {path} is more than can be tried")
    at, last = whole[2].rstrip("/") or ".", whole[3]
    if whole[2].endswith("//"):
        at += "//*"
    holder = root
    if at.startswith("/"):
        holder = Element("holder")
        holder.append(root)
        at = "." + at
    found = holder.findall(at, namespaces) if at != "." else [root]
    if last and last.endswith("text()"):
        found = [t for e in found for t in [e.text, *[c.tail for c in e]] if t]
    elif last:
        found = [e.get(last.lstrip("/@")) for e in found if e.get(last.lstrip("/@")) is not None]
    if whole[1]:
        return "" if not found else found[0] if isinstance(found[0], str) else "".join(found[0].itertext())
    return found


class XMLParser:
    """A parser and its options."""

    def __init__(self, resolve_entities=True, no_network=True, load_dtd=False, dtd_validation=False, attribute_defaults=False, recover=False, **_):
        self.options = {"noent": resolve_entities not in (False, None, "internal"), "nonet": no_network, "dtdload": load_dtd or dtd_validation or attribute_defaults}
        self.recover, self.chunks = recover, []

    def feed(self, part):
        self.chunks.append(part)

    def close(self):
        whole, self.chunks = (b"" if isinstance(self.chunks[0], bytes) else "").join(self.chunks), []
        return fromstring(whole, self)


def _node(node):
    made = Element(node["name"].rpartition(":")[2], {k: v for k, v in node["attributes"].items() if not re.match(r"xmlns(:|$)", k)})
    last = None
    for child in node["children"]:
        if isinstance(child, str):
            if last is None:
                made.text = (made.text or "") + child
            else:
                last.tail = (last.tail or "") + child
        elif "comment" not in child:
            last = _node(child)
            made.append(last)
    return made


def _read(text, parser):
    if isinstance(text, str) and re.match(r"\s*<\?xml[^>]*\bencoding\s*=", text):
        raise ValueError("Unicode strings with encoding declaration are not supported. Please use bytes input or XML fragments without declaration.")
    document = core.Document((parser or XMLParser()).options)
    try:
        document.parse(text)
    except (expat.ExpatError, OSError) as err:
        if not (parser and parser.recover and document.root):
            raise XMLSyntaxError(str(err)) from err
    info = types.SimpleNamespace(doctype="<!DOCTYPE>" if document.declared else "", internalDTD=object() if document.declared else None, externalDTD=None, system_url=None)
    return Tree(_node(document.root), info)


def fromstring(text, parser=None, base_url=None):
    tree = _read(text, parser)
    tree.getroot().tree = tree
    return tree.getroot()


def parse(source, parser=None):
    if hasattr(source, "read"):
        return _read(source.read(), parser)
    with open(source, "rb") as f:
        return _read(f.read(), parser)


def iterparse(source, events=("end",), tag=None, **options):
    options.setdefault("resolve_entities", True)
    for one in parse(source, XMLParser(**options)).getroot().iter():
        if tag is None or one.tag == tag:
            yield events[0], one


def tostring(node, encoding=None, **_):
    node = node.getroot() if isinstance(node, ElementTree.ElementTree) else node
    return ElementTree.tostring(node, encoding="unicode" if encoding in (str, "unicode") else encoding or "us-ascii")


def install():
    """Makes this what lxml is here, also where the machine has one: its version would decide what is an effect."""
    etree = types.ModuleType("lxml.etree")
    vars(etree).update(
        XMLParser=XMLParser, ETCompatXMLParser=XMLParser, fromstring=fromstring, XML=fromstring, parse=parse, iterparse=iterparse, tostring=tostring, Element=Element, ElementTree=Tree, SubElement=ElementTree.SubElement,
        XMLSyntaxError=XMLSyntaxError, ParseError=XMLSyntaxError, LxmlError=XMLSyntaxError, DocumentInvalid=XMLSyntaxError,
    )
    lxml = types.ModuleType("lxml")
    lxml.etree = etree
    sys.modules.update({"lxml": lxml, "lxml.etree": etree})
    return lxml
