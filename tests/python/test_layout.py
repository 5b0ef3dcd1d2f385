"""Who may include or import whom. The layout is what keeps the library readable; good will alone does not keep it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import coxlmm

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "include" / "coxlmm"
PACKAGE = ROOT / "python" / "coxlmm"

# The order in which data flows through the package: a module imports what stands above it, never below.
FLOW = [
    "row_blocks", "instruction_sets", "_core", "config", "names", "atomic", "errors", "words", "architecture", "images",
    "samples", "generation", "prompting", "models", "states_files", "states", "settings", "journal", "processes",
    "captioner", "parts", "verification", "extraction", "estimators", "distributed", "grounding", "vocabulary",
    "concept", "reconstruction", "dictionary", "matching", "markdown", "serialization", "published", "origin",
    "localisation", "explanation", "intervention", "figures", "evaluation", "report", "plots", "demo", "cli",
]  # fmt: skip
# Libraries by the adapters that view their matrices, as #include names them.
ADAPTED = {"eigen": ["Eigen"], "xtensor": ["xtensor"], "torch": ["ATen", "c10", "torch"]}
NUMERICAL = [
    "row_blocks", "instruction_sets", "_core", "config", "names", "words", "samples", "states_files", "states",
    "settings", "journal", "estimators", "grounding", "vocabulary", "concept", "reconstruction", "dictionary",
]  # fmt: skip


def zone(path: str) -> str:
    """The part of the C++ layout that a header, named relative to include/coxlmm, belongs to."""
    head, _, rest = path.partition("/")
    return head if rest else ("umbrella" if path == "coxlmm.hpp" else "algorithm")


def allowed(source: str, target: str) -> bool:
    """May ``source`` include ``target``? See :func:`includes` for how they are named."""
    if target.startswith('"'):
        return zone(source) == "bindings" and (ROOT / "bindings" / target.strip('"')).is_file()
    if target.startswith("<"):
        libraries = {
            "linalg": {"<Eigen>"},
            "bindings": {"<pybind11>"},
            "adapt": {f"<{name}>" for name in ADAPTED.get(Path(source).stem, ())},
        }
        return target in libraries.get(zone(source), set())
    of = {
        "umbrella": target not in ("adapt/xtensor.hpp", "adapt/torch.hpp")
        and zone(target) in ("algorithm", "core", "adapt"),
        # NMF and the online fit are Semi-NMF with more around it: one algorithm may stand on another's public header.
        "algorithm": zone(target) in ("core", "algorithm") or target == f"detail/{source}",
        "detail": zone(target) in ("core", "linalg"),
        "linalg": zone(target) in ("core", "linalg"),
        "adapt": target in ("core/concepts.hpp", "core/error.hpp"),
        "core": zone(target) == "core",
        "bindings": zone(target) in ("core", "algorithm"),
    }
    return of[zone(source)]


def includes(text: str) -> list[str]:
    """What a C++ file includes: a header of ours relative to include/coxlmm, another library as ``<Library>``, and
    whatever else has a suffix in quotes. The standard library, which has neither slash nor suffix, is left out."""
    found = []
    for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.MULTILINE):
        library, slash, rest = name.partition("/")
        if library == "coxlmm":
            found.append(rest)
        elif slash:
            found.append(f"<{library}>")
        elif "." in name:
            found.append(f'"{name}"')
    return found


def cpp_files() -> list[tuple[str, Path]]:
    headers = [(p.relative_to(HEADERS).as_posix(), p) for p in HEADERS.rglob("*.hpp")]
    return headers + [(f"bindings/{p.name}", p) for p in (ROOT / "bindings").glob("*.?pp")]


def top_level_imports(tree: ast.Module) -> set[str]:
    """Modules imported when the file is: not inside a function, and not for type checkers alone."""
    found = set()
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        else:
            found |= imported(node)
            pending += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
    return found


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        if node.level:
            raise AssertionError(f"line {node.lineno}: import by the full name (from coxlmm...), as everywhere else")
        if node.module == "coxlmm":
            return {f"coxlmm.{alias.name}" for alias in node.names}
        return {node.module or ""}
    return set()


def station(name: str) -> str | None:
    """Where a module of the package stands in the flow; None for what is outside it (``__init__``)."""
    parts = name.split(".")
    return parts[1] if parts[0] == "coxlmm" and len(parts) > 1 and parts[1] in FLOW else None


def python_files() -> list[tuple[str, Path]]:
    files = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = station("coxlmm." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        if where is None and path != PACKAGE / "__init__.py":
            name = path.relative_to(PACKAGE)
            raise AssertionError(f"{name} has no place in the order of tests/python/test_layout.py: give it one")
        if where:
            files.append((where, path))
    return files


def test_headers_include_only_what_their_place_allows():
    broken = [
        f"{source} includes {target}"
        for source, path in cpp_files()
        for target in includes(path.read_text())
        if not allowed(source, target)
    ]
    assert not broken, "\n".join(broken)


def test_every_include_is_seen():
    lines = ["#include <vector>", "  # include <omp.h>", '#include "tile.hpp"', "#include <Eigen/Core>"]
    text = "\n".join([*lines, '#include "coxlmm/core/a.hpp"'])
    assert includes(text) == ['"omp.h"', '"tile.hpp"', "<Eigen>", "core/a.hpp"]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("semi_nmf.hpp", "detail/semi_nmf.hpp", True),
        ("semi_nmf.hpp", "detail/grounding.hpp", False),
        ("nmf.hpp", "semi_nmf.hpp", True),
        ("nmf.hpp", "detail/semi_nmf.hpp", False),
        ("nmf.hpp", "coxlmm.hpp", False),
        ("semi_nmf.hpp", "linalg/tile.hpp", False),
        ("detail/semi_nmf.hpp", "linalg/tile.hpp", True),
        ("detail/semi_nmf.hpp", "detail/sparse_coding.hpp", False),
        ("linalg/tile.hpp", "<Eigen>", True),
        ("core/matrix.hpp", "<Eigen>", False),
        ("adapt/eigen.hpp", "<Eigen>", True),
        ("adapt/torch.hpp", "<Eigen>", False),
        ("adapt/torch.hpp", "<ATen>", True),
        ("adapt/xtensor.hpp", "<xtensor>", True),
        ("adapt/xtensor.hpp", "<torch>", False),
        ("adapt/xtensor.hpp", "core/error.hpp", True),
        ("adapt/xtensor.hpp", "core/matrix.hpp", False),
        ("coxlmm.hpp", "adapt/torch.hpp", False),
        ("bindings/semi_nmf.cpp", "detail/semi_nmf.hpp", False),
        ("bindings/semi_nmf.cpp", '"convert.hpp"', True),
        ("linalg/code_pass.hpp", '"tile.hpp"', False),
        ("core/parallel.hpp", '"omp.h"', False),
    ],
)
def test_the_rules_tell_right_from_wrong(source, target, expected):
    assert allowed(source, target) is expected


@pytest.mark.parametrize("name", ["new.py", "new/__init__.py", "new/part.py"])
def test_a_new_part_needs_a_place_in_the_flow(tmp_path, monkeypatch, name):
    for known in ("__init__.py", "states.py", "cli/__init__.py", "cli/part.py"):
        (tmp_path / known).parent.mkdir(exist_ok=True)
        (tmp_path / known).touch()
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert [where for where, _ in python_files()] == ["cli", "cli", "states"]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(AssertionError, match=f"{name} has no place"):
        python_files()


def test_python_modules_import_only_upwards():
    broken = []
    for where, path in python_files():
        for name in top_level_imports(ast.parse(path.read_text())):
            target = station(name)
            if target and FLOW.index(target) > FLOW.index(where):
                broken.append(f"{path.relative_to(PACKAGE)} imports {name}, which stands below it")
    assert not broken, "\n".join(broken)


def test_the_numerical_part_never_names_torch():
    broken = []
    for where, path in python_files():
        if where not in NUMERICAL:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = {n.split(".")[0] for n in imported(node)}
            broken += [f"{path.name}:{node.lineno} imports {n}" for n in names & {"torch", "transformers"}]
    assert not broken, "\n".join(broken)


def test_type_checkers_see_the_names_that_are_loaded_on_use():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    seen = {a.asname: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == coxlmm._EXPORTS


def test_the_numerical_part_loads_without_torch():
    code = "import sys, coxlmm; coxlmm.SemiNMF; coxlmm.States; coxlmm.ConceptDictionary; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
