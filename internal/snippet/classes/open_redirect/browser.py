"""Where a URL leads from a page, as the URL standard resolves it: as much of it as tells the host."""
import re
import unicodedata
from urllib.parse import unquote, urlsplit

_special = {"http", "https", "ftp", "ws", "wss"}
_stripped = "".join(map(chr, range(0x21)))


def resolve(url, page):
    """Returns (scheme, host, the rest); a scheme that has no host has the host ''. The page is an http or https URL."""
    url = re.sub(r"[\t\n\r]", "", str(url).strip(_stripped))
    base = urlsplit(page)
    scheme, rest = base.scheme, url
    named = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):([\s\S]*)", url)
    if named:
        scheme, rest = named[1].lower(), named[2]
        if scheme not in _special:
            return scheme, "", rest
    if named and scheme != base.scheme:
        return (scheme, *_authority(rest))
    if re.match(r"[/\\]{2}", rest):
        return (scheme, *_authority(rest))
    path, mark, tail = re.match(r"([^?#]*)([?#]?)([\s\S]*)", rest).groups()
    path = path.replace("\\", "/")
    if not path.startswith("/"):
        path = base.path.rpartition("/")[0] + "/" + path if path else base.path
    return scheme, base.netloc, _dots(path) + mark + tail


def _authority(rest):
    rest = rest.lstrip("/\\")
    end = re.search(r"[/\\?#]", rest)
    authority, tail = (rest[:end.start()], rest[end.start():]) if end else (rest, "")
    host = authority.rpartition("@")[2]
    host = re.sub(r":\d*$", "", unicodedata.normalize("NFKC", unquote(host))).lower()
    path, mark, query = re.match(r"([^?#]*)([?#]?)([\s\S]*)", tail).groups()
    return host, _dots(path.replace("\\", "/") or "/") + mark + query


def _dots(path):
    out = []
    parts = path.split("/")[1:]
    for i, part in enumerate(parts):
        plain = part.lower().replace("%2e", ".")
        if plain == "..":
            del out[-1:]
        elif plain != ".":
            out.append(part)
        if plain in (".", "..") and i == len(parts) - 1:
            out.append("")
    return "/" + "/".join(out)
