"""What this installation of coxlmm computes with."""

import os
from importlib import metadata
from typing import Any, Literal

from coxlmm import _core, instruction_sets


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Print which build of the compiled core is in use, and what it was built with; the lines to put in a bug report.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default="stdout"
        ``"dicts"`` returns what ``"stdout"`` prints, as ``numpy.show_config`` does.

    Returns
    -------
    dict or None
        ``version`` of the package; ``instruction_set`` in use, of those ``available`` here (the fastest last; the
        environment variable ``COXLMM_INSTRUCTION_SET`` names another before the first use); ``forced`` by that variable
        or not; ``compiler`` of the core; ``n_threads`` that "all processors" stands for; ``file`` of the core.

    Raises
    ------
    ValueError
        For another ``mode``.

    Examples
    --------
    >>> import coxlmm
    >>> coxlmm.show_config("dicts")["instruction_set"] in ("x86-64", "avx2", "avx512", "native")
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts'; got {mode!r}")
    built = _core._config()
    config = {
        "version": metadata.version("coxlmm"),
        "instruction_set": built["instruction_set"],
        "available": list(instruction_sets.available()),
        "forced": bool(os.environ.get(instruction_sets.VARIABLE)),
        "compiler": built["compiler"],
        "n_threads": built["n_threads"],
        "file": _core.__file__,
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        print(f"{name:<16}{', '.join(value) if isinstance(value, list) else value}")
    return None
