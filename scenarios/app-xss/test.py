"""The guest book's own tests: routes, order, trimming and refusals."""
from crisol_trial import benign

import book


@benign
def main(t):
    status, headers, body = t.request(path="/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post" action="/messages">' in body and "A warm welcome to the guest book." in body

    assert book.sign(t, name="  Ben ", website="https://ben.example/", text=" first\nsecond ") == 303
    assert book.sign(t, name="Cleo", website="http://cleo.example", text="third") == 303
    page = book.read(t)
    assert page.texts["p"] == ["A warm welcome to the guest book.", "first\nsecond", "third"], page.texts
    assert page.texts["a"] == ["Ada", "Ben", "Cleo"], page.texts
    assert page.links == ["https://ada.example/", "https://ben.example/", "http://cleo.example"], page.links
    assert page.titles == ["Posted by Ada", "Posted by Ben", "Posted by Cleo"], page.titles

    assert book.sign(t, name=" ", text="nobody") == 400
    assert book.sign(t, text="nobody") == 400
    assert len(book.read(t).titles) == 3
    assert book.read(t, "/search", q="THIRD").texts["p"] == ["third", "1 found"]
    assert book.read(t, "/search").texts["p"][-1] == "3 found"
    assert t.request(path="/elsewhere")[0] == 404
