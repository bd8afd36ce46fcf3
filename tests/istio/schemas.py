"""Checks objects of Istio's kinds; see tests/check-istio."""

import json
import sys

import yaml
from cloudcoil.models.istio.extensions import v1alpha1 as extensions
from cloudcoil.models.istio.networking import v1, v1alpha3

KINDS = {
    ("networking.istio.io/v1alpha3", "EnvoyFilter"): v1alpha3.EnvoyFilter,
    ("networking.istio.io/v1", "VirtualService"): v1.VirtualService,
    ("networking.istio.io/v1", "DestinationRule"): v1.DestinationRule,
    ("extensions.istio.io/v1alpha1", "WasmPlugin"): extensions.WasmPlugin,
}


def unknown(given, known, path):
    """Fields that the types passed over. Patches have any: `Any` keeps them."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            if name not in known:
                yield f"{path}.{name}: unknown field"
            else:
                yield from unknown(value, known[name], f"{path}.{name}")
    elif isinstance(given, list) and isinstance(known, list):
        for index, (value, own) in enumerate(zip(given, known)):
            yield from unknown(value, own, f"{path}[{index}]")


def problems(document):
    kind = KINDS.get((document["apiVersion"], document["kind"]))
    if kind is None:
        if "istio.io" in document["apiVersion"]:
            return [f"{document['apiVersion']} {document['kind']} is no kind of Istio's"]
        return []
    try:
        read = kind.model_validate(document)
    except ValueError as error:
        return [str(error)]
    known = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return list(unknown(document, known, document["kind"]))


documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
found = [problem for document in documents for problem in problems(document)]
if found:
    sys.exit("\n".join(found))
json.dump(documents, sys.stdout)
