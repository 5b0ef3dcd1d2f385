"""What a table was measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ["numpy", "scipy", "scikit-learn", "spams-bin", "overcomplete", "torchnmf", "torch", "ml_dtypes"]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def describe(clock: str) -> dict[str, Any]:
    import coxlmm

    config = coxlmm.show_config("dicts")
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    return {
        "when": time.strftime("%F %T UTC", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} when written",
        "coxlmm": f"{config['version']}, {config['instruction_set']}, {config['compiler']}",
        "peers": ", ".join(versions),
        "python": platform.python_version(),
        "clock": "wall" if clock == "wall" else "processor time",
        "dtype": "float32, unless said otherwise",
    }
