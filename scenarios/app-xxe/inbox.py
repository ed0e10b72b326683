"""What the scripts of this scenario have in common: sending a document to the inbox, and the secret beside it."""
import json

SECRET = "account-password: "
SETTINGS = '<!DOCTYPE d [<!ENTITY settings SYSTEM "file:///work/app/settings.ini">]>'


def send(t, path, document, encoding="utf-8"):
    headers = {"Content-Type": "application/xml"}
    status, _, body = t.request("POST", path, headers=headers, body=document.encode(encoding))
    return status, json.loads(body)


def leaked(answer):
    return isinstance(answer, tuple) and SECRET in json.dumps(answer[1])
