"""An inbox for suppliers' documents: invoices and catalogues arrive as XML and are kept as plain values."""
import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml import sax
from xml.sax import handler

INVOICES = []
CATALOGUE = {}  # article number to name and price


class Fields(handler.ContentHandler):
    """Collects the text of every element that holds no other, with its attributes, in the order of the document."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def startElement(self, name, attrs):
        self.open.append([name, dict(attrs), ""])

    def characters(self, content):
        if self.open:
            self.open[-1][2] += content

    def endElement(self, name):
        name, attrs, text = self.open.pop()
        self.found.append((name, attrs, text.strip()))


def read_invoice(data):
    fields = Fields()
    parser = sax.make_parser()
    parser.setContentHandler(fields)
    parser.setFeature(handler.feature_external_ges, True)
    parser.parse(io.BytesIO(data))
    values = {name: text for name, _, text in fields.found}
    invoice = {key: values.get(key, "") for key in ("number", "supplier", "note")}
    invoice["total"] = sum(int(text) for name, _, text in fields.found if name == "amount")
    return invoice


def read_catalogue(data):
    fields = Fields()
    parser = sax.make_parser()
    parser.setContentHandler(fields)
    parser.setFeature(handler.feature_external_ges, True)
    parser.parse(io.BytesIO(data))
    articles = [(attrs, text) for name, attrs, text in fields.found if name == "article"]
    return {attrs["number"]: {"name": text, "price": int(attrs["price"])} for attrs, text in articles}


class Inbox(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/invoices":
            return self.answer(200, INVOICES)
        if self.path == "/catalogue":
            return self.answer(200, CATALOGUE)
        self.answer(404, {"error": "not found"})

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.path == "/invoices":
                INVOICES.append(read_invoice(data))
                return self.answer(201, INVOICES[-1])
            if self.path == "/catalogue":
                CATALOGUE.update(read_catalogue(data))
                return self.answer(201, CATALOGUE)
            self.answer(404, {"error": "not found"})
        except (sax.SAXException, OSError, ValueError, KeyError) as err:
            self.answer(400, {"error": f"that could not be read: {err}"})

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8080), Inbox).serve_forever()
