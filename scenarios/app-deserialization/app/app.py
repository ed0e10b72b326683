"""A small grocery: the browser keeps the basket in a cookie, and a customer may save it to a file and read it back."""
import base64
import json
import os
import pickle
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "prices.json"), encoding="utf-8") as file:
    PRICES = json.load(file)


class Basket:
    def __init__(self):
        self.items = {}  # name to count
        self.note = ""

    def add(self, item, count):
        if item not in PRICES or self.items.get(item, 0) + count < 0:
            raise ValueError("no such item, or not so many")
        self.items[item] = self.items.get(item, 0) + count

    def view(self):
        total = sum(PRICES[item] * count for item, count in self.items.items())
        return {"items": self.items, "note": self.note, "total": total}


def to_cookie(basket):
    return base64.urlsafe_b64encode(pickle.dumps(basket)).decode()


def from_cookie(text):
    basket = pickle.loads(base64.urlsafe_b64decode(text))
    if not isinstance(basket, Basket):
        raise ValueError("that is no basket")
    return basket


def to_file(basket):
    return zlib.compress(pickle.dumps(basket))


def from_file(data):
    basket = pickle.loads(zlib.decompress(data))
    if not isinstance(basket, Basket):
        raise ValueError("that is no basket")
    return basket


class Grocery(BaseHTTPRequestHandler):
    def do_GET(self):
        self.serve(b"")

    def do_POST(self):
        self.serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def serve(self, body):
        try:
            self.route(body)
        except Exception as err:  # whatever a broken basket may lead to
            self.answer(400, json.dumps({"error": type(err).__name__}).encode())

    def route(self, body):
        basket = self.basket()
        if self.path == "/basket" and self.command == "GET":
            return self.show(basket)
        if self.path == "/basket" and self.command == "POST":
            fields = parse_qs(body.decode())
            basket.add(fields["item"][0], int(fields["count"][0]))
            return self.show(basket)
        if self.path == "/note" and self.command == "POST":
            basket.note = body.decode()
            return self.show(basket)
        if self.path == "/file" and self.command == "GET":
            return self.answer(200, to_file(basket), ("Content-Type", "application/octet-stream"))
        if self.path == "/file" and self.command == "POST":
            return self.show(from_file(body))
        self.answer(404, b'{"error": "no such page"}')

    def basket(self):
        for cookie in self.headers.get("Cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == "basket":
                return from_cookie(value)
        return Basket()

    def show(self, basket):
        cookie = f"basket={to_cookie(basket)}; HttpOnly; Path=/"
        self.answer(200, json.dumps(basket.view()).encode(), ("Content-Type", "application/json"), ("Set-Cookie", cookie))

    def answer(self, status, data, *headers):
        self.send_response(status)
        for name, value in headers or (("Content-Type", "application/json"),):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8080), Grocery).serve_forever()
