"""Alice signs in and transfers money through the bank's own form, twice, with the page open in between."""
from crisol_trial import benign

from browser import Browser


@benign
def main(t):
    alice = Browser(t, "alice", "wonderland")
    for amount, balance in (("30", 970), ("70", 900)):
        status, headers, body = alice.submit("/", "/transfer", to="mallory", amount=amount)
        assert (status, headers.get("Location")) == (303, "/"), body
        status, page = alice.get("/")
        assert status == 200 and f"Balance: {balance}" in page, page
    assert alice.submit("/", "/transfer", to="mallory", amount="5000")[0] == 400
    assert alice.submit("/", "/transfer", to="nobody", amount="5")[0] == 400
