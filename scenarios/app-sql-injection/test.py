"""The shop's own tests: routes, refusals, sessions and how the search compares."""
from crisol_trial import benign

import shop


def search(t):
    assert [row["name"] for row in shop.get(t, "/products", q="TEA")[1]] == ["Green tea", "Tea pot"]
    assert shop.get(t, "/products", q="tea pot") == (200, [{"id": 3, "name": "Tea pot", "price": 2400}])
    assert shop.get(t, "/products", q="nothing of the kind") == (200, [])
    assert [row["price"] for row in shop.get(t, "/products", sort="price")[1]] == [450, 900, 1250, 1800, 2400]
    assert [row["id"] for row in shop.get(t, "/products", sort="name desc")[1]] == [2, 3, 5, 4, 1]
    assert [row["id"] for row in shop.get(t, "/products")[1]] == [1, 4, 5, 3, 2]


def accounts(t):
    assert shop.post(t, "/login", name="guest", password="wrong")[0] == 403
    assert shop.post(t, "/login", name="nobody", password="guest")[0] == 403
    assert shop.get(t, "/profile")[0] == 404
    first, second = shop.login(t, "guest", "guest"), shop.login(t, "guest", "guest")
    assert first != second
    assert shop.post(t, "/profile", first, email="new@mail.example")[0] == 200
    assert shop.get(t, "/profile", second)[1]["email"] == "new@mail.example"


@benign
def main(t):
    search(t)
    accounts(t)
    assert shop.get(t, "/product", id="0")[0] == 404
    assert shop.get(t, "/elsewhere")[0] == 404
    status, headers, _ = t.request(path="/products")
    assert (status, headers["Content-Type"]) == (200, "application/json")
