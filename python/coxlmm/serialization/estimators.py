"""Fitted estimators as JSON and arrays, never a pickle: only classes of :mod:`coxlmm.estimators` are made again."""

import inspect
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from coxlmm.serialization.shelf import Shelf

_ESTIMATORS = "coxlmm.estimators"


def take_apart(estimator: Any, shelf: Shelf, where: str = "estimator") -> dict[str, Any]:
    """An estimator's class, parameters and what it learned, as JSON; learned arrays go to the shelf.

    Parameters and learned attributes may be estimators themselves.

    Raises
    ------
    ValueError
        If it is not one of :mod:`coxlmm.estimators`: there would be no safe way to load it.
    """
    kind = type(estimator).__name__
    if type(estimator) is not _classes().get(kind):
        raise ValueError(f"only estimators of {_ESTIMATORS} can be saved, got {type(estimator).__qualname__}")
    defaults = {name: p.default for name, p in inspect.signature(type(estimator)).parameters.items()}
    params, fitted = {}, {}
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, BaseEstimator):
            params[name] = take_apart(value, shelf, f"{where}.{name}")
        else:
            # What only the fit needed and JSON cannot say (a callback, arrays to start from) is left at its default.
            params[name] = _plain(value) if _is_plain(value) else defaults[name]
    for name, value in vars(estimator).items():
        if not _is_learned(name):
            continue
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            shelf.tensors[f"{where}.{name}"] = np.ascontiguousarray(value)
        elif isinstance(value, BaseEstimator):
            fitted[name] = take_apart(value, shelf, f"{where}.{name}")
        elif _is_plain(value):
            fitted[name] = _plain(value)
    return {"class": kind, "params": params, "fitted": fitted}


def put_together(description: Any, shelf: Shelf, where: str = "estimator") -> Any:
    """The estimator of which :func:`take_apart` made the description.

    Raises
    ------
    ValueError
        If it is of another class, has parameters that the class lacks, or an attribute that is not learned by name.
    """
    if not isinstance(description, dict) or description.keys() != {"class", "params", "fitted"}:
        raise ValueError(f"{where} must have a class, params and fitted, got {description!r:.80}")
    kind, params, fitted = description["class"], description["params"], description["fitted"]
    classes = _classes()
    if not isinstance(kind, str) or kind not in classes:
        raise ValueError(f"its estimator {kind!r} is not one of {', '.join(classes)}")
    if not isinstance(params, dict) or not isinstance(fitted, dict):
        raise ValueError(f"{where} must have objects of params and fitted, got {params!r:.80} and {fitted!r:.80}")
    strange = params.keys() - inspect.signature(classes[kind]).parameters.keys()
    if strange:
        raise ValueError(f"{kind} has no parameter {min(strange)!r}")
    estimator = classes[kind](**{k: _value(v, shelf, f"{where}.{k}") for k, v in params.items()})
    learned = {k: _value(v, shelf, f"{where}.{k}") for k, v in fitted.items()}
    prefix = f"{where}."
    own = {k: k.removeprefix(prefix) for k in shelf.tensors if k.startswith(prefix)}
    learned |= {name: shelf.array(k) for k, name in own.items() if "." not in name}
    for name, value in learned.items():
        if not _is_learned(name):
            raise ValueError(f"{name!r} is not the name of something that an estimator learns")
        setattr(estimator, name, value)
    return estimator


def _value(value: Any, shelf: Shelf, where: str) -> Any:
    if isinstance(value, dict):
        return put_together(value, shelf, where)
    if not _is_plain(value):
        raise ValueError(f"{where} is {value!r:.80}, and must be a number, a text, or an estimator")
    return value


def _classes() -> dict[str, type]:
    module = import_module(_ESTIMATORS)
    return {name: getattr(module, name) for name in module.__all__}


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
