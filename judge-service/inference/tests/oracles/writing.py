"""Writes a model with its inputs and outputs where the tests read them."""

import json
import math
from pathlib import Path

import numpy

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


def write_all(models):
    """Each model: its name, file, description, `save`, inputs [rows, ...], outputs [rows, ...], and `by` whom."""
    for model in models:
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
