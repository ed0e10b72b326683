"""A customer changes their e-mail address; addresses may hold a plus, a dash or a word of SQL."""
from crisol_trial import benign

import shop


@benign
def main(t):
    session = shop.login(t, "guest", "guest")
    for email in ("guest+select@mail.example", "drop-table@mail.example", "=admin@mail.example"):
        wanted = {"name": "guest", "email": email, "role": "customer"}
        assert shop.post(t, "/profile", session, email=email) == (200, wanted)
        assert shop.get(t, "/profile", session) == (200, wanted)
    assert shop.post(t, "/profile", "session=unknown", email="x@mail.example")[0] == 403
    assert shop.post(t, "/reset", name="admin", code="no", password="x")[0] == 403
