"""Files of the paper's published code (https://github.com/mshukor/xl-vlms), turned into states and dictionaries.

They are pickles that ``torch.save`` wrote, and are read by ``torch.load(weights_only=True)`` alone, which runs none of
the code that a pickle may name. What they hold, by the files of that repository:

**Hidden states** (``src/save_features.py``, ``src/helpers/utils.py``: ``get_hidden_states``,
``save_hidden_states_to_file``; ``docs/saved_feature_structure.md``): a dict of lists, one entry a sample, since they
take one sample at a time.

``hidden_states``
    Dicts from a module's name to a tensor, 1 x 1 x n_features in the model's precision.
``token_of_interest_mask``
    Boolean tensors of one entry; in the documentation one tensor of all. Where it is False the word's token was not
    found and the state is that of the first position: such samples are left out. Files of their other hooks, whose
    states are of other positions, do not have it.
``image``, in the first version ``image_paths``
    Lists of one path; in the documentation a path.
``model_predictions``
    Lists of one caption. Not in files of the version between.
``targets``
    Lists of one text, reference captions joined by ``$$`` (``src/datasets/image_text_dataset.py``). Only in the first
    version.

The state is the one that *predicts* the first token of ``word``, ``word.capitalize()``, ``word.lower()`` or (later)
``" " + word`` at its first occurrence, in the prompt or after it (``extract_token_of_interest_states``). That is the
position of :meth:`coxlmm.LMM.extract`; but it is the word's first *sub-token* alone that is looked for, so that other
words which begin with it count, too. Where it occurs is not saved.

**Concept dictionaries** (``src/analysis/__init__.py``, ``src/analysis/feature_decomposition.py``:
``decompose_and_ground_activations``; ``src/analysis/multimodal_grounding.py``: ``get_multimodal_grounding``):

``concepts``, ``activations``
    n_concepts x n_features and n_samples x n_concepts: numpy arrays, or tensors where the concepts were grounded.
``decomposition_method``
    "snmf" or "nndl" (scikit-learn's ``DictionaryLearning``), "kmeans", "pca" or "simple". Not in early files.
``text_grounding``, ``image_grounding_paths``
    Lists of words, and of paths, for each concept.
``analysis_model``
    The fitted estimator of scikit-learn. Its class is not loaded: what it holds becomes plain values.

Their text grounding multiplies the concepts with the output embedding *without* the model's final norm; it is right for
states of the module ``...norm``, which are behind it. Such states have ``manifest["normalized"]``.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch

from coxlmm.dictionary import ConceptDictionary
from coxlmm.errors import CoxlmmError
from coxlmm.estimators import PCA, KMeans, SemiNMF
from coxlmm.reconstruction import measured_errors
from coxlmm.states import States

SOURCE = "https://github.com/mshukor/xl-vlms"
# The names of decoder layers and final norms in the models that their code knows (LLaVA, Qwen2-VL, Molmo, Idefics2).
_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks)\.(\d+)$")
_FINAL_NORM = re.compile(r"(?:^|\.)(?:norm|ln_f)$")
_METHODS = ("snmf", "nndl", "kmeans", "simple", "pca")
_NUMBERS = ("f2", "f4", "f8", "i4", "i8", "u1", "?")


class UnsafeFileError(CoxlmmError, ValueError):
    """A file names code that would have to run to read it."""


class _Estimator:
    """What was pickled of a scikit-learn estimator, without its class."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_states(
    path: str | os.PathLike[str],
    *,
    word: str | None = None,
    module: str | None = None,
    layer: int | None = None,
    model_id: str | None = None,
    prompt: str | None = None,
) -> States:
    """The states of a file that the published code's ``save_features.py`` wrote.

    Parameters
    ----------
    path : path of the .pth file
    word, model_id, prompt : str, optional
        The word of interest, the model and the text before the caption, which the file does not tell. They go into the
        manifest, where later steps look for them.
    module : str, optional
        Which of the file's modules; needed where it has several.
    layer : int, optional
        The decoder layer, from 0, that the module is. Default: the number in its name.

    Returns
    -------
    States
        One row for each sample in which the word's token was found. ``positions`` are -1, for the file does not have
        them, and sample ids are the paths of the images.

    Raises
    ------
    UnsafeFileError
        If the file holds more than tensors and plain values; nothing of it was run.
    ValueError
        If the file is no such file, or what it holds is missing or of another shape; the message says what.
    """
    path = Path(path)
    data = _load(path)
    entries = _required(data, "hidden_states", list, path)
    name = _module(entries, module, path)
    n = len(entries)
    found = _mask(data, n, path)
    rows = [_row(entries[i], name, i, path) for i in np.flatnonzero(found)]
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1:
        raise ValueError(f"{path}: the states of {name!r} have different numbers of features: {widths}")
    if not rows:
        raise ValueError(f"{path}: the word's token was found in none of its {n} samples")
    images = _column(data, "image" if "image" in data else "image_paths", n, path)
    captions = _column(data, "model_predictions", n, path)
    targets = _column(data, "targets", n, path)
    kept = np.flatnonzero(found).tolist()
    behind_norm = _FINAL_NORM.search(name) is not None
    numbered = _LAYER.search(name)
    if layer is None and numbered:
        layer = int(numbered[1])
    known = {"word": word, "layer": layer, "layer_name": name, "model_id": model_id, "prompt": prompt}
    return States(
        X=torch.stack(rows).numpy(),
        sample_ids=[images[i] if images else str(i) for i in kept],
        captions=[captions[i].strip() if captions else "" for i in kept],
        positions=np.full(len(kept), -1),
        references=[tuple(targets[i].split("$$")) for i in kept] if targets else None,
        manifest={
            **{key: value for key, value in known.items() if value is not None},
            "stream": "final-norm" if behind_norm else "residual" if numbered else name,
            "normalized": behind_norm,
            "position": "predicting",
            "token": "first",
            "counts": {"seen": n, "matched": len(kept)},
            "published": {
                "source": SOURCE,
                "file": path.name,
                "state": "predicts the first sub-token of the word at its first occurrence, in the prompt or after it",
                "final_norm": "applied to the states" if behind_norm else "not applied, nor in their text grounding",
            },
        },
    )


def read_dictionary(
    path: str | os.PathLike[str], states: States | None = None, *, alpha: float | None = None
) -> ConceptDictionary:
    """The concepts of a file that the published code's ``analyse_features.py`` wrote.

    "snmf" becomes a :class:`coxlmm.SemiNMF`, "pca" a :class:`coxlmm.PCA`, "kmeans" and "simple" (whose activations are
    of distances, too) a :class:`coxlmm.KMeans`: they encode as the published code does.

    Parameters
    ----------
    path : path of the .pth file
    states : States, optional
        Those that were decomposed, of :func:`read_states`: where the samples, the manifest and the errors come from.
        Without them samples have numbers for names, and the errors are NaN.
    alpha : float, optional
        scikit-learn's weight of the penalty, half of the ``l1`` here. Default: that of the file, if it is in it, and
        else 1, which the published code leaves it at.

    Returns
    -------
    ConceptDictionary
        Not grounded; the words of the file are ``manifest["published"]["words"]``.

    Raises
    ------
    UnsafeFileError
        If the file holds more than tensors, arrays, plain values and one of those estimators; nothing of it was run.
    ValueError
        If the file is no such file, what it holds is missing or of another shape, or the states are others; the message
        says what.
    """
    path = Path(path)
    data = _load(path)
    components = _matrix(_required(data, "concepts", (np.ndarray, torch.Tensor), path), "concepts", path)
    codes = _matrix(_required(data, "activations", (np.ndarray, torch.Tensor), path), "activations", path)
    if codes.shape[1] != len(components):
        raise ValueError(f"{path}: {len(components)} concepts, but activations of shape {codes.shape}")
    if states is not None and states.X.shape != (len(codes), components.shape[1]):
        raise ValueError(
            f"{path} is of {len(codes)} samples with {components.shape[1]} features, the states of {states.X.shape[0]} "
            f"with {states.X.shape[1]}: give those that it was made from"
        )
    method = data.get("decomposition_method", "snmf")
    if method not in _METHODS:
        raise ValueError(f"{path}: its decomposition_method is {method!r}, none of {', '.join(_METHODS)}")
    pickled = getattr(data.get("analysis_model"), "state", {})
    if not isinstance(pickled, dict):
        raise ValueError(f"{path}: its analysis_model holds a {type(pickled).__name__}, not what an estimator learned")
    estimator = _estimator(method, components, codes, pickled, states, alpha, path)
    estimator.components_ = components
    estimator.n_features_in_ = components.shape[1]
    relative_error, error_shares = float("nan"), np.full(len(components), np.nan)
    if states is not None:
        relative_error, error_shares = measured_errors(states.X, codes, estimator)
    manifest = {} if states is None else dict(states.manifest)
    described = {"source": SOURCE, **manifest.get("published", {}), "dictionary": path.name, "method": method}
    words = data.get("text_grounding")
    if words:
        described["words"] = [[str(word) for word in row] for row in words]
    return ConceptDictionary(
        estimator=estimator,
        codes=codes,
        sample_ids=[str(i) for i in range(len(codes))] if states is None else list(states.sample_ids),
        captions=[""] * len(codes) if states is None else list(states.captions),
        manifest=manifest | {"published": described},
        relative_error=relative_error,
        error_shares=error_shares,
    )


def kind_of(path: str | os.PathLike[str]) -> Literal["states", "dictionary"]:
    """What a file of the published code holds; raises as the functions that read it do."""
    path = Path(path)
    data = _load(path)
    for kind, key in (("states", "hidden_states"), ("dictionary", "concepts")):
        if key in data:
            return kind
    raise ValueError(f"{path} has neither hidden_states nor concepts, but {_names(data)}")


def _load(path: Path) -> dict[str, Any]:
    try:
        with _allowed():
            data = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        named = re.findall(r"GLOBAL (\S+)", str(error))
        what = f"it names {named[0]}" if named else str(error).split("\n")[-1].strip() or type(error).__name__
        raise UnsafeFileError(
            f"{path} is refused: {what}, and what is read here may only hold tensors, arrays of numbers and plain "
            f"values; nothing of it was run"
        ) from error
    except (RuntimeError, EOFError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged, or not a file of torch.save: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ValueError(f"{path} holds a {type(data).__name__}, not the dict with names that the published code saves")
    return data


@contextmanager
def _allowed() -> Iterator[None]:
    """Lets ``weights_only`` take what their real files hold beyond tensors.

    That is arrays and numbers of numpy, in its old and new module, and three estimators of scikit-learn, for which a
    class that does nothing stands in. What the caller has allowed before stays allowed.
    """
    multiarray = np._core.multiarray
    names = [
        *((getattr(multiarray, f), f"{m}.{f}") for m in ("numpy.core.multiarray", "numpy._core.multiarray")
          for f in ("_reconstruct", "scalar")),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(number)) for number in _NUMBERS),
        *((_Estimator, f"sklearn.{name}") for name in (
            "decomposition._dict_learning.DictionaryLearning", "decomposition._pca.PCA", "cluster._kmeans.KMeans"
        )),
    ]  # fmt: skip
    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([name for name in names if name not in before]):
        yield


def _required(data: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path) -> Any:
    if key not in data:
        raise ValueError(f"{path} has no {key!r}, but {_names(data)}: it is no file of the published code of this kind")
    if not isinstance(data[key], kind):
        raise ValueError(f"{path}: {key!r} is a {type(data[key]).__name__}, which the published code never saves there")
    return data[key]


def _names(data: dict[str, Any]) -> str:
    return ", ".join(map(repr, data)) or "nothing"


def _module(entries: list[Any], module: str | None, path: Path) -> str:
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: hidden_states must be a list of dicts by module, one a sample; it has {entries[:1]}")
    names = list(entries[0])
    if module is None and len(names) == 1:
        return names[0]
    if module not in names:
        asked = "say which with module=" if module is None else f"not {module!r}"
        raise ValueError(f"{path} has states of the modules {', '.join(names)}: {asked}")
    return module


def _row(entry: dict[str, Any], name: str, i: int, path: Path) -> torch.Tensor:
    state = entry.get(name)
    if not isinstance(state, torch.Tensor) or not state.is_floating_point():
        kind = type(state).__name__ if name in entry else "missing"
        raise ValueError(f"{path}: the state of {name!r} in sample {i} must be a tensor of floats, it is {kind}")
    if state.numel() != state.shape[-1:].numel() or state.ndim not in (1, 2, 3):
        raise ValueError(
            f"{path}: the state of {name!r} in sample {i} has the shape {tuple(state.shape)}, not 1 x 1 x n_features: "
            f"one state a word is saved by save_hidden_states_for_token_of_interest"
        )
    return state.reshape(-1).float()


def _mask(data: dict[str, Any], n: int, path: Path) -> np.ndarray:
    mask = data.get("token_of_interest_mask")
    if mask is None:
        raise ValueError(
            f"{path} has no 'token_of_interest_mask': its states are not those of a word, which save_features.py saves "
            f"with --hook_name save_hidden_states_for_token_of_interest"
        )
    parts = mask if isinstance(mask, list) else [mask]
    if not all(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in parts):
        raise ValueError(f"{path}: token_of_interest_mask must be boolean tensors, it has {mask[:1]!r}")
    flat = [part.reshape(-1) for part in parts]
    found = torch.cat(flat).numpy() if flat else np.empty(0, dtype=bool)
    if len(found) != n:
        raise ValueError(f"{path}: token_of_interest_mask has {len(found)} entries for {n} samples")
    return found


def _column(data: dict[str, Any], key: str, n: int, path: Path) -> list[str] | None:
    """One text a sample; each may be in a list of its own, which is what a batch of one is collated to."""
    values = data.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != n:
        raise ValueError(f"{path}: {key!r} must be a list of {n} entries, one a sample, got {_length(values)}")
    texts = [value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value for value in values]
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{path}: {key!r} of sample {i} must be one text, got {text!r}")
    return texts


def _length(values: Any) -> str:
    return f"{len(values)}" if isinstance(values, list) else f"a {type(values).__name__}"


def _matrix(values: np.ndarray | torch.Tensor, name: str, path: Path) -> np.ndarray:
    array = values.float().numpy() if isinstance(values, torch.Tensor) else values
    if array.ndim != 2 or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"{path}: {name} must be a matrix of finite floats, got {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.float64 if array.dtype == np.float64 else np.float32)


def _estimator(
    method: str,
    components: np.ndarray,
    codes: np.ndarray,
    pickled: dict[str, Any],
    states: States | None,
    alpha: float | None,
    path: Path,
) -> SemiNMF | KMeans | PCA:
    K = len(components)
    if method in ("snmf", "nndl"):
        if (codes < 0).any():
            raise ValueError(f"{path}: activations of {method!r} must not be negative, the least is {codes.min():.4g}")
        own = pickled.get("transform_alpha") or pickled.get("alpha") or 1.0
        return SemiNMF(K, l1=2 * float(own if alpha is None else alpha))
    if alpha is not None:
        raise ValueError(f"{path} is of {method!r}, which has no penalty: alpha={alpha} means nothing there")
    if method != "pca":
        return KMeans(K)
    mean = pickled.get("mean_")
    if mean is None and states is None:
        raise ValueError(f"{path} is of 'pca' and does not have the mean of the samples: give the states")
    estimator = PCA(K)
    estimator.mean_ = np.asarray(states.X.mean(axis=0) if mean is None else mean, dtype=components.dtype)
    if estimator.mean_.shape != components.shape[1:]:
        raise ValueError(f"{path}: the mean of {components.shape[1]} features has the shape {estimator.mean_.shape}")
    return estimator
