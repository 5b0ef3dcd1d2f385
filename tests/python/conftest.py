"""What several test folders share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_model_cache(request) -> dict[str, str]:
    """An environment whose user cache is pytest's own: the demo model is assembled there once and kept between runs."""
    return os.environ | {"XDG_CACHE_HOME": str(request.config.cache.mkdir("xdg"))}


@pytest.fixture(scope="session")
def demo_lmm(demo_model_cache):
    from coxlmm.demo import load_lmm, model

    return load_lmm(Path(demo_model_cache["XDG_CACHE_HOME"]) / "coxlmm" / model.NAME)
