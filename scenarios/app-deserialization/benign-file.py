"""A customer saves the basket and reads it back in another browser."""
from crisol_trial import benign
from customer import Customer


@benign
def main(t):
    ada, later = Customer(), Customer()
    ada.add("butter", 1000)
    ada.add("jalape%C3%B1o", 1)
    ada.send("POST", "/note", "n\u00f6te ".encode() * 200)
    saved = ada.send("GET", "/file")
    assert len(saved) < 1000
    later.add("bread", 1)
    later.send("POST", "/file", saved)
    assert later.view() == ada.view() == {"items": {"butter": 1000, "jalapeño": 1}, "note": "n\u00f6te " * 200, "total": 2001}
    later.add("bread", 1)
    assert later.view()["total"] == 2004
    # an empty basket, too
    later.send("POST", "/file", Customer().send("GET", "/file"))
    assert later.view() == {"items": {}, "note": "", "total": 0}
