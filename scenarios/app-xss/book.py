"""What the scripts of this scenario have in common: requests to the guest book, and a reader of its pages that knows,
as a browser does, which text of a page is code."""
from html.parser import HTMLParser
from urllib.parse import urlencode

CODE = "crisol()"


def sign(t, **message):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return t.request("POST", "/messages", headers=headers, body=urlencode(message))[0]


def read(t, path="/", **query):
    status, _, body = t.request(path=f"{path}?{urlencode(query)}")
    assert status == 200, body
    page = Page()
    page.feed(body)
    page.close()
    return page


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.inside, self.scripts, self.handlers, self.links, self.titles = [], [], [], [], []
        self.texts = {}  # tag name to the texts of its elements

    def handle_starttag(self, tag, attrs):
        if tag == "script":
            self.scripts.append("")
        if tag not in ("meta", "input", "img", "br"):
            self.inside.append(tag)
            self.texts.setdefault(tag, []).append("")
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(value or "")
            if name == "href":
                self.links.append(value or "")
            if name == "title":
                self.titles.append(value)

    def handle_endtag(self, tag):
        while tag in self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "script":
            self.scripts[-1] += data
        elif self.inside:
            self.texts[self.inside[-1]][-1] += data

    def runs(self):
        """Whether CODE is a script of its own, a handler, or behind a link."""
        schemes = [link.split(":", 1) for link in self.links if ":" in link]
        return (any(script.strip().startswith(CODE) for script in self.scripts)
                or any(CODE in handler for handler in self.handlers)
                or any(CODE in rest for scheme, rest in schemes if scheme.strip().lower() == "javascript"))
