"""Open redirects in Python: where a snippet sends the browser is resolved as a browser does (browser.py) against a page of
the site. The site is https://app.example; whatever host holds the word evil is the attacker's. A script URL is an effect
only where it isn't a Location: browsers follow no such header. Flask, Django, Starlette, tornado, aiohttp and bottle write
the Location each in its own way, which decides what a browser gets to see."""
import re
import types
import unicodedata
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import browser
from crisol_snippet import Fault, HTTPError, Request, Response

site = "app.example"
page = f"https://{site}/account/login"


class Going(Exception):
    """A redirect that is raised, as aiohttp's and bottle's are."""

    def __init__(self, url):
        super().__init__(f"redirect to {url}")
        self.url = url


class Moved(Response):
    """A redirect."""

    def __init__(self, url):
        super().__init__("", status=302, headers={"Location": url})
        self.url = url


class Address(str):
    """The address of a request, as text or by its parts."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(urlsplit(str(self)), name)

    def __call__(self, *_):
        return self


class Visit(Request):
    """A request of which the host is known: it is the site's own."""

    def __getattr__(self, name):
        if name in ("host", "get_host", "hostname", "server_name"):
            return (lambda: site) if name == "get_host" else site
        if name in ("host_url", "url_root", "base_url", "root_url", "application_url"):
            return Address(f"https://{site}/")
        if name in ("url", "build_absolute_uri"):
            return Address(page) if name == "url" else lambda to="": urljoin(page, to)
        if name in ("scheme", "protocol"):
            return "https"
        if name == "is_secure":
            return lambda: True
        if name in ("path", "full_path", "path_info"):
            self._run.take("path")
            return re.sub(r"^(?!/)", "/", str(self._run.input))
        return super().__getattr__(name)


def by_werkzeug(url):
    """As werkzeug writes a Location: plain ASCII without spaces inside stays what it is."""
    url = str(url)
    if re.search(r"[\r\n]", url):
        raise ValueError("Header values must not contain newline characters.")
    if url.isascii() and len(url.split(None, 1)) <= 1:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, quote(parts.path, safe="%!$&'()*+,/:;=@"), quote(parts.query, safe="%!$&'()*+,/:;=?@"), quote(parts.fragment, safe="%!#$&'()*+,/:;=?@")))


def by_django(url):
    """As HttpResponseRedirect: backslashes and spaces are encoded, and other schemes are refused."""
    scheme = urlsplit(str(url)).scheme
    if scheme and scheme not in ("http", "https", "ftp"):
        raise ValueError(f"Unsafe redirect to URL with protocol '{scheme}'")
    return quote(str(url), safe="/#%[]=:;$&()+,!?*@'~")


def by_starlette(url):
    return quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


def by_hand(url):
    """As a server's own headers, which refuse line breaks."""
    if re.search(r"[\r\n]", str(url)):
        raise ValueError("a header can't hold line breaks")
    return str(url)


def shortcut(to, *_, **__):
    """As django.shortcuts.redirect: what is neither a path nor a URL is the name of a view."""
    to = to.get_absolute_url() if hasattr(to, "get_absolute_url") else str(to)
    if "/" not in to and "." not in to:
        if not re.fullmatch(r"[\w:-]+", to):
            raise ValueError(f"Reverse for '{to}' not found")
        to = f"/{to}/"
    return Moved(by_django(to))


def _allowed(url, hosts, https):
    if url.startswith("///"):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if (not parts.netloc and parts.scheme) or unicodedata.category(url[0])[0] == "C":
        return False
    scheme = "http" if not parts.scheme and parts.netloc else parts.scheme
    return (not parts.netloc or parts.netloc in hosts) and (not scheme or scheme in (["https"] if https else ["http", "https"]))


def has_allowed_host(url, allowed_hosts=None, require_https=False, host=None):
    """As Django's url_has_allowed_host_and_scheme."""
    url = (url or "").strip()
    hosts = {allowed_hosts} if isinstance(allowed_hosts, str) else set(allowed_hosts or ()) | ({host} if host else set())
    return bool(url) and _allowed(url, hosts, require_https) and _allowed(url.replace("\\", "/"), hosts, require_https)


def _framework(source):
    for name, marks in (("django", r"\bdjango\b|HttpResponse|request\.(GET|POST)\b"), ("starlette", r"fastapi|starlette"), ("aiohttp", r"aiohttp"), ("bottle", r"\bbottle\b")):
        if re.search(marks, source):
            return name
    return "flask"


def fakes(run):
    kind = _framework(run.source)

    def raised(url="", *_, location=None, **__):
        raise Going(by_hand(urljoin(page, str(location or url)) if kind == "bottle" else location or url))

    def django(url=None, *_, redirect_to=None, **__):
        return Moved(by_django(url if url is not None else redirect_to))

    def starlette(url, *_, **__):
        return Moved(by_starlette(url))
    plain = {"flask": lambda location, *_, **__: Moved(by_werkzeug(location)), "django": shortcut, "starlette": starlette, "aiohttp": raised, "bottle": raised}[kind]
    nothing = lambda *_, **__: None  # noqa: E731
    return {
        "redirect": plain, "HttpResponseRedirect": django, "HttpResponsePermanentRedirect": django, "RedirectResponse": starlette,
        "HTTPFound": raised, "HTTPSeeOther": raised, "HTTPMovedPermanently": raised, "HTTPTemporaryRedirect": raised,
        "url_has_allowed_host_and_scheme": has_allowed_host, "is_safe_url": has_allowed_host if kind == "django" else None, "iri_to_uri": by_django, "resolve_url": lambda to, *_, **__: shortcut(to).url,
        "reverse": lambda name, *_, **__: f"/{name}/", "reverse_lazy": lambda name, *_, **__: f"/{name}/", "login_user": nothing, "logout_user": nothing, "login": nothing if kind == "django" else None, "logout": nothing if kind == "django" else None,
        "settings": types.SimpleNamespace(ALLOWED_HOSTS=[site], LOGIN_REDIRECT_URL="/accounts/profile/", LOGIN_URL="/accounts/login/", DEBUG=False), "session": {},
    }


class Handler:
    """tornado's RequestHandler: its methods are roles."""


class Web:
    """aiohttp.web: what isn't a redirect is an error."""

    def __init__(self, run):
        self.own = {**fakes(run), "Response": Response, "json_response": lambda *_, **__: Response("")}

    def __getattr__(self, name):
        if name in self.own:
            return self.own[name]
        if name.startswith("HTTP"):
            return lambda text="", **_: HTTPError(400, text)
        raise AttributeError(name)


def lent(module, name, run):
    return Handler if module.startswith("tornado") and name == "RequestHandler" else None


def roles(name, run):
    if name in ("request", "req"):
        return (Visit(run),)
    if name in ("SERVER_NAME", "LOGIN_REDIRECT_URL") and "config" in run.source:
        return (site if name == "SERVER_NAME" else "/welcome/",)
    if name == "web" and "web.HTTP" in run.source:
        return (Web(run),)
    if name == "tornado":
        return (types.SimpleNamespace(web=types.SimpleNamespace(RequestHandler=Handler)),)
    if name in ("send_header", "set_header", "add_header"):
        return (lambda key, value: run.state["going"].append((by_hand(value), "header")) if key.lower() == "location" else None,)
    if name in ("send_response", "end_headers", "set_status", "finish", "start_response"):
        return (lambda *args: [run.state["going"].append((by_hand(v), "header")) for part in args if isinstance(part, list) for k, v in part if k.lower() == "location"] and None,)
    if name == "redirect" and "self.redirect(" in run.source:
        return (lambda url, *_, **__: run.state["going"].append((by_hand(urljoin(page, url)), "header")),)
    if name in ("get_argument", "get_query_argument", "get_body_argument") and f"self.{name}(" in run.source:
        return (lambda *_, **__: run.read("argument"),)
    if name in ("urlparse", "urlsplit", "urljoin"):
        import urllib.parse
        return (getattr(urllib.parse, name),)
    if name == "print":
        return (lambda *parts, **_: run.state["going"].extend((m, "header") for m in re.findall(r"(?im)^location:\s*(.*?)\s*$", " ".join(map(str, parts)))),)
    return None


def _offered(value):
    """The locations in what a snippet returned or raised."""
    if isinstance(value, Going):
        return [(value.url, "header")]
    if isinstance(value, Response):
        named = [v for k, v in value.headers.items() if k.lower() == "location"] or [value.__dict__.get("location")]
        return [(v if isinstance(value, Moved) else by_werkzeug(v), "header") for v in named if v]
    if isinstance(value, tuple):
        return [(by_werkzeug(v), "header") for part in value if isinstance(part, (dict, list)) for k, v in (part.items() if isinstance(part, dict) else part) if k.lower() == "location"]
    if isinstance(value, dict):
        headers = value.get("headers", value)
        return [(by_hand(v), "header") for k, v in (headers.items() if isinstance(headers, dict) else []) if str(k).lower() == "location"]
    if isinstance(value, str) and not re.search(r"[<>\n]", value):
        return [(value, "text")]
    return []


def attempt(snippet, value, control=False):
    state = {"going": []}
    outcome = snippet.run(value, control=control, state=state)
    going = state["going"]
    try:
        for one in [*outcome.errors, *outcome.values]:
            going += _offered(one)
        if not going and not outcome.errors:
            made = [v for v in outcome.declared.values() if isinstance(v, (str, Response))]
            for one in [v for v in made if isinstance(v, Response)] or made[-1:]:
                going += _offered(one)
    except ValueError as err:  # the server refuses the header
        outcome.errors.append(err)
    outcome.errors[:] = [e for e in outcome.errors if not isinstance(e, Going)]
    return outcome, going


def _hostile(url, by):
    scheme, host = browser.resolve(url, page)[:2]
    return "evil" in host or (scheme == "javascript" and by != "header")


def hosts(pair):
    """Those that the snippets name, and the site's."""
    text = pair.target.source + "\n" + pair.affected.source
    names = re.findall(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)", text, re.I) + re.findall(r"['\"](?:\*?\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)['\"]", text, re.I)
    names += [n.replace("\\", "") for n in re.findall(r"((?:[a-z0-9-]+\\\.)+[a-z]{2,})", text, re.I)]
    found = [n.lower() for n in names if not re.search(r"\.(py|json|html?)$", n)]
    return list(dict.fromkeys([*found, site]))


def attack(pair, payloads):
    known = hosts(pair)[:3]
    for payload in payloads:
        for host in known if "{" in payload else [""]:
            value = payload.replace("{host}", host).replace("{domain}", ".".join(host.split(".")[-2:]))
            if any(_hostile(*one) for one in attempt(pair.target, value)[1]):
                return value
    return None


_general = ["/welcome/back", "welcome/back", f"https://{site}/welcome/back"]


def _offers(pair):
    """Harmless places: paths of any kind, those that the snippets list, and pages of hosts that they name."""
    text = pair.target.source + "\n" + pair.affected.source
    listed = re.findall(r"['\"](/?[\w-]+(?:/[\w-]+)*/?)['\"]", text)
    named = [one for h in hosts(pair) for one in (f"https://{h}/welcome", f"https://www.{h}/welcome", h, f"www.{h}")]
    return list(dict.fromkeys([*_general, *named, *listed]))


def _led(got):
    outcome, going = got
    return browser.resolve(going[-1][0], page) if going and not outcome.error else None


def _mine(to, pair):
    return to is not None and to[0] in ("http", "https") and any(to[1] == h or to[1].endswith("." + h) for h in hosts(pair))


def benign(pair, more):
    """One and the same place must be reached through both, any that the patch still allows and that isn't where it sends
    everybody. A query must not hinder unless only listed places are allowed."""
    elsewhere, why = _led(attempt(pair.target, "https://evil.example/nowhere", True)), "it leads nowhere"
    for value in _offers(pair):
        if more and value not in _general:
            continue
        before = attempt(pair.affected, value, True)
        was = _led(before)
        if not _mine(was, pair):
            why = before[0].fault or str(before[0].error or why)
            continue
        after = attempt(pair.target, value, True)
        if not after[0].proper:
            raise Fault(after[0].fault)
        now = _led(after)
        if now != was or now == elsewhere:
            why = f"{value} leads to {now or after[0].error or 'nothing'}, no longer to {was}"
            continue
        if more and _led(attempt(pair.affected, value + more, True)) != _led(attempt(pair.target, value + more, True)):
            raise AssertionError(f"{value} is allowed, {value + more} no longer is")
        attempt(pair.target, value + more)
        return
    if not more:  # else only listed places are allowed, or the affected snippet takes no path
        raise AssertionError(why)
