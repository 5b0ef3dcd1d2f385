"""The model card of a saved dictionary: what it is of, how it was made, what it is worth, and how to load it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coxlmm.concept import Concept
from coxlmm.dictionary import ConceptDictionary
from coxlmm.markdown import quoted

# What may be the name of a repository of the hub.
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_TAGS = ["concepts", "dictionary-learning", "explainability", "interpretability"]
# What the manifest says, in the order and the words of the card.
_EXTRACTION = {
    "model_class": "class of the model",
    "revision": "revision",
    "dtype": "precision",
    "layer_name": "layer",
    "stream": "stream",
    "position": "position",
    "token": "token of the word",
    "prompt": "prompt",
    "decoding": "captions",
}
_COUNTS = {
    "seen": "images seen",
    "without_word_in_reference": "left out: no reference caption with the word",
    "without_word_in_caption": "left out: the model did not say the word",
    "unreadable": "left out: unreadable",
}
_STABILITY = "mean stability of its concepts, unused ones too (cosine, matched with other seeds)"
_MEASURED_STABILITY = """\
Stability in this table is only of concepts that a sample activates, and the mean over all pairs of seeds; the mean
above it is of all concepts of this dictionary, against the other seeds."""
_LIMITS = """\
Concepts are directions that one decomposition found in the states of one layer and position; another seed, number of
concepts or layer may find others. Their words are what the model's output embedding makes of a direction alone, and
their images are those of this data that activate it most: both are hints at a meaning, no proof of it. That a concept
is present where the model says the word does not yet mean that the model uses it: what removing it changes is in the
table below where it was measured. Thumbnails are of the images that the states came from, and their owners' terms hold.
"""


def model_card(dictionary: ConceptDictionary, estimator: Mapping[str, Any]) -> str:
    """Markdown with metadata of the hub in front.

    Whatever came from a model or a data set is quoted, so that it cannot become markup, metadata or code.

    Parameters
    ----------
    dictionary : ConceptDictionary
    estimator : mapping
        As :func:`coxlmm.serialization.estimators.take_apart` describes it.
    """
    manifest = dictionary.manifest
    model = dictionary.model_name
    is_repository = isinstance(model, str) and _is_repository(model, manifest)
    load = [repr(model) if is_repository else '"the model above"']
    load += [f"{key}={manifest[key]!r}" for key in ("revision",) if is_repository and manifest.get(key) is not None]
    load += [f"prompt={manifest['prompt']!r}"] if manifest.get("prompt") is not None else []
    words = _words(dictionary)
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    parts = [
        f"---\n{_metadata(model if is_repository else None)}\n---",
        f"# Concepts of {quoted(model or 'a multimodal model')}" + (f" at {words}" if words else ""),
        "Concept vectors that decompose the states of a frozen image-text model into a few parts each\n"
        "([Parekh et al., NeurIPS 2024](https://arxiv.org/abs/2406.08074)), with the words that they decode to and\n"
        "the images that activate them most.",
        "## Where the states are from",
        _table(["", ""], _provenance(dictionary)),
        "## The decomposition",
        _table(["", ""], _decomposition(dictionary, estimator)),
        *_measures(dictionary),
        "## Limits",
        _LIMITS.strip(),
        "## Use",
        "```python\n"
        "from coxlmm import LMM, ConceptDictionary\n\n"
        "# This repository's name, or the directory that this file is in.\n"
        'dictionary = ConceptDictionary.from_pretrained("user/name")\n'
        f"lmm = LMM.from_pretrained({', '.join(load)})\n"
        'print(dictionary.explain(lmm, "image.jpg"))\n'
        "```",
        "## Concepts",
        _concepts(ranked),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(base_model: str | None) -> str:
    from huggingface_hub import ModelCardData

    return ModelCardData(library_name="coxlmm", tags=list(_TAGS), base_model=base_model).to_yaml(line_break="\n")


def _is_repository(model: str, manifest: Mapping[str, Any]) -> bool:
    return not manifest.get("model_is_local") and REPOSITORY.fullmatch(model) is not None


def _words(dictionary: ConceptDictionary) -> str:
    word = dictionary.word
    return _listed([word] if isinstance(word, str) else word or [])


def _provenance(dictionary: ConceptDictionary) -> Iterator[tuple[str, str]]:
    manifest = dictionary.manifest
    yield "model", quoted(dictionary.model_name)
    yield "word", _words(dictionary)
    for key, label in _EXTRACTION.items():
        yield label, quoted(manifest.get(key))
    layers = quoted(manifest.get("n_layers"))
    yield "layer, from 0", quoted(manifest.get("layer")) + (f" of {layers}" if layers else "")
    source = manifest.get("source")
    yield "images", quoted(source.get("name")) if isinstance(source, Mapping) else ""
    yield "samples", str(dictionary.n_samples)
    counts = manifest.get("counts")
    for key, label in _COUNTS.items():
        yield label, quoted(counts.get(key)) if isinstance(counts, Mapping) else ""


def _decomposition(dictionary: ConceptDictionary, estimator: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "estimator", quoted(_as_call(estimator))
    yield "concepts", str(dictionary.n_concepts)
    behind = dictionary.manifest.get("normalized")
    yield "space", f"{dictionary.components.shape[1]} features, {'behind' if behind else 'before'} the final norm"
    yield "relative squared error", f"{dictionary.relative_error:.4f}"
    yield "active concepts a sample", f"{dictionary.mean_active:.2f}"
    if dictionary.stability is not None:
        yield _STABILITY, f"{dictionary.stability.mean():.3f}"
    localisation = dictionary.manifest.get("localisation")
    yield "heat maps", quoted(localisation.get("method")) if isinstance(localisation, Mapping) else ""


def _as_call(estimator: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return _as_call(value) if isinstance(value, Mapping) else repr(value)

    params = ", ".join(f"{k}={shown(v)}" for k, v in estimator["params"].items() if v is not None)
    return f"{estimator['class']}({params})"


def _measures(dictionary: ConceptDictionary) -> Iterator[str]:
    """A table of whatever was measured, of figures with their standard deviation where there is one."""
    rows = list(_figures(dictionary.measures))
    if rows:
        yield "## Measures"
        yield _table(["", "value"], rows)
        if any("`stability`" in name for name, _ in rows):
            yield _MEASURED_STABILITY


def _figures(value: Any, *names: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and "mean" in value:
        spread = "" if value.get("std") is None else f" ± {_number(value['std'])}"
        yield " / ".join(map(quoted, names)), _number(value["mean"]) + spread
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _figures(inner, *names, str(name))
    else:
        yield " / ".join(map(quoted, names)), _number(value)


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else quoted(value)


def _concepts(concepts: list[Concept]) -> str:
    columns: dict[str, Any] = {
        "concept": lambda c: str(c.index),
        "share of activation": lambda c: f"{c.share_of_activation:.1%}",
    }
    if any(c.stability is not None for c in concepts):
        columns["stability"] = lambda c: f"{c.stability:.2f}"
    if any(c.effect is not None for c in concepts):
        columns["effect of its removal, nats (of random directions; of directions of the data)"] = _effect
    columns["words"] = lambda c: _listed(word.text for word in c.words)
    return _table(list(columns), ([column(c) for column in columns.values()] for c in concepts), keep_empty=True)


def _effect(concept: Concept) -> str:
    effect = concept.effect
    if effect is None:
        return ""
    by_chance = [effect.random_divergence, effect.matched_divergence]
    shown = f"{effect.divergence:.3g} ({'; '.join(f'{value:.3g}' for value in by_chance if value is not None)})"
    return f"{shown}, no more than chance" if effect.is_nothing else shown


def _table(header: list[str], rows: Iterable[Iterable[str]], *, keep_empty: bool = False) -> str:
    kept = [list(row) for row in rows]
    kept = [row for row in kept if keep_empty or row[-1]]
    lines = [header, ["---"] * len(header), *kept]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(texts: Iterable[Any]) -> str:
    return ", ".join(filter(None, map(quoted, texts)))
