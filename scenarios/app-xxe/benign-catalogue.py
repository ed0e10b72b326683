"""A supplier sends a catalogue in two parts; the second changes a price."""
import json

from crisol_trial import benign

import inbox


@benign
def main(t):
    first = '<catalogue><article number="a1" price="450">Tea &#38; cake</article><article number="a2" price="90">Mug</article></catalogue>'
    second = '<catalogue><article number="a2" price="95">Mug, system blue</article></catalogue>'
    assert inbox.send(t, "/catalogue", first)[0] == 201
    status, value = inbox.send(t, "/catalogue", second)
    wanted = {"a1": {"name": "Tea & cake", "price": 450}, "a2": {"name": "Mug, system blue", "price": 95}}
    assert (status, value) == (201, wanted), value
    assert json.loads(t.request(path="/catalogue")[2]) == wanted
    assert inbox.send(t, "/catalogue", "<catalogue><article>nothing</article></catalogue>")[0] == 400
