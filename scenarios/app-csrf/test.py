"""The bank's own tests: signing in, refusals, and that money is neither made nor lost."""
import json

from crisol_trial import benign

from browser import Browser


def balance(browser):
    return json.loads(browser.get("/api/account")[1])["balance"]


@benign
def main(t):
    status, headers, body = t.request(path="/")
    assert status == 200 and 'action="/login"' in body and headers["Content-Type"].startswith("text/html")
    try:
        Browser(t, "alice", "wrong")
        raise SystemError("signed in with a wrong password")
    except AssertionError:
        pass

    alice, mallory = Browser(t, "alice", "wonderland"), Browser(t, "mallory", "malice")
    assert "Account of alice" in alice.get("/")[1] and "Account of mallory" in mallory.get("/")[1]
    for amount in ("-5", "0", "1001", "many", ""):
        assert alice.submit("/", "/transfer", to="mallory", amount=amount)[0] == 400, amount
    assert alice.call("/api/transfer", {"to": "mallory"})[0] == 400
    assert alice.call("/api/transfer", ["mallory", 5])[0] in (400, 403)
    assert alice.call("/api/transfer", {"to": "alice", "amount": 5})[0] == 200
    assert (balance(alice), balance(mallory)) == (1000, 10)
    assert alice.submit("/", "/transfer", to="mallory", amount="1000")[0] == 303
    assert (balance(alice), balance(mallory)) == (0, 1010)
    assert mallory.call("/api/transfer", {"to": "alice", "amount": 1010})[0] == 200
    assert (balance(alice), balance(mallory)) == (1010, 0)
    assert alice.get("/elsewhere")[0] == 404
