"""Parses a document for the stand-ins of libraries over libxml2, by a real parser, expat, with what the options ask for:
entities are replaced by what they stand for only with noent, an external document type is loaded only with dtdload or what
implies it, parameter entities with either, and nothing is fetched with nonet.

As a program it serves a JavaScript kit through two FIFOs, one line of JSON for each question and answer: in comes a document
with its options, out go the tree, or why there is none, and what was opened and fetched.
"""
import json
import socket
import sys
import threading
from xml.parsers import expat


def listen(heard):
    """Answers every request to 127.0.0.1:8123 with nothing, and calls heard with the path that was asked for."""
    server = socket.create_server(("127.0.0.1", 8123))

    def serve():
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(5)
                words = connection.recv(65536).split()
                heard(words[1].decode("latin-1") if len(words) > 1 else "?")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    threading.Thread(target=serve, daemon=True).start()


class Document:
    """One document and what is loaded for it. A node is {name, attributes, children}, a text or {comment}."""

    def __init__(self, options):
        def on(*names):
            return any(options.get(n) for n in names)
        self.replace = on("noent", "replaceEntities")
        self.load = on("dtdload", "dtdattr", "dtdvalid", "doctype_load", "validateDtd", "loadExternalSubset")
        self.local = on("nonet")
        self.opened, self.root, self.open, self.subset = [], None, [], None
        self.declared = False  # whether there is a document type

    def parser(self):
        parser = expat.ParserCreate()
        parser.buffer_text = False
        if self.replace or self.load:
            parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_ALWAYS)
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler, parser.CommentHandler = self.text, self.comment
        parser.StartDoctypeDeclHandler = self.doctype
        parser.ExternalEntityRefHandler = self.external
        return parser

    def doctype(self, name, system, public, internal):
        self.declared, self.subset = True, system

    def external(self, context, base, system, public):
        subset = context is None and system == self.subset
        wanted = self.load if subset else self.replace if context is not None else self.replace or self.load
        if not wanted or not system or (self.local and "://" in system and not system.startswith("file:")):
            return 1
        if subset:
            self.subset = None
        from urllib.request import urlopen  # slow to load, and seldom needed
        with urlopen(system if "://" in system else "file://" + system, timeout=5) as f:
            body = f.read()
        self.opened.append(system)
        self.current.append(self.current[-1].ExternalEntityParserCreate(context))
        self.current[-1].Parse(body, True)
        self.current.pop()
        return 1

    def parse(self, text):
        self.current = [self.parser()]
        self.current[0].Parse(text, True)
        return self

    def start(self, name, attributes):
        node = {"name": name, "attributes": attributes, "children": []}
        if self.open:
            self.open[-1]["children"].append(node)
        else:
            self.root = node
        self.open.append(node)

    def end(self, name):
        self.open.pop()

    def text(self, text):
        if self.open:
            self.open[-1]["children"].append(text)

    def comment(self, text):
        if self.open:
            self.open[-1]["children"].append({"comment": text})


def answer(question, hits):
    document, error = Document(question["options"]), ""
    try:
        document.parse(bytes.fromhex(question["hex"]) if "hex" in question else question["xml"])
    except (expat.ExpatError, OSError, ValueError) as err:
        error = str(err)
    fetched, hits[:] = list(hits), []
    return {"root": document.root, "error": error, "opened": document.opened, "hits": fetched}


def main():
    hits = []
    listen(hits.append)
    with open(sys.argv[1], encoding="utf-8", errors="surrogatepass") as questions, open(sys.argv[2], "w", encoding="utf-8") as answers:
        for line in questions:
            answers.write(json.dumps(answer(json.loads(line), hits)) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
