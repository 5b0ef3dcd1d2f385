"""The matrices that the benchmarks fit: made once, kept as .npy files in the build folder, the same for everybody."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# A run may be pointed elsewhere; the processes that it starts find the folder through the environment.
FOLDER = "COXLMM_BENCHMARKS"
CHUNK = 2048  # rows made at a time


def folder() -> Path:
    """Where data, results and tables are kept."""
    path = Path(os.environ.get(FOLDER, ROOT / "build" / "benchmarks"))
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True)
class Data:
    """A matrix by name.

    ``kind`` is one of

    - ``planted``: sparse nonnegative combinations of ``n_components`` signed unit vectors, scaled so that entries have
      about unit variance, plus Gaussian noise of standard deviation ``noise`` on every entry;
    - ``states``: what hidden states look like: a large common mean, directions of power-law variance with
      heavy-tailed coefficients, and a few features of far larger scale. It has no planted dictionary;
    - ``nonnegative``: as ``planted``, with nonnegative vectors and the absolute value of the noise;
    - ``demo``: the states of the demo model at the word "dog", of as many scenes as it takes (some minutes to make).

    ``storage`` is float32, float16 or bfloat16.
    """

    kind: str
    n_samples: int
    n_features: int
    n_components: int
    noise: float = 0.0
    seed: int = 0
    storage: str = "float32"

    @property
    def label(self) -> str:
        return f"planted, noise {self.noise:g}" if self.kind == "planted" else self.kind

    @property
    def size(self) -> str:
        return f"{self.n_samples}x{self.n_features}x{self.n_components}"

    @property
    def path(self) -> Path:
        noise = f"-{self.noise:g}" if self.noise else ""
        return folder() / "data" / f"{self.kind}{noise}_{self.size}_{self.seed}_{self.storage}.npy"

    def make(self) -> Path:
        """The file, made if it is missing."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            with open(unfinished, "wb") as file:
                np.save(file, _demo(self) if self.kind == "demo" else _synthetic(self))
            unfinished.replace(self.path)
        return self.path

    def load(self, dtype: str | None = None) -> np.ndarray:
        """The matrix in memory, as stored or upcast to ``dtype``."""
        X = np.load(self.make())
        if self.storage == "bfloat16":
            import ml_dtypes

            X = X.view(ml_dtypes.bfloat16)
        return X if dtype is None else X.astype(dtype, copy=False)


def _synthetic(data: Data) -> np.ndarray:
    rng = np.random.default_rng(data.seed)
    M, D = data.n_samples, data.n_features
    rows = _states(data, rng) if data.kind == "states" else _planted(data, rng)
    stored = np.empty((M, D), np.uint16 if data.storage == "bfloat16" else data.storage)
    for begin in range(0, M, CHUNK):
        end = min(begin + CHUNK, M)
        block = rows(begin, end).astype(np.float32)
        if data.storage == "bfloat16":
            import ml_dtypes

            block = block.astype(ml_dtypes.bfloat16).view(np.uint16)  # np.save writes no bfloat16
        stored[begin:end] = block
    return stored


def _planted(data: Data, rng: np.random.Generator):
    M, D, K = data.n_samples, data.n_features, data.n_components
    density = 0.3
    codes = rng.exponential(1.0, (M, K)) * (rng.random((M, K)) < density)
    atoms = rng.standard_normal((K, D), dtype=np.float32)
    if data.kind == "nonnegative":
        atoms = np.abs(atoms)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    atoms *= np.sqrt(D / (2 * density * K))  # Exp(1) has second moment 2: entries of X get unit variance

    def rows(begin: int, end: int) -> np.ndarray:
        noise = rng.standard_normal((end - begin, D), dtype=np.float32)
        if data.kind == "nonnegative":
            noise = np.abs(noise)
        return codes[begin:end].astype(np.float32) @ atoms + np.float32(data.noise) * noise

    return rows


def _states(data: Data, rng: np.random.Generator):
    M, D = data.n_samples, data.n_features
    rank = min(M, D, 512)
    directions = rng.standard_normal((rank, D), dtype=np.float32) / np.float32(np.sqrt(D))
    scales = np.arange(1, rank + 1) ** -0.75
    scales *= 50 / np.sqrt(np.sum(scales**2))
    features = np.ones(D, np.float32)
    features[rng.choice(D, max(D // 500, 1), replace=False)] = 10
    mean = rng.standard_normal(D, dtype=np.float32) / np.float32(np.sqrt(D)) * 100

    def rows(begin: int, end: int) -> np.ndarray:
        # Student's t of 4 degrees of freedom: its variance is 2
        coefficients = rng.standard_t(4, (end - begin, rank)) * (scales / np.sqrt(2))
        return (coefficients.astype(np.float32) @ directions + mean) * features

    return rows


def _demo(data: Data) -> np.ndarray:
    from itertools import count, islice

    from coxlmm.demo import model, world

    lmm = model.load_lmm(folder() / "data" / model.NAME)
    # A few captions do not name what is shown
    scenes = list(islice(world.scenes("test", count(), "dog"), data.n_samples + data.n_samples // 15))
    states = lmm.extract(
        (s.image for s in scenes),
        word="dog",
        references=[s.reference for s in scenes],
        sample_ids=[s.id for s in scenes],
        batch_size=32,
    )
    X = np.asarray(states.X, np.float32)[: data.n_samples]
    if X.shape != (data.n_samples, data.n_features):
        raise ValueError(f"the demo model's states are {X.shape}, not {data.n_samples} x {data.n_features}")
    return X


def l1_of(data: Data) -> float:
    """The penalty a matrix is fitted with: 2 for planted data, whose entries have unit scale; elsewhere a thirtieth of
    the median norm of its samples, which is what the demo takes for its own states."""
    if data.kind == "planted":
        return 2.0
    X = np.load(data.make(), mmap_mode="r")[:1000]
    return float(f"{np.median(np.linalg.norm(X, axis=1)) / 30:.2g}")
