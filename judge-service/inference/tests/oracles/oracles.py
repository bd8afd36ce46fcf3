"""Writes small models with inputs and the outputs that their own libraries give.

    make oracles

Needs the packages of requirements.txt. Seeds are fixed: the same versions on the
same kind of CPU write the same files. `cargo test -p serinus-inference` reads
what is written here and checks our outputs to 1e-5 relative.

Writes, for each model, `NAME.json` (the description), the model file that it
names, and `NAME.expected.json`: inputs (null is a missing value), outputs, and
which library gave them.
"""

import json
import math
from pathlib import Path

import numpy

import networks
import trees

HERE = Path(__file__).resolve().parent


def clean(value):
    """JSON has no NaN: null is a missing value."""
    return None if isinstance(value, float) and math.isnan(value) else value


def rows(array):
    """An array [rows, ...] as lists of numbers, each row flat."""
    array = numpy.asarray(array)
    flat = array.reshape(len(array), -1).tolist()
    return [[clean(value) for value in row] for row in flat]


def write(name, suffix, value):
    text = json.dumps(value, separators=(",", ":"))
    (HERE / f"{name}{suffix}").write_text(text + "\n")


def main():
    for model in [*trees.models(), *networks.models()]:
        model["save"](HERE / model["file"])
        description = {"name": model["name"], "weights": model["file"], **model["description"]}
        write(model["name"], ".json", description)
        expected = {
            "by": model["by"],
            "inputs": rows(model["inputs"]),
            "outputs": rows(model["outputs"]),
        }
        write(model["name"], ".expected.json", expected)
        print(f"{model['name']}: {(HERE / model['file']).stat().st_size} bytes")


if __name__ == "__main__":
    main()
