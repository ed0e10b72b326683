"""A small bank: sign in, see the account, transfer money through a form or through JSON. Every transfer is noted in
ledger.txt beside this file. Partners show the account in a frame, so that the session cookie is sent across sites."""
import html
import json
import os
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LEDGER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ledger.txt")
PASSWORDS = {"alice": "wonderland", "mallory": "malice"}
BALANCES = {"alice": 1000, "mallory": 10}
SESSIONS = {}  # session id to user name

LOGIN = """<h1>Bank</h1>
<form method="post" action="/login"><input name="name"><input name="password" type="password"><button>Sign in</button></form>
"""
ACCOUNT = """<h1>Account of {name}</h1>
<p>Balance: {balance}</p>
<form method="post" action="/transfer">
<input name="to"><input name="amount" type="number"><button>Transfer</button>
</form>
"""


class Refusal(Exception):
    """What the bank won't do, with the status that says so."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def transfer(sender, receiver, amount):
    amount = int(amount)
    if receiver not in BALANCES or not 0 < amount <= BALANCES[sender]:
        raise Refusal(400, "no such receiver, or not enough money")
    BALANCES[sender] -= amount
    BALANCES[receiver] += amount
    with open(LEDGER, "a", encoding="utf-8") as ledger:
        ledger.write(f"{sender} -> {receiver} {amount}\n")


class Bank(BaseHTTPRequestHandler):
    def do_GET(self):
        self.serve({})

    def do_POST(self):
        self.serve(self.fields())

    def serve(self, fields):
        try:
            self.route(urlsplit(self.path), fields)
        except Refusal as err:
            self.answer(err.status, f"<p>{html.escape(str(err))}</p>")
        except (ValueError, KeyError, TypeError, AttributeError):
            self.answer(400, "<p>That could not be read.</p>")

    def route(self, url, fields):
        if url.path == "/login" and self.command == "POST":
            return self.login(fields)
        session, name = self.session()
        if not name:
            return self.answer(200 if url.path == "/" else 401, LOGIN)
        if url.path == "/":
            return self.answer(200, ACCOUNT.format(name=name, balance=BALANCES[name]))
        if url.path == "/api/account":
            return self.json({"name": name, "balance": BALANCES[name]})
        if url.path == "/transfer":
            fields = fields or {key: values[0] for key, values in parse_qs(url.query).items()}
            transfer(name, fields["to"], fields["amount"])
            return self.answer(303, "", ("Location", "/"))
        if url.path == "/api/transfer" and self.command == "POST":
            transfer(name, fields["to"], fields["amount"])
            return self.json({"balance": BALANCES[name]})
        raise Refusal(404, "no such page")

    def login(self, fields):
        if PASSWORDS.get(fields["name"]) != fields["password"]:
            raise Refusal(403, "wrong name or password")
        session = secrets.token_hex(16)
        SESSIONS[session] = fields["name"]
        cookie = f"session={session}; HttpOnly; Secure; SameSite=None; Path=/"
        self.answer(303, "", ("Location", "/"), ("Set-Cookie", cookie))

    def session(self):
        """Returns the session id of the request and the name of its user, None where there is none."""
        for cookie in self.headers.get("Cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == "session":
                return value, SESSIONS.get(value)
        return None, None

    def fields(self):
        """Reads a form, or for the API a JSON object."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/api/"):
            return json.loads(body)
        return {key: values[0] for key, values in parse_qs(body, keep_blank_values=True).items()}

    def json(self, value):
        self.answer(200, json.dumps(value), ("Content-Type", "application/json"))

    def answer(self, status, text, *headers):
        data = text.encode()
        self.send_response(status)
        for name, value in headers or (("Content-Type", "text/html; charset=utf-8"),):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    with open(LEDGER, "w", encoding="utf-8"):
        pass
    ThreadingHTTPServer(("127.0.0.1", 8080), Bank).serve_forever()
