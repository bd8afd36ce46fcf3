"""A client of the judge's API, made from its OpenAPI document.

    judge = Judge("http://127.0.0.1:8090")
    judge.getRollout(id="digits")
    judge.abortRollout(id="digits", body={"reason": "users complain"})

Each operation of the document is a method, by its `operationId`. Parameters of its path
and query are keywords; `if_match` and `idempotency_key` are headers. What the judge
refuses is raised as `Refused`, with its problem (RFC 9457).

As a command it prints what an operation answers, or which operations there are:

    python3 serinus.py getRollout id=digits
    python3 serinus.py abortRollout id=digits 'body={"reason": "users complain"}'
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

TIMEOUT_SECONDS = 10


class Refused(Exception):
    """The judge's own word that something is not possible, or not now."""

    def __init__(self, status, problem):
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title')}")
        self.status, self.problem = status, problem


class Judge:
    def __init__(self, url):
        self.url = url.rstrip("/")
        description = self._send("GET", "/v1/openapi.json")
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, operations in description["paths"].items()
            for method, operation in operations.items()
            if "operationId" in operation
        }

    def __getattr__(self, name):
        if name not in self.operations:
            raise AttributeError(f"the judge has no operation {name}; it has {', '.join(self.operations)}")
        return lambda **given: self._call(name, **given)

    def _call(self, name, body=None, if_match=None, idempotency_key=None, **given):
        method, path, operation = self.operations[name]
        query = {}
        for parameter in operation.get("parameters", []):
            key, place = parameter["name"], parameter["in"]
            if place not in ("path", "query") or key not in given:
                continue
            value = given.pop(key)
            if place == "path":
                path = path.replace("{" + key + "}", urllib.parse.quote(str(value), safe=""))
            else:
                query[key] = json.dumps(value) if isinstance(value, bool) else value
        if given or "{" in path:
            raise TypeError(f"{name} has no parameter {', '.join(given)}" if given else f"{name} lacks a parameter of {path}")
        headers = {}
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        if method == "POST":
            # What is sent again, since no answer came, is done once.
            headers["idempotency-key"] = idempotency_key or str(uuid.uuid4())
        return self._send(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, headers)

    def _send(self, method, path, body=None, headers=()):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers), method=method)
        if data is not None:
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {"detail": text.decode(errors="replace")}
            raise Refused(error.code, problem) from None
        return json.loads(text) if text else None


def main(arguments):
    judge = Judge(os.environ.get("SERINUS_JUDGE", "http://127.0.0.1:8090"))
    if not arguments:
        for name, (method, path, operation) in judge.operations.items():
            print(f"{name:20} {method:6} {path:40} {operation.get('summary', '')}")
        return
    name, *pairs = arguments
    given = dict(pair.split("=", 1) for pair in pairs)
    if "body" in given:
        given["body"] = json.loads(given["body"])
    print(json.dumps(getattr(judge, name)(**given), indent=2))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Refused, AttributeError, TypeError, urllib.error.URLError) as error:
        sys.exit(f"serinus.py: {error}")
