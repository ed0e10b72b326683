"""A customer fills the basket over several requests."""
from crisol_trial import benign
from customer import Customer


@benign
def main(t):
    ada, other = Customer(), Customer()
    assert ada.view() == {"items": {}, "note": "", "total": 0}
    assert ada.add("bread", 2) == {"items": {"bread": 2}, "note": "", "total": 6}
    ada.add("jalape%C3%B1o", 10)
    ada.add("bay+leaves", 1)
    ada.add("bread", -1)
    # words that frighten filters
    note = 'os.system("touch marker") & builtins.eval, cos\nsystem; ¡olé! \\u006f \x00'
    ada.send("POST", "/note", note.encode())
    assert ada.view() == {"items": {"bread": 1, "jalapeño": 10, "bay leaves": 1}, "note": note, "total": 17}
    assert other.view()["items"] == {}
