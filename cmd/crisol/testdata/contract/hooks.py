"""What schemathesis can't know of Crisol: patches that apply, waits that are short, and who may do what.

$CRISOL_BODIES is a file with a JSON list of requests that can be carried out, $CRISOL_CALLER who asks: anybody (no token is
wanted), operator, reader, or nobody (a token is wanted, and none that is valid is shown).
"""

import collections
import hashlib
import json
import os
import random

import schemathesis

SUBMITS = {"/wargaming/ml-first", "/wargaming/validate", "/wargaming/execute"}
PUBLIC = {"/health", "/docs", "/openapi.json"}
CALLER = os.environ["CRISOL_CALLER"]
with open(os.environ["CRISOL_BODIES"], encoding="utf-8") as file:
    BODIES = json.load(file)

# The newest validations, whose ids fuzzing alone would never hit.
ids = collections.deque(maxlen=50)

# Values of headers that servers and libraries stumble over. Control characters aren't among them: by RFC 9110, 5.5, what
# has them is no request, and Go's HTTP server says so before Crisol hears of it.
HEADERS = {
    "Accept": ["text/html", "application/cbor", "*/*;q=0", "application/json;q=zero", ","],
    "X-Request-Id": ["a" * 65, "../../etc/passwd", "é", '"'],
    "X-Forwarded-For": ["203.0.113.9", "::1, ,", "not an address", "," * 500],
    "Accept-Encoding": ["gzip", "br;q=1.0, *;q=0"],
    "Accept-Language": ["xx-" * 50],
    "If-None-Match": ["*"],
    "If-Modified-Since": ["yesterday"],
    "Range": ["bytes=0-0", "bytes=9-1"],
    "Cookie": ["a=b; c", "=;=;"],
    "Last-Event-ID": ["-2", "9" * 40],
    "Traceparent": ["00-zz-zz-01"],
}


def chance(case):
    """Randomness that is the same for the same request, in whatever order requests are made."""
    text = json.dumps([case.path, case.method, case.query, case.path_parameters, case.body], default=repr, sort_keys=True)
    return random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@schemathesis.hook
def before_call(context, case, kwargs):
    luck = chance(case)
    if CALLER == "nobody" and luck.random() < 0.5:
        case.headers["Authorization"] = luck.choice(
            ["Bearer", "Bearer ", "Bearer crisol_" + "A" * 43, "bearer \xff", "Basic YTpi", "Bearer a b", "Bearer " + "x" * 5000]
        )
    for name, values in HEADERS.items():
        if luck.random() < 0.05:
            case.headers[name] = luck.choice(values).encode("latin-1").decode("latin-1")
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    if case.path == "/wargaming/validations/{id}" and ids and luck.random() < 0.7:
        case.path_parameters["id"] = luck.choice(list(ids))
    if case.path == "/wargaming/validations/{id}" and case.query and str(case.query.get("wait"))[:1].isdigit():
        case.query["wait"] = "20ms"
    if case.path in SUBMITS and isinstance(case.body, dict):
        case.body = submission(case.body, luck, case.meta.phase.name == "fuzzing")


def submission(body, luck, free):
    """A request that is answered soon; and in some cases, where the body is free, one whose answer is worth looking at."""
    if free and luck.random() < 0.25:
        real = luck.choice(BODIES)
        body = {**real, "apv_id": f"apv-{luck.randrange(20)}", "patch_id": f"p-{luck.randrange(20)}"}
        if luck.random() < 0.3:
            body["min_assurance"] = luck.choice(["A1", "A2", "A3", "A4", None])
    wait = body.get("wait")
    if not wait or str(wait)[:1].isdigit():
        body = {**body, "wait": luck.choice(["0s", "0s", "20ms", "1s"])}
    return body


@schemathesis.hook
def after_call(context, case, response):
    try:
        found = response.json()
    except ValueError:
        return
    if isinstance(found, dict) and isinstance(found.get("validation_id"), str):
        ids.append(found["validation_id"])


@schemathesis.check
def who_may_do_what(ctx, response, case):
    """Refused is exactly who may not."""
    told = response.status_code
    if case.path in PUBLIC or CALLER == "anybody":
        want = None
    elif CALLER == "nobody":
        want = 401
    elif CALLER == "reader" and (case.method not in ("GET", "HEAD", "OPTIONS") or case.path == "/wargaming/audit-log"):
        want = 403
    else:
        want = None
    if want is not None and told != want:
        raise AssertionError(f"{CALLER} was answered {told}, want {want}")
    if want is None and told in (401, 403):
        raise AssertionError(f"{CALLER} was refused: {told}")
    if told == 429:
        raise AssertionError("429 without limits")
