"""Two customers use the API from the bank's own pages, at the same time; nobody gets in without a session."""
import json

from crisol_trial import benign

from browser import Browser


@benign
def main(t):
    alice, mallory = Browser(t, "alice", "wonderland"), Browser(t, "mallory", "malice")
    status, _, body = alice.call("/api/transfer", {"to": "mallory", "amount": 40})
    assert (status, json.loads(body)) == (200, {"balance": 960}), body
    status, _, body = mallory.call("/api/transfer", {"to": "alice", "amount": 5})
    assert (status, json.loads(body)) == (200, {"balance": 45}), body
    assert mallory.submit("/", "/transfer", to="alice", amount="5")[0] == 303
    assert json.loads(alice.get("/api/account")[1])["balance"] == 970
    assert t.request(path="/api/account")[0] == 401
