"""Requests that the server is made to send, in Python. Two real listeners play the world: one on 127.0.0.1 is the inside,
one on 127.77.0.1 all of the outside. Names are resolved in this process, and a connection goes to the listener to which its
address belongs, whatever its port. Nothing else is changed: sockets, http.client and urllib are Python's own."""
import asyncio
import http.client
import http.server
import ipaddress
import json
import os
import re
import socket
import ssl
import threading
import types
import urllib.parse

from crisol_snippet import Fault, Response

inside, outside = "127.0.0.1", "127.77.0.1"
secret = "what only the inside knows"
_pem = os.path.join(os.path.dirname(os.path.abspath(__file__)), "listener.pem")
_hits, _port = [], 0


def content(at):
    return "content of " + at


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        where = self.server.server_address[0]
        _hits.append((where, re.sub(r":\d+$", "", self.headers.get("Host", "")), self.path, self.command))
        redirect = re.match(r"/redirect/(\d+)", self.path) if where == outside else None
        body = b"" if redirect else (secret if where == inside else content(self.path)).encode()
        self.send_response(int(redirect[1]) if redirect else 200)
        if redirect:
            self.send_header("Location", "http://127.0.0.1:8099/inside")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_HEAD = do_PUT = do_GET

    def log_message(self, *_):
        pass


class _Listener(http.server.ThreadingHTTPServer):
    """Speaks TLS with those that begin to."""
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        request.settimeout(5)
        if request.recv(1, socket.MSG_PEEK) == b"\x16":
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, *_):
        pass


_own = socket.socket.connect
_getaddrinfo, _wrap = socket.getaddrinfo, ssl.SSLContext.wrap_socket


def world():
    """Starts the listeners, both on one port."""
    global _port
    if _port:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_pem)
    _Listener.context = context
    first = _Listener((inside, 0), _Handler)
    for server in (first, _Listener((outside, first.server_address[1]), _Handler)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    _port = first.server_address[1]


def side(address):
    at = ipaddress.ip_address(address.split("%")[0])
    at = getattr(at, "ipv4_mapped", None) or at
    return inside if at.is_private or at.is_loopback or at.is_link_local or at.is_unspecified or at.is_reserved else outside


def resolve(host):
    """The world's register of names."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    name = (host or "127.0.0.1").lower().rstrip(".").strip("[]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if re.fullmatch(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}", name):
        try:
            return socket.inet_ntoa(socket.inet_aton(name))
        except OSError:
            pass
    name = name.encode("idna").decode() if not name.isascii() else name
    if re.fullmatch(r"[\d.]+", name):
        return resolve(name)
    if re.search(r"(^|\.)localhost$", name):
        return "127.0.0.1"
    if name == "private.inside.example":
        return "10.0.0.7"
    if re.search(r"(^|\.)inside\.example$|^inside-", name):
        return "127.0.0.1"
    if name == "metadata.google.internal":
        return "169.254.169.254"
    if re.search(r"[^\w.-]", name):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if "." not in name or re.search(r"\.(internal|local|lan|corp)$", name):
        return "10.0.0.7"
    return "93.184.216.34"


def _looked_up(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002  as socket.getaddrinfo has it
    try:
        address = resolve(host)
    except UnicodeError as err:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from err
    port = {"http": 80, "https": 443}.get(port, port)
    return _getaddrinfo(address, port, family, type, proto, socket.AI_NUMERICHOST)


def _connect(self, address):
    if self.family not in (socket.AF_INET, socket.AF_INET6) or not _port:
        return _own(self, address)
    to = side(resolve(address[0]))
    return _own(self, (to, _port) if self.family == socket.AF_INET else ("::ffff:" + to, _port, 0, 0))


def _unverified(self, sock, *args, **kwargs):
    if not kwargs.get("server_side"):
        self.check_hostname, self.verify_mode = False, ssl.CERT_NONE
    return _wrap(self, sock, *args, **kwargs)


socket.getaddrinfo = _looked_up
socket.gethostbyname = resolve
socket.gethostbyname_ex = lambda name: (name, [], [resolve(name)])
socket.socket.connect = _connect
ssl.SSLContext.wrap_socket = _unverified


class RequestException(OSError):
    """What requests raises."""


class _Answer:
    """A response as requests, httpx and urllib3 show it."""

    def __init__(self, url, got, body):
        self.url, self.status_code, self.status, self.reason = url, got.status, got.status, got.reason
        self.headers = {k.title(): v for k, v in got.getheaders()}
        self.content = self.data = body
        self.text, self.ok, self.is_success, self.history = body.decode("utf-8", "replace"), got.status < 400, got.status < 300, []
        self.is_redirect = self.has_redirect_location = got.status in (301, 302, 303, 307, 308) and "Location" in self.headers
        self.encoding, self.elapsed, self.raw = "utf-8", None, self

    def read(self, *_, **__):
        return self.content

    def json(self):
        return json.loads(self.content)

    def raise_for_status(self):
        if self.status_code >= 400:
            raise RequestException(f"{self.status_code} error for {self.url}")
        return self

    def iter_content(self, *_, **__):
        yield self.content

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def ask(method, url, most=30, params=None, data=None, json_body=None, headers=None):
    """Sends a request by http.client and follows redirects as often as it may."""
    url, history = str(url), []
    if params:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params)
    body = json.dumps(json_body) if json_body is not None else urllib.parse.urlencode(data) if isinstance(data, dict) else data
    while True:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise RequestException(f"No connection adapters were found for {url!r}")
        try:
            kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
            conn = kind(parts.hostname, parts.port, timeout=5)
            target = urllib.parse.quote(parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]") + ("?" + parts.query if parts.query else "")
            conn.request(method.upper(), target, body, headers or {})
            got = conn.getresponse()
            answer = _Answer(url, got, got.read())
            conn.close()
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise RequestException(str(err)) from err
        answer.history = list(history)
        if not answer.is_redirect or most == 0:
            return answer
        if len(history) >= most:
            raise RequestException("Exceeded the number of redirects")
        history.append(answer)
        url = urllib.parse.urljoin(url, answer.headers["Location"])


def _requests():
    def request(method, url, params=None, data=None, headers=None, allow_redirects=True, json=None, **_):
        return ask(method, url, 30 if allow_redirects else 0, params, data, json, headers)

    class Session:
        """requests.Session"""
        max_redirects = 30

        def __init__(self):
            self.headers, self.cookies, self.trust_env, self.verify = {}, {}, True, True

        def request(self, method, url, allow_redirects=True, **options):
            options["headers"] = {**self.headers, **(options.get("headers") or {})}
            return ask(method, url, self.max_redirects if allow_redirects else 0, options.get("params"), options.get("data"), options.get("json"), options["headers"])

        def mount(self, *_):
            pass

        def close(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass
    names = {"request": request, "Session": Session, "session": Session, "RequestException": RequestException, "ConnectionError": RequestException,
             "Timeout": RequestException, "HTTPError": RequestException, "Response": _Answer}
    for name in ("get", "post", "put", "head", "delete", "patch", "options"):
        follow = name != "head"
        names[name] = lambda url, _n=name, _f=follow, **options: request(_n, url, **{"allow_redirects": _f, **options})
        setattr(Session, name, lambda self, url, _n=name, **options: self.request(_n, url, **options))
    names["exceptions"] = types.SimpleNamespace(**names)
    return names


def _httpx():
    def request(method, url, params=None, data=None, headers=None, follow_redirects=False, json=None, **_):
        return ask(method, url, 20 if follow_redirects else 0, params, data, json, headers)

    class Client:
        """httpx.Client"""

        def __init__(self, follow_redirects=False, **_):
            self.follow = follow_redirects

        def request(self, method, url, **options):
            return request(method, url, **{"follow_redirects": self.follow, **options})

        def close(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    class AsyncClient(Client):
        """httpx.AsyncClient"""

        async def request(self, method, url, **options):
            return await asyncio.to_thread(request, method, url, **{"follow_redirects": self.follow, **options})

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def aclose(self):
            pass
    names = {"request": request, "Client": Client, "AsyncClient": AsyncClient, "HTTPError": RequestException, "RequestError": RequestException, "HTTPStatusError": RequestException}
    for name in ("get", "post", "put", "head", "delete"):
        names[name] = lambda url, _n=name, **options: request(_n, url, **options)
        setattr(Client, name, lambda self, url, _n=name, **options: self.request(_n, url, **options))
    return names


def _urllib3():
    class PoolManager:
        """urllib3.PoolManager"""

        def __init__(self, *_, **__):
            pass

        def request(self, method, url, redirect=True, **options):
            return ask(method, url, 3 if redirect else 0, options.get("fields"), options.get("body"), None, options.get("headers"))
    return {"PoolManager": PoolManager, "request": PoolManager().request, "HTTPError": RequestException}


_stand_ins = {"requests": _requests(), "httpx": _httpx(), "urllib3": _urllib3()}
_stand_ins["requests.exceptions"] = _stand_ins["requests"]


def modules(name):
    return name in _stand_ins


def lent(module, name, run):
    return _stand_ins.get(module, {}).get(name)


def roles(name, run):
    """Modules that a snippet uses without importing them."""
    if name in ("requests", "httpx", "urllib3") and re.search(rf"(?<![\w.]){name}\.", run.source):
        try:
            return (__import__(name),)
        except ImportError:
            return (types.SimpleNamespace(**_stand_ins[name]),)
    if name == "urlopen":
        import urllib.request
        return (urllib.request.urlopen,)
    if name in ("urlparse", "urlsplit", "urljoin", "quote"):
        return (getattr(urllib.parse, name),)
    if name == "urllib":
        import urllib.error
        import urllib.request
        return (urllib,)
    return None


def hosts(pair):
    """Those that the snippets name, as a list of what is allowed may do."""
    text = pair.target.source + "\n" + pair.affected.source
    names = re.findall(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)", text, re.I) + re.findall(r"['\"]((?:\*?\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+)['\"]", text, re.I)
    names += [n.replace("\\", "") for n in re.findall(r"((?:[a-z0-9-]+\\\.)+[a-z]{2,})", text, re.I)]
    found = []
    for name in names:
        name = re.sub(r"^\*?\.", "www.", name.lower())
        if name not in found and not re.search(r"\.(py|json|html?|txt|png|jpe?g|gif|svg|pdf|internal|local|localhost|\d+)$", name) and side(resolve(name)) == outside:
            found.append(name)
    return found


# what a snippet may take: a URL, a host, or what follows a host
_shapes = {
    "https": lambda url: re.sub(r"^http:", "https:", url, flags=re.I),
    "http": lambda url: url,
    "host": lambda url: re.sub(r"[/?].*$", "", re.sub(r"^\w+://", "", url)),
    "tail": lambda url: "@" + re.sub(r"^\w+://", "", url),
}


def attempt(snippet, value, control=False):
    _hits.clear()
    outcome = snippet.run(value, control=control)
    shown = " ".join(_text(v) for v in (*outcome.values, *outcome.sent, *outcome.declared.values()))
    return outcome, list(_hits), shown


def _text(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (_Answer, str)):
        return getattr(value, "text", value)
    if isinstance(value, Response):
        return _text(value.data)
    if isinstance(value, (list, tuple)):
        return " ".join(_text(v) for v in value)
    if isinstance(value, dict):
        return " ".join(_text(v) for v in value.values())
    if isinstance(value, http.client.HTTPResponse):
        return _text(value.read())
    return str(value) if isinstance(value, (int, float)) else ""


def _offers(pair, at):
    for host in (*hosts(pair), "www.example.com"):
        for shape, form in _shapes.items():
            yield shape, host, at if shape == "tail" else form(f"http://{host}{at}")


def _outer(hits):
    return next((h for h in hits if h[0] == outside), None)


def shape_of(pair, at):
    """The shape in which the vulnerable snippet takes its input."""
    why = ""
    for shape, host, value in _offers(pair, at):
        outcome, hits, _ = attempt(pair.affected, value, True)
        hit = _outer(hits)
        if hit and not outcome.error and (shape == "tail" and hit[2].endswith(at) or hit[1] == host and (shape == "host" or hit[2] == at)):
            return shape, ""
        why = outcome.fault or str(outcome.error or "") or why
    return None, why or "nothing is fetched"


def attack(pair, payloads):
    world()
    shape, _ = shape_of(pair, "/logo.png")
    forms = ["http", "https"] if shape in (None, "https") else [shape] + (["https"] if shape == "http" and "https" in pair.target.source else [])
    for payload in payloads:
        known = hosts(pair)[:3] if "{host}" in payload or "{domain}" in payload else [""]
        for host in known or ["www.example.com"]:
            for form in forms:
                value = _shapes[form](payload.replace("{host}", host).replace("{domain}", ".".join(host.split(".")[-2:])))
                _, hits, _ = attempt(pair.target, value)
                if any(h[0] == inside for h in hits):
                    return value
    return None


def benign(pair, at):
    """One and the same address must be fetched alike by both: any that the patch still allows."""
    world()
    shape, why = shape_of(pair, at)
    if shape is None:
        raise AssertionError(f"the vulnerable snippet fetches none of the outside's addresses: {why}")
    lost = ""
    for form, _, value in _offers(pair, at):
        if form != shape and not {form, shape} <= {"http", "https"}:
            continue
        before, hits, shown = attempt(pair.affected, value, True)
        was = _outer(hits)
        if not was or before.error:
            continue
        after, hits, shows = attempt(pair.target, value, True)
        text = content(was[2])
        if _outer(hits) == was and not after.error and (text in shown) == (text in shows):
            attempt(pair.target, value)
            return
        lost = after.fault or f"{value} is no longer fetched" + (f": {after.error}" if after.error else "")
    raise (Fault if "not defined" in lost else AssertionError)(lost or "nothing is fetched")
