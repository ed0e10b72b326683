"""The inbox's own tests: empty fields, several documents, attributes, documents that are none."""
import json

from crisol_trial import benign

import inbox


@benign
def main(t):
    assert json.loads(t.request(path="/invoices")[2]) == []
    empty = {"number": "", "supplier": "", "note": "", "total": 0}
    assert inbox.send(t, "/invoices", "<invoice/>") == (201, empty)
    status, value = inbox.send(t, "/invoices", "<invoice>\n <number> 3 </number><amount>-4</amount><amount>5</amount></invoice>")
    assert (status, value) == (201, {**empty, "number": "3", "total": 1}), value
    assert json.loads(t.request(path="/invoices")[2]) == [empty, value]
    for document in ("", "plain text", "<invoice>", "<a/><b/>", "<invoice>&nothing;</invoice>"):
        assert inbox.send(t, "/invoices", document)[0] == 400, document
        assert inbox.send(t, "/catalogue", document)[0] == 400, document
    assert len(json.loads(t.request(path="/invoices")[2])) == 2
    assert inbox.send(t, "/catalogue", '<c><article number="x" price="1"/></c>') == (201, {"x": {"name": "", "price": 1}})
    assert inbox.send(t, "/catalogue", '<c><article number="x" price="dear"/></c>')[0] == 400
    assert inbox.send(t, "/elsewhere", "<a/>")[0] == 404
    assert t.request(path="/elsewhere")[0] == 404
