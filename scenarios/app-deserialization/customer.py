"""A customer's browser: it keeps the basket's cookie."""
import http.client
import json


class Customer:
    def __init__(self, cookie=None):
        self.cookie = cookie  # name=value

    def send(self, method, path, body=b"", expect=200):
        conn = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
        conn.request(method, path, body, {"Cookie": self.cookie} if self.cookie else {})
        res = conn.getresponse()
        data = res.read()
        assert expect in (None, res.status), (res.status, data)
        if res.getheader("Set-Cookie"):
            self.cookie = res.getheader("Set-Cookie").partition(";")[0]
        return data

    def view(self):
        return json.loads(self.send("GET", "/basket"))

    def add(self, item, count):
        return json.loads(self.send("POST", "/basket", f"item={item}&count={count}".encode()))
