"""What the scripts of this scenario have in common: requests to the shop."""
import json
from urllib.parse import urlencode

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def get(t, path, session="", **query):
    status, _, body = t.request(path=f"{path}?{urlencode(query)}", headers={"Cookie": session})
    return status, json.loads(body)


def post(t, path, session="", **form):
    status, _, body = t.request("POST", path, headers={**FORM, "Cookie": session}, body=urlencode(form))
    return status, json.loads(body)


def login(t, name, password):
    status, headers, body = t.request("POST", "/login", headers=FORM, body=urlencode({"name": name, "password": password}))
    assert status == 200, body
    return headers["Set-Cookie"].split(";")[0]


def is_admin_after_reset(t, code):
    """Proves a leaked reset code by taking the administrator's account over with it."""
    status, _ = post(t, "/reset", name="admin", code=code, password="mine now")
    return status == 200 and get(t, "/profile", login(t, "admin", "mine now"))[1]["role"] == "admin"
