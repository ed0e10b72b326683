"""A visitor searches for a message and sees what they searched for."""
from crisol_trial import benign

import book


@benign
def main(t):
    assert book.sign(t, name="Bea", website="http://bea.example/", text="Tea & biscuits at 5") == 303
    page = book.read(t, "/search", q="tea & biscuits")
    assert page.texts["h1"] == ["Messages with tea & biscuits"], page.texts
    assert page.texts["p"] == ["Tea & biscuits at 5", "1 found"], page.texts
    assert "http://bea.example/" in page.links
    assert book.read(t, "/search", q="script").texts["p"] == ["0 found"]
