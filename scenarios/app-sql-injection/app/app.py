"""A small shop: products to search and look up, accounts with a profile. Its state lies in shop.db beside this file."""
import hashlib
import json
import os
import secrets
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

DATABASE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shop.db")
SESSIONS = {}  # session id to user name

SCHEMA = """
CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT, email TEXT, role TEXT, reset_code TEXT);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
INSERT INTO products (name, price) VALUES
  ('Green tea', 450), ('Union Jack mug', 900), ('Tea pot', 2400), ('Select blend coffee', 1250), ('Table cloth', 1800);
"""


def create():
    if os.path.exists(DATABASE):
        os.remove(DATABASE)
    with sqlite3.connect(DATABASE) as db:
        db.executescript(SCHEMA)
        for name, password, role in (("admin", secrets.token_hex(8), "admin"), ("guest", "guest", "customer")):
            row = (name, digest(password), f"{name}@shop.example", role, f"{secrets.randbelow(10**6):06d}")
            db.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?)", row)


def digest(password):
    return hashlib.sha256(password.encode()).hexdigest()


def search(db, text, order):
    return db.execute(f"SELECT id, name, price FROM products WHERE name LIKE '%{text}%' ORDER BY {order}").fetchall()


def product(db, number):
    return db.execute(f"SELECT id, name, price FROM products WHERE id = {number}").fetchone()


def change_email(db, user, email):
    db.execute(f"UPDATE users SET email = '{email}' WHERE name = '{user}'")


def profile(db, user):
    return db.execute("SELECT name, email, role FROM users WHERE name = ?", (user,)).fetchone()


def login(db, name, password):
    found = db.execute("SELECT 1 FROM users WHERE name = ? AND password = ?", (name, digest(password))).fetchone()
    return found is not None


def reset(db, name, code, password):
    row = (digest(password), name, code)
    changed = db.execute("UPDATE users SET password = ? WHERE name = ? AND reset_code = ?", row)
    return changed.rowcount == 1


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.within(lambda db: self.read(db, url.path, query))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.within(lambda db: self.write(db, self.path, form))

    def within(self, work):
        """Runs work in a transaction of its own, and answers with what it returns: status, JSON, session id."""
        db = sqlite3.connect(DATABASE)
        try:
            with db:
                status, answer, *session = work(db)
        except sqlite3.Error as err:
            status, answer, session = 400, {"error": str(err)}, []
        finally:
            db.close()
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for value in session:
            self.send_header("Set-Cookie", f"session={value}; HttpOnly")
        self.end_headers()
        self.wfile.write(data)

    def read(self, db, path, query):
        if path == "/products":
            rows = search(db, query.get("q", ""), query.get("sort", "name"))
            return 200, [{"id": row[0], "name": row[1], "price": row[2]} for row in rows]
        if path == "/product":
            row = product(db, query.get("id", "0"))
            return (200, {"id": row[0], "name": row[1], "price": row[2]}) if row else (404, {"error": "no such product"})
        if path == "/profile" and self.user():
            return 200, dict(zip(("name", "email", "role"), profile(db, self.user())))
        return 404, {"error": "not found"}

    def write(self, db, path, form):
        if path == "/login" and login(db, form.get("name", ""), form.get("password", "")):
            session = secrets.token_hex(16)
            SESSIONS[session] = form["name"]
            return 200, {"welcome": form["name"]}, session
        if path == "/profile" and self.user():
            change_email(db, self.user(), form.get("email", ""))
            return 200, dict(zip(("name", "email", "role"), profile(db, self.user())))
        if path == "/reset" and reset(db, form.get("name", ""), form.get("code", ""), form.get("password", "")):
            return 200, {"reset": form["name"]}
        return 403, {"error": "refused"}

    def user(self):
        return SESSIONS.get(self.headers.get("Cookie", "").removeprefix("session="))

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    create()
    ThreadingHTTPServer(("127.0.0.1", 8080), Shop).serve_forever()
