"""Makes crds.json anew from Istio's manifests/charts/base/files/crd-all.gen.yaml:

    python3 extract.py crd-all.gen.yaml > crds.json

The schemas of the kinds that `serinus manifest` writes, without their descriptions.
"""

import json
import sys

import yaml

KINDS = {
    ("networking.istio.io", "v1alpha3", "EnvoyFilter"),
    ("networking.istio.io", "v1", "VirtualService"),
    ("networking.istio.io", "v1", "DestinationRule"),
    ("extensions.istio.io", "v1alpha1", "WasmPlugin"),
}


def without_descriptions(node):
    if isinstance(node, dict):
        return {
            name: without_descriptions(value)
            for name, value in node.items()
            if not (name == "description" and isinstance(value, str))
        }
    if isinstance(node, list):
        return [without_descriptions(value) for value in node]
    return node


schemas = {}
with open(sys.argv[1], encoding="utf-8") as file:
    for crd in yaml.safe_load_all(file):
        if not crd:
            continue
        group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
        for version in crd["spec"]["versions"]:
            if (group, version["name"], kind) in KINDS:
                schema = version["schema"]["openAPIV3Schema"]
                schemas[f"{group}/{version['name']} {kind}"] = without_descriptions(schema)
# A line for each kind.
lines = (f"{json.dumps(kind)}: {json.dumps(schema)}" for kind, schema in sorted(schemas.items()))
print("{\n" + ",\n".join(lines) + "\n}")
