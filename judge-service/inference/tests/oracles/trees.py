"""Models of XGBoost and LightGBM over the cases that their formats tell apart."""

import lightgbm
import numpy
import xgboost

ROWS = 400
ROUNDS = 4
CHECKED = 16


def features(seed):
    """Six features: numbers, zeros, missing values, and small whole numbers."""
    random = numpy.random.default_rng(seed)
    x = random.normal(size=(ROWS, 6))
    x[:, 1] = numpy.round(x[:, 1], 1)
    x[:, 4] = random.integers(0, 9, ROWS)
    x[:, 5] = random.integers(0, 40, ROWS)
    x[random.random(ROWS) < 0.15, 0] = numpy.nan
    x[random.random(ROWS) < 0.25, 2] = 0.0
    return x, random


def target(x, random):
    score = numpy.nan_to_num(x[:, 0], nan=0.7) + x[:, 1] * x[:, 2] + (x[:, 4] % 3 == 1)
    return score + 0.5 * (x[:, 5] % 7 < 2) + 0.1 * random.normal(size=len(x))


def description(format, kind, datatype):
    return {
        "format": format,
        "input": {"name": "x", "shape": [6], "datatype": datatype},
        "output": {"name": "y", "kind": kind},
    }


def columns(outputs, kind):
    """Binary classifiers answer with one probability; each label has a column."""
    outputs = numpy.asarray(outputs)
    if kind == "probabilities" and outputs.ndim == 1:
        return numpy.stack([1.0 - outputs, outputs], axis=1)
    return outputs


def with_xgboost(name, objective, labels, kind, categories=False, **parameters):
    x, random = features(len(name))
    x = x.astype(numpy.float32)
    y = labels(target(x, random))
    types = ["q"] * 4 + (["c", "c"] if categories else ["q", "q"])
    data = xgboost.DMatrix(x, y, feature_types=types, enable_categorical=categories)
    settings = {
        "objective": objective, "max_depth": 3, "seed": 1, "nthread": 1,
        "tree_method": "hist", "max_cat_to_onehot": 2, **parameters,
    }
    booster = xgboost.train(settings, data, ROUNDS)
    inputs = x[:CHECKED]
    checked = xgboost.DMatrix(inputs, feature_types=types, enable_categorical=categories)
    return {
        "name": name, "file": f"{name}.model.json", "by": f"xgboost {xgboost.__version__}",
        "description": description("xgboost", kind, "FP32"),
        "save": lambda path: booster.save_model(path),
        "inputs": inputs, "outputs": columns(booster.predict(checked), kind),
    }


def with_lightgbm(name, objective, labels, kind, categories=(), **parameters):
    x, random = features(len(name))
    y = labels(target(x, random))
    settings = {
        "objective": objective, "num_leaves": 9, "seed": 1, "num_threads": 1, "verbose": -1,
        "deterministic": True, "min_data_in_leaf": 5, "min_data_per_group": 5,
        "cat_smooth": 1, "cat_l2": 1, "max_cat_to_onehot": 1, **parameters,
    }
    data = lightgbm.Dataset(x, y, categorical_feature=list(categories))
    booster = lightgbm.train(settings, data, ROUNDS)
    inputs = x[:CHECKED].copy()
    # Values that only float64 tells from a threshold.
    for row, tree in enumerate(booster.dump_model()["tree_info"][:4]):
        root = tree["tree_structure"]
        if root.get("decision_type") == "<=":
            above = numpy.nextafter(root["threshold"], numpy.inf)
            inputs[row, root["split_feature"]] = above if row % 2 else root["threshold"]
    return {
        "name": name, "file": f"{name}.txt", "by": f"lightgbm {lightgbm.__version__}",
        "description": description("lightgbm", kind, "FP64"),
        "save": lambda path: booster.save_model(path),
        "inputs": inputs, "outputs": columns(booster.predict(inputs), kind),
    }


def binary(score):
    return (score > 0.3).astype(int)


def three(score):
    return numpy.digitize(score, [-0.2, 0.9])


def counts(score):
    return numpy.floor(numpy.exp(score / 2))


def models():
    plain = lambda score: score
    return [
        with_xgboost("xgb-regression", "reg:squarederror", plain, "values"),
        with_xgboost("xgb-binary", "binary:logistic", binary, "probabilities"),
        with_xgboost("xgb-three", "multi:softprob", three, "probabilities", num_class=3),
        with_xgboost("xgb-counts", "count:poisson", counts, "values"),
        with_xgboost("xgb-categories", "reg:squarederror", plain, "values", categories=True),
        with_xgboost("xgb-parallel", "reg:squarederror", plain, "values", num_parallel_tree=2, subsample=0.7),
        with_lightgbm("lgb-regression", "regression", plain, "values"),
        with_lightgbm("lgb-binary", "binary", binary, "probabilities", sigmoid=1.5),
        with_lightgbm("lgb-three", "multiclass", three, "probabilities", num_class=3),
        with_lightgbm("lgb-counts", "poisson", counts, "values"),
        with_lightgbm("lgb-categories", "regression", plain, "values", categories=(4, 5)),
        with_lightgbm("lgb-zeros", "regression", plain, "values", zero_as_missing=True),
        with_lightgbm("lgb-no-missing", "regression_l1", plain, "values", use_missing=False),
        with_lightgbm("lgb-roots", "regression", numpy.abs, "values", reg_sqrt=True),
        with_lightgbm("lgb-forest", "regression", plain, "values", boosting="rf", bagging_freq=1, bagging_fraction=0.6),
    ]
