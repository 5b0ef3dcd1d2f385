"""Values of declared types, such as Word, ImageHit and Effect, as JSON and back.

The declared type decides what may be read: nothing in a file names a class. Fields that are new in a later release are
left out and reported, those that are missing have their default.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from coxlmm.serialization.shelf import Shelf

# JSON knows none of them.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN = {int: "an integer", str: "a text", bool: "true or false"}


def pack(value: Any, shelf: Shelf, where: str) -> Any:
    """A JSON value; arrays and bytes go to the shelf. ``where`` names the value: in errors, and its arrays.

    Raises
    ------
    ValueError
        If it holds what can be no JSON: the message says where.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return next(name for name, number in _NOT_FINITE.items() if str(number) == str(value))
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return shelf.add_image(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        shelf.tensors[where] = np.ascontiguousarray(value)
        return where
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping) and all(isinstance(key, (str, int)) for key in value):
        return {str(key): pack(v, shelf, f"{where}.{key}") for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(v, shelf, f"{where}.{i}") for i, v in enumerate(value)]
    raise ValueError(f"{where} cannot be saved: a {type(value).__name__} ({value!r:.80})")


def unpack(hint: Any, value: Any, shelf: Shelf, where: str) -> Any:
    """The value of type ``hint`` of which :func:`pack` made the JSON ``value``.

    Raises
    ------
    ValueError
        If it is none; the message says where.
    """
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (hint,) = (a for a in arguments if a is not NoneType)
        return unpack(hint, value, shelf, where)
    if origin is Literal:
        return _require(value in arguments, value, value, where, f"one of {', '.join(map(repr, arguments))}")
    if origin is float:
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        _require(isinstance(value, (int, float)) and not isinstance(value, bool), value, value, where, "a number")
        _require(abs(value) <= sys.float_info.max, value, value, where, "a number that a float can be")
        return value
    if origin in _PLAIN:
        return _require(type(value) is origin, value, value, where, _PLAIN[origin])
    if origin is np.ndarray:
        array = shelf.array(value) if isinstance(value, str) else None
        return _require(array is not None, array, value, where, "the name of an array")
    if origin is bytes:
        return shelf.image(_require(isinstance(value, str), value, value, where, "the name of an image"))
    if dataclasses.is_dataclass(origin):
        _require(isinstance(value, dict), value, value, where, "an object")
        return _record(origin, value, shelf, where)
    if issubclass(origin, tuple) and hasattr(origin, "_fields"):
        _require(isinstance(value, list), value, value, where, "a list")
        extra = value[len(origin._fields) :]
        if extra:
            shelf.unknown.add(f"{where.split('.')[0]}.*[{len(origin._fields)}]")
        return _record(origin, dict(zip(origin._fields, value, strict=False)), shelf, where)
    if issubclass(origin, Mapping):
        _require(isinstance(value, dict), value, value, where, "an object")
        key, item = arguments
        return {_key(key, name, where): unpack(item, entry, shelf, f"{where}.{name}") for name, entry in value.items()}
    if issubclass(origin, Sequence):
        _require(isinstance(value, list), value, value, where, "a list")
        items = _items(origin, arguments, value, where)
        return origin(unpack(item, entry, shelf, f"{where}.{i}") for i, (item, entry) in enumerate(items))
    raise TypeError(f"{where}: there is no rule for values of type {hint}")


def _record(kind: type, values: dict[str, Any], shelf: Shelf, where: str) -> Any:
    hints = get_type_hints(kind)
    known = {name: values[name] for name in hints if name in values}
    shelf.unknown |= {f"{where.split('.')[0]}.*.{name}" for name in values.keys() - known.keys()}
    try:
        return kind(**{name: unpack(hints[name], value, shelf, f"{where}.{name}") for name, value in known.items()})
    except TypeError as error:  # of the constructor: a field that has no default is missing
        raise ValueError(f"{where}: {error}") from error


def _items(origin: type, arguments: tuple, value: list, where: str) -> list[tuple[Any, Any]]:
    if origin is tuple and arguments[-1] is not Ellipsis:
        _require(len(value) == len(arguments), value, value, where, f"a list of {len(arguments)}")
        return list(zip(arguments, value, strict=True))
    return [(arguments[0], entry) for entry in value]


def _key(hint: type, name: str, where: str) -> Any:
    if hint is str:
        return name
    is_number = name.isascii() and name.isdecimal() and str(int(name)) == name
    return int(_require(is_number, name, name, where, "an object whose keys are numbers"))


def _require(holds: bool, result: Any, value: Any, where: str, what: str) -> Any:
    if not holds:
        raise ValueError(f"{where} is {value!r:.80}, and must be {what}")
    return result
