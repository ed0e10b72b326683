"""The grocery's own tests: refusals, and baskets that are broken or none."""
import base64
import zlib

from crisol_trial import benign
from customer import Customer


@benign
def main(t):
    ada = Customer()
    ada.add("bread", 1)
    ada.send("POST", "/basket", b"item=gold&count=1", expect=400)
    ada.send("POST", "/basket", b"item=bread&count=-2", expect=400)
    ada.send("POST", "/basket", b"item=bread&count=many", expect=400)
    assert ada.view()["items"] == {"bread": 1}
    ada.send("GET", "/elsewhere", expect=404)
    for text in (b"", b"no basket", b"\x80\x04N.", b"(dp0\n.", b"[]", b"{}", b"null"):
        ada.send("POST", "/file", zlib.compress(text), expect=400)
        Customer("basket=" + base64.urlsafe_b64encode(text).decode()).send("GET", "/basket", expect=400)
    ada.send("POST", "/file", b"not even compressed", expect=400)
    Customer("other=1; basket=?").send("GET", "/basket", expect=400)
    assert Customer("other=1").view()["items"] == {}
