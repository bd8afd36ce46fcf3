"""Checks objects of Istio's kinds as an API server would; see tests/check-istio.

`crds.json` has the schemas of Istio's own CustomResourceDefinitions (of August 2026, Apache
License 2.0; `extract.py` makes it). An API server prunes what a schema does not know; here
that is a problem, since whoever wrote it meant something by it.
"""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import celpy
import jsonschema
import yaml
from celpy import celtypes

SCHEMAS = json.loads((Path(__file__).parent / "crds.json").read_text(encoding="utf-8"))


def is_url(text):
    """Kubernetes' own: an absolute URL or an absolute path."""
    parts = urlsplit(str(text))
    absolute = bool(parts.scheme) and bool(parts.netloc or parts.path.startswith("/"))
    return celtypes.BoolType(absolute or (not parts.scheme and parts.path.startswith("/")))


def url(text):
    return text


def scheme(text):
    return celtypes.StringType(urlsplit(str(text)).scheme)


CEL = celpy.Environment()
LIBRARY = {"isURL": is_url, "url": url, "getScheme": scheme}


def breaks(rule, value):
    program = CEL.program(CEL.compile(rule), functions=LIBRARY)
    return not program.evaluate({"self": celpy.json_to_cel(value)})


def plain(schema):
    """As JSON Schema says what OpenAPI says otherwise."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: plain(part) for name, part in schema.items()}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made


def inside(schema, value, path):
    """What JSON Schema does not say: unknown fields, and the rules in CEL."""
    for rule in schema.get("x-kubernetes-validations", []):
        if breaks(rule["rule"], value):
            yield f"{path}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, part in value.items():
            where = f"{path}.{name}"
            if name in known:
                yield from inside(known[name], part, where)
            elif isinstance(rest, dict):
                yield from inside(rest, part, where)
            elif rest is not True and not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{where}: unknown field"
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from inside(schema.get("items", {}), part, f"{path}[{index}]")


def problems(document):
    kind = f"{document['apiVersion']} {document['kind']}"
    schema = SCHEMAS.get(kind)
    if schema is None:
        return [f"{kind} is no kind of Istio's"] if "istio.io" in kind else []
    # What every object has, the API server knows by itself.
    own = {name: value for name, value in document.items() if name in ("spec", "status")}
    validator = jsonschema.Draft202012Validator(plain(schema))
    found = [
        f"{document['kind']}.{error.json_path.removeprefix('$.')}: {error.message}"
        for error in validator.iter_errors(own)
    ]
    return found + list(inside(schema, own, document["kind"]))


documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
found = [problem for document in documents for problem in problems(document)]
if found:
    sys.exit("\n".join(found))
json.dump(documents, sys.stdout)
