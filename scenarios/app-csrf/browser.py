"""A browser, as far as these scripts need one: it keeps cookies with their SameSite attribute, sends Origin and
Referer as browsers do, and fills forms in with whatever hidden fields they hold."""
import json
from html.parser import HTMLParser
from urllib.parse import urlencode

BANK = "http://127.0.0.1:8080"
EVIL = "http://evil.example"
FORM = "application/x-www-form-urlencoded"


class Browser:
    def __init__(self, t, name, password):
        self.t = t
        self.cookies = {}  # name to value and SameSite
        status, _, body = self.submit("/", "/login", name=name, password=password)
        assert status == 303, body

    def get(self, path):
        """Opens a page of the bank, or calls its API from such a page."""
        status, _, body = self.send("GET", path, "", "", BANK, ("strict", "lax", "none"))
        return status, body

    def submit(self, page, action, **values):
        """Fills in the form of a page of the bank, with the hidden fields that it holds."""
        form = Form(action)
        form.feed(self.get(page)[1])
        assert form.found, f"{page} has no form for {action}"
        return self.send("POST", action, FORM, urlencode({**form.hidden, **values}), BANK, ("strict", "lax", "none"))

    def call(self, path, value):
        """Calls the API from a page of the bank, with the token that its account names, if it does."""
        account = json.loads(self.get("/api/account")[1])
        tokens = [value for key, value in account.items() if "csrf" in key.lower() or "token" in key.lower()]
        extra = {"X-CSRF-Token": tokens[0]} if tokens else {}
        return self.send("POST", path, "application/json", json.dumps(value), BANK, ("strict", "lax", "none"), extra)

    def lured(self, method, path, kind="", body="", origin=EVIL):
        """Visits a page elsewhere that sends a request to the bank by itself. A form or a link can choose the method
        (GET, POST), the address, one of three content types and the body: no header, and no reading of the answer."""
        assert method in ("GET", "POST") and kind in ("", FORM, "text/plain", "multipart/form-data")
        return self.send(method, path, kind, body, origin, ("lax", "none") if method == "GET" else ("none",))

    def send(self, method, path, kind, body, origin, same_site, extra=None):
        cookies = [f"{name}={value}" for name, (value, site) in self.cookies.items() if site in same_site]
        headers = {"Cookie": "; ".join(cookies), **(extra or {})}
        if kind:
            headers["Content-Type"] = kind
        if method == "POST":
            headers["Origin"] = origin
        if origin != "null":
            headers["Referer"] = origin + "/"
        status, answered, text = self.t.request(method, path, headers=headers, body=body)
        self.keep(answered.get("Set-Cookie", ""))
        return status, answered, text

    def keep(self, cookie):
        """Keeps a cookie; one that names no SameSite is sent across sites, as most browsers still do at first."""
        pair, *attributes = [part.strip() for part in cookie.split(";")]
        site = [part.lower().removeprefix("samesite=") for part in attributes if part.lower().startswith("samesite=")]
        name, _, value = pair.partition("=")
        if name:
            self.cookies[name] = (value, site[0] if site else "none")


class Form(HTMLParser):
    """The hidden fields of the form with a given action."""

    def __init__(self, action):
        super().__init__()
        self.action, self.inside, self.found, self.hidden = action, False, False, {}

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.inside = attrs.get("action") == self.action
            self.found = self.found or self.inside
        if tag == "input" and self.inside and attrs.get("type") == "hidden":
            self.hidden[attrs["name"]] = attrs.get("value", "")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "form"
