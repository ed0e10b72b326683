"""A visitor signs with the characters that people write; they arrive as they were written."""
from crisol_trial import benign

import book


@benign
def main(t):
    text = "5 < 6 & 7 > 3, that's \"maths\"; call onload() and javascript: is a scheme"
    website = "https://conor.example/page?a=1&b=2"
    assert book.sign(t, name="Conor O'Neill & sons", website=website, text=text) == 303
    page = book.read(t)
    assert text in page.texts["p"], page.texts
    assert website in page.links, page.links
    assert "Posted by Conor O'Neill & sons" in page.titles, page.titles
    assert "Conor O'Neill & sons" in page.texts["a"], page.texts
    assert not page.runs()
    assert book.sign(t, name="Nobody", text="") == 400
