"""What an exploit, a benign input and Crisol have to say to each other.

Crisol writes one line of JSON to standard input: {"token": secret of this run, "size": n, "hostile": bool, "payload": any
value, if there is one}. It is read here, before the target is imported, so that the target's code can't know the token that proves that a script ran to
its end.

    @exploit                       # exit 0 when the function returns something true
    def main(t): t.attack(lambda: target(payload)); return effect
    @benign                        # exit 0 when nothing was raised
    @slow                          # judged by CPU time: t.size, t.hostile
"""
import http.client
import json
import os
import sys
import traceback

_exit, _write = os._exit, os.write
try:
    _order = json.loads(sys.stdin.read() or "{}")
except ValueError:
    _order = {}


class Trial:
    """One run: its input size, whether it is to be hostile, its payload, and the call under attack."""

    def __init__(self):
        self.size = _order.get("size") or 0
        self.hostile = _order.get("hostile", True) is not False
        self.payload = _order.get("payload")  # what the manifest gives this exploit, or a variant derived from it
        self.reached = False

    def attack(self, call):
        """Makes the call under attack. What it raises is returned, not raised: a fix may well refuse by raising."""
        self.reached = True
        try:
            return call()
        except Exception as err:  # noqa: BLE001
            return err

    def pump(self):
        """Returns a text of size characters from the payload's prefix, pump and suffix."""
        prefix, pump, suffix = (self.payload.get(name, "") for name in ("prefix", "pump", "suffix"))
        room = max(0, self.size - len(prefix) - len(suffix))
        return prefix + pump * -(-room // len(pump)) + suffix

    def request(self, method="GET", path="/", port=8080, headers=None, body=None):
        """Sends an HTTP request to loopback, the path exactly as written; returns (status, headers, body)."""
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        conn.putrequest(method, path, skip_accept_encoding=True)
        data = body.encode() if isinstance(body, str) else (body or b"")
        for name, value in (headers or {}).items():
            conn.putheader(name, value)
        if data:
            conn.putheader("Content-Length", str(len(data)))
        conn.endheaders(data or None)
        res = conn.getresponse()
        return res.status, dict(res.getheaders()), res.read().decode("utf-8", "replace")


def _say(word):
    sys.stdout.flush()
    _write(1, f"\ncrisol {word} {_order.get('token')}\n".encode())


def _main(body, judge):
    t = Trial()
    try:
        code = judge(body(t), t)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 3
    sys.stdout.flush()
    sys.stderr.flush()
    _exit(code)


def _attacked(effect, t):
    if t.reached:
        _say("reached")
    return 0 if effect else 1


def exploit(body):
    """Runs body as an attack: it succeeded when the function returns something true."""
    _main(body, _attacked)


def benign(body):
    """Runs body as a benign input: healthy when it returns."""
    _main(body, lambda _, t: (_say("healthy"), 0)[1])


def slow(body):
    """Runs body for its CPU time."""
    _main(body, lambda _, t: _attacked(True, t))
