"""The builds of the compiled core: which is loaded, what each shows of itself, and that they compute the same."""

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import coxlmm
from coxlmm import _core, _processor, instruction_sets

BUILDS = instruction_sets.available()

# Iterates are compared after a few passes from given atoms; of a whole fit from random ones, which may end in another
# place of the same height, the objective.
PROGRAM = """
import sys
import numpy as np
import coxlmm
from coxlmm import _core

assert coxlmm.show_config("dicts")["instruction_set"] == sys.argv[2]
rng = np.random.default_rng(0)
atoms = rng.standard_normal((6, 70))
atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
codes = rng.exponential(2.0, (300, 6)) * (rng.random((300, 6)) < 0.4)
X = codes @ atoms + 0.05 * rng.standard_normal((300, 70))
start = atoms + 0.02 * rng.standard_normal(atoms.shape)
words = rng.standard_normal((1003, 70))
found = {}
for dtype in ("float32", "float64"):
    fit = _core.semi_nmf(X.astype(dtype), 6, l1=0.5, init=start.astype(dtype), max_iter=5, tol=0)
    full = _core.semi_nmf(X.astype(dtype), 6, l1=0.5, seed=1)
    encoded = _core.sparse_encode(X.astype(dtype), atoms.astype(dtype), l1=0.5)
    found |= {f"{dtype} dictionary": fit.dictionary, f"{dtype} fit codes": fit.codes}
    found |= {f"{dtype} objective": full.objective, f"{dtype} codes": encoded.codes}
    tokens, scores = _core.ground_text(atoms.astype(dtype), words.astype(dtype), 7)
    found |= {f"{dtype} tokens": tokens, f"{dtype} scores": scores}
np.savez(sys.argv[1], **found)
"""


def run(program, *arguments, build=None):
    environment = {name: value for name, value in os.environ.items() if name != instruction_sets.VARIABLE}
    if build is not None:
        environment[instruction_sets.VARIABLE] = build
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("builds")
    found = {}
    for build in BUILDS:
        done = run(PROGRAM, str(folder / f"{build}.npz"), build, build=build)
        assert done.returncode == 0, done.stderr
        found[build] = dict(np.load(folder / f"{build}.npz"))
    return found


@pytest.mark.parametrize("build", BUILDS)
def test_every_build_computes_the_same(results, build):
    expected = results[next(iter(BUILDS))]
    assert results[build].keys() == expected.keys()
    for name, values in expected.items():
        tolerance = 2e-4 if name.startswith("float32") else 1e-9
        np.testing.assert_allclose(results[build][name], values, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.skipif(len(BUILDS) < 2, reason="one build alone: nothing to tell apart")
def test_the_builds_are_not_one_and_the_same(results):
    # Wider registers sum in another order: the last bits tell that other code was run.
    bits = {build: found["float32 fit codes"].tobytes() for build, found in results.items()}
    assert len(set(bits.values())) == len(BUILDS)


def test_the_fastest_is_taken_unless_the_variable_is_set():
    program = "import coxlmm; print(coxlmm.show_config('dicts')['instruction_set'])"
    assert run(program).stdout.strip() == list(BUILDS)[-1] == _processor.instruction_sets()[-1]
    assert run(program, build="").stdout.strip() == list(BUILDS)[-1]
    assert run(program, build=next(iter(BUILDS))).stdout.strip() == next(iter(BUILDS))


@pytest.mark.parametrize("name", ["mmx", "AVX2", "../x", "a.b", "processor", "x86_64"])
def test_an_unknown_name_is_refused_with_those_there_are(name):
    done = run("import coxlmm; coxlmm.SemiNMF", build=name)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"ImportError: COXLMM_INSTRUCTION_SET={name!r} is no build of coxlmm here")
    assert all(repr(build) in message for build in BUILDS)


@pytest.mark.skipif(len(BUILDS) < 2, reason="one build alone: this processor executes it")
def test_what_the_processor_cannot_execute_is_refused(monkeypatch):
    first, *_, last = BUILDS
    monkeypatch.setattr(_processor, "instruction_sets", lambda: [first])
    monkeypatch.setenv(instruction_sets.VARIABLE, last)
    with pytest.raises(ImportError, match=f"'{last}' cannot be executed by this processor.*'{first}'"):
        instruction_sets.chosen()
    monkeypatch.delenv(instruction_sets.VARIABLE)
    assert instruction_sets.chosen().origin == BUILDS[first].origin


def test_an_installation_for_another_machine_says_so(monkeypatch):
    monkeypatch.setattr(_processor, "instruction_sets", lambda: ["vax"])
    with pytest.raises(ImportError, match="without a build of its core for vax"):
        instruction_sets.chosen()


def test_the_core_is_one_module_whatever_its_build():
    assert sys.modules["coxlmm._core"] is _core is coxlmm._core
    assert _core.__name__ == _core.semi_nmf.__module__ == _core.SemiNMFResult.__module__ == "coxlmm._core"
    assert pickle.loads(pickle.dumps(_core.SemiNMFResult)) is _core.SemiNMFResult


@pytest.mark.skipif(shutil.which("nm") is None or sys.platform == "darwin", reason="needs the nm of binutils")
@pytest.mark.parametrize("build", BUILDS)
def test_no_inline_function_of_a_build_is_seen_by_another(build):
    command = ["nm", "--dynamic", "--defined-only", BUILDS[build].origin]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2::3]
    assert seen == ["PyInit__core"]


def test_show_config(capsys):
    config = coxlmm.show_config("dicts")
    assert config["version"] == coxlmm.__version__
    assert config["available"] == list(BUILDS)
    assert config["instruction_set"] in BUILDS
    assert config["file"] == BUILDS[config["instruction_set"]].origin
    assert config["compiler"].split()[0] in ("GCC", "Clang")
    assert 1 <= config["n_threads"] <= (os.cpu_count() or 1)
    assert coxlmm.show_config() is None
    printed = capsys.readouterr().out
    for value in (config["version"], config["file"], config["compiler"], ", ".join(BUILDS)):
        assert value in printed
    with pytest.raises(ValueError, match="'dict'"):
        coxlmm.show_config("dict")


def test_forced_is_told():
    program = "import coxlmm; print(coxlmm.show_config('dicts')['forced'])"
    assert run(program).stdout.strip() == "False"
    assert run(program, build=next(iter(BUILDS))).stdout.strip() == "True"
