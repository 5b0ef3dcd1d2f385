"""The typed stub says what the extension has: names, order and defaults of parameters, attributes of results."""

import ast
import inspect
from importlib import resources

import pytest

from coxlmm import _core, estimators

STUB = ast.parse(resources.files("coxlmm").joinpath("_core.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def parameters(function):
    """Positional and keyword-only parameters with their defaults."""
    arguments = function.args
    positional = [a.arg for a in arguments.args]
    defaults = [ast.literal_eval(d) for d in arguments.defaults]
    keywords = {
        a.arg: default if default is None else ast.literal_eval(default)
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
    return positional, defaults, keywords


def test_names():
    assert {name for name in vars(_core) if not name.startswith("_")} == FUNCTIONS.keys() | CLASSES.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters(name):
    signature = getattr(_core, name).__doc__.splitlines()[0]  # written by pybind11
    compiled = ast.parse(f"def {signature}: ...").body[0]
    assert parameters(FUNCTIONS[name]) == parameters(compiled)


@pytest.mark.parametrize(
    ("estimator", "function"),
    [("SemiNMF", "semi_nmf"), ("NMF", "nmf"), ("PCA", "pca"), ("KMeans", "kmeans")],
)
def test_defaults_of_estimators_are_those_of_the_core(estimator, function):
    positional, defaults, keywords = parameters(FUNCTIONS[function])
    core = dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True)) | keywords
    own = {name: p.default for name, p in inspect.signature(getattr(estimators, estimator)).parameters.items()}
    shared = {name: value for name, value in core.items() if name in own and value is not None}
    assert shared
    assert {name: own[name] for name in shared} == shared


@pytest.mark.parametrize("name", CLASSES)
def test_attributes(name):
    described = {node.name for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)}
    assert described - {"__init__"} == {
        attribute for attribute in vars(getattr(_core, name)) if not attribute.startswith("_")
    }


@pytest.mark.parametrize("name", [name for name, node in CLASSES.items() if "__init__" in ast.unparse(node)])
def test_parameters_of_constructors_and_methods(name):
    for node in CLASSES[name].body:
        if isinstance(node, ast.FunctionDef):
            signature = getattr(getattr(_core, name), node.name).__doc__.splitlines()[0]
            # pybind11 annotates self with the module, which is no name here.
            compiled = ast.parse(f"def {signature.replace('coxlmm._core.', '')}: ...").body[0]
            assert parameters(node) == parameters(compiled)
