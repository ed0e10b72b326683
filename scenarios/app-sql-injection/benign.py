"""A customer searches, sorts and looks a product up; names made of SQL's own words are only names."""
from crisol_trial import benign

import shop


def names(t, **query):
    status, rows = shop.get(t, "/products", **query)
    assert status == 200, rows
    return [row["name"] for row in rows]


@benign
def main(t):
    assert names(t, q="tea") == ["Green tea", "Tea pot"]
    assert names(t, q="tea", sort="price") == ["Green tea", "Tea pot"]
    assert names(t, q="", sort="price")[::4] == ["Green tea", "Tea pot"]
    assert names(t, q="t", sort="price desc")[0] == "Tea pot"
    assert names(t, q="union jack") == ["Union Jack mug"]
    assert names(t, q="select") == ["Select blend coffee"]
    assert names(t, q="table -- cloth") == []
    assert shop.get(t, "/product", id="3") == (200, {"id": 3, "name": "Tea pot", "price": 2400})
    assert shop.get(t, "/product", id="99")[0] == 404
