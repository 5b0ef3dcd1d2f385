"""Which build of the compiled core this process uses.

A wheel for x86-64 carries the core three times, compiled for

========== ==================================================================
``x86-64`` every 64-bit x86 processor
``avx2``   AVX2, FMA, BMI and BMI2: most processors since 2013
``avx512`` these and AVX-512 F, BW, CD, DQ and VL: servers since 2017
========== ==================================================================

and on other architectures once, as ``native``. The last one that the processor can execute is loaded, unless the
environment variable ``COXLMM_INSTRUCTION_SET`` names another when ``coxlmm`` first needs the core. The results of all
agree to rounding.
"""

import os
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

from coxlmm import _processor

VARIABLE = "COXLMM_INSTRUCTION_SET"


def available() -> dict[str, ModuleSpec]:
    """Builds that are installed and that this machine can execute, the fastest last, and where each is."""
    specs = {name: _installed(name) for name in _processor.instruction_sets()}
    return {name: spec for name, spec in specs.items() if spec is not None}


def chosen() -> ModuleSpec:
    """The build to load.

    Raises
    ------
    ImportError
        If none is installed that this machine can execute, or ``COXLMM_INSTRUCTION_SET`` names none of them.
    """
    builds = available()
    if not builds:
        raise ImportError(
            f"coxlmm is installed without a build of its core for {' or '.join(_processor.instruction_sets())}: "
            "reinstall it on this machine"
        )
    wanted = os.environ.get(VARIABLE) or list(builds)[-1]
    if wanted not in builds:
        known = _installed(wanted) is not None
        wrong = "cannot be executed by this processor" if known else "is no build of coxlmm here"
        raise ImportError(f"{VARIABLE}={wanted!r} {wrong}: unset it, or set it to {' or '.join(map(repr, builds))}")
    return builds[wanted]


def _installed(name: str) -> ModuleSpec | None:
    module = f"_core_{name.replace('-', '_')}"
    # No name has an underscore: x86_64 would be taken for x86-64.
    return find_spec(f"coxlmm.{module}") if module.isidentifier() and "_" not in name else None
