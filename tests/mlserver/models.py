"""Writes the champion of the digits as two scikit-learn models for MLServer.

    python3 tests/mlserver/models.py FOLDER

The weights are those of tests/models/digits-v1.safetensors, so that scikit-learn answers
what the judge's own reading of the file must say. FOLDER/right answers so;
FOLDER/transposed takes the rows of a picture for its columns.
"""

import json
import struct
import sys
from pathlib import Path

import joblib
import numpy
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, MaxAbsScaler

MODELS = Path(__file__).resolve().parent.parent / "models"
SIDE = 8
LARGEST = 16.0


def tensors(path):
    """The float32 tensors of a safetensors file."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        yield name, numpy.frombuffer(content[start:end], dtype="<f4").reshape(entry["shape"])


def classifier(columns):
    found = dict(tensors(MODELS / "digits-v1.safetensors"))
    network = MLPClassifier(hidden_layer_sizes=(found["0.weight"].shape[0],))
    # scikit-learn keeps [in, out].
    network.coefs_ = [found["0.weight"].T[columns].astype(float), found["1.weight"].T.astype(float)]
    network.intercepts_ = [found["0.bias"].astype(float), found["1.bias"].astype(float)]
    network.n_layers_, network.n_outputs_, network.out_activation_ = 3, 10, "softmax"
    network.n_features_in_ = SIDE * SIDE
    network.classes_ = numpy.arange(10)
    network._label_binarizer = LabelBinarizer().fit(network.classes_)
    scaler = MaxAbsScaler()
    scaler.scale_ = scaler.max_abs_ = numpy.full(SIDE * SIDE, LARGEST)
    scaler.n_features_in_, scaler.n_samples_seen_ = SIDE * SIDE, 1
    return make_pipeline(scaler, network)


def main():
    folder = Path(sys.argv[1])
    own = numpy.arange(SIDE * SIDE)
    for name, columns in {"right": own, "transposed": own.reshape(SIDE, SIDE).T.ravel()}.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        joblib.dump(classifier(columns), place / "model.joblib")
        settings = {
            "name": "digits",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": name},
        }
        (place / "model-settings.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
