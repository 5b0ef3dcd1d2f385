"""Whether a dictionary and a model belong together, and what the model said where the dictionary's states come from."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coxlmm.dictionary import ConceptDictionary
from coxlmm.samples import Sample
from coxlmm.settings import options_of
from coxlmm.states import StatesGroup
from coxlmm.verification import require_prompt
from coxlmm.words import TokenSpan, WordMatcher, WordNotFoundError

if TYPE_CHECKING:
    from torch import nn

    from coxlmm.models import LMM


def require_origin(dictionary: ConceptDictionary, lmm: "LMM") -> None:
    """Raises ValueError if a dictionary does not tell of what states it is, or they are not of this model."""
    manifest = dictionary.manifest
    position = manifest.get("position", "predicting")
    if "layer" not in manifest or (dictionary.word is None and position in ("predicting", "word")):
        raise ValueError("the dictionary's manifest has no word or no layer: it was fitted to states of unknown origin")
    if manifest.get("n_layers", lmm.n_layers) != lmm.n_layers:
        raise ValueError(
            f"the dictionary is of {manifest.get('model_id')} with {manifest['n_layers']} layers, "
            f"but {lmm.model_id} has {lmm.n_layers}"
        )
    require_prompt(lmm, manifest)


def caption_tokens(
    dictionary: ConceptDictionary, lmm: "LMM", images: Mapping[str, Any]
) -> dict[tuple[str, str | None], list[int]]:
    """The tokens of the captions in which a word of the dictionary is found, by sample id and word.

    The model writes them again: their text can be spelt with other tokens. Where it read captions it reads them again.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
    images : mapping
        Opened, by sample id; they go through the model together.
    """
    words = dictionary.words_of_interest
    if dictionary.manifest.get("decoding") == "teacher-forced":
        captions = dict(zip(dictionary.sample_ids, dictionary.captions, strict=True))
        return {(name, word): lmm.caption_ids(captions[name]) for name in images for word in words or [None]}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*there are no states of it")  # of some of the words, here
            found = lmm.extract(
                [Sample(image, name) for name, image in images.items()],
                words or None,
                batch_size=len(images),
                workers=0,
                on_error="raise",
                **options_of(dictionary.manifest),
            )
    except WordNotFoundError:  # of none of these images
        return {}
    said = {}
    for word, states in found.items() if isinstance(found, StatesGroup) else [(None, found)]:
        said |= {(name, word): tokens for name, tokens in zip(states.sample_ids, states.tokens, strict=True)}
    return said


def word_span(lmm: "LMM", manifest: Mapping[str, Any], tokens: list[int]) -> TokenSpan:
    """Which of a caption's tokens spell the word that states are of, by their manifest.

    Raises
    ------
    ValueError
        If the caption does not have it.
    """
    decoded = lmm.decode_with_spans(tokens)
    span = WordMatcher.of(manifest).find_tokens(decoded)
    if span is None:
        raise ValueError(f"the caption {decoded.text!r} does not have the word {manifest['word']!r}")
    return span


def module_of(lmm: "LMM", dictionary: ConceptDictionary) -> "nn.Module":
    """The module whose output the states of a dictionary are."""
    return lmm.module_of(dictionary.manifest["layer"], dictionary.manifest.get("stream", "residual"))
