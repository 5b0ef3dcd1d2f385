"""Which states a page is about, in words: not all of them predict a word, and not all captions are the model's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coxlmm.dictionary import ConceptDictionary
from coxlmm.report.captions import quoted
from coxlmm.report.reading import reading_of

_WRITTEN = ("greedy", "sampled")
_OF_WORDS = ("predicting", "word")
# Whose state it is, in a sentence about the model.
_ITS = {
    "residual": "its hidden state",
    "final-norm": "its hidden state",
    "attention": "what attention gives in one of its layers",
    "mlp": "what the feed-forward part gives in one of its layers",
}
_VECTOR = {
    "residual": "The vector inside the language model, at the output of {layer}",
    "final-norm": "The vector inside the language model, behind its final norm",
    "attention": "The vector that attention, or what the model has in its place, gives in {layer}",
    "mlp": "The vector that the feed-forward part gives in {layer}",
}
_AT = {
    ("predicting", "first"): "at the position whose next token begins the word",
    ("predicting", "last"): "at the position whose next token ends the word",
    ("predicting", "mean"): "averaged over the positions whose next tokens are the word’s",
    ("word", "first"): "at the word’s own first token, where the model reads it",
    ("word", "last"): "at the word’s own last token, where the model reads it",
    ("word", "mean"): "averaged over the word’s own tokens, where the model reads them",
    "prompt": "at the last token of the prompt, before any of the caption",
    "visual-mean": "averaged over the visual tokens of the image",
    "visual": "at one visual token of the image: each is a sample of its own here",
}
_PREDICTED = {
    "word": "states that predict what follows the word, not the word",
    "prompt": "states that predict how the caption begins, not the words in it",
    "visual-mean": "states that predict no word of the caption",
    "visual": "states that predict no word of the caption",
}
_BEHIND = {
    "prompt": "its state at the end of the prompt",
    "visual-mean": "the mean of its states at the image’s tokens",
    "visual": "its states at the image’s tokens",
}


@dataclass(frozen=True)
class Provenance:
    """The page's sentences about the states of a dictionary.

    Attributes
    ----------
    title : str
        Of the page.
    lead : str or None
        When the model has such states, and what they are mixed of; None where too little is known.
    state : str
        What a state is, and whose the captions are.
    words : str
        In how far the words of concepts can be trusted, where nothing has been measured; otherwise empty.
    behind : str
        What the concepts of a single image are behind.
    """

    title: str
    lead: str | None
    state: str
    words: str
    behind: str


def provenance_of(dictionary: ConceptDictionary) -> Provenance:
    """What ``dictionary.manifest`` says of its states. Where it names no position, they predict the word."""
    manifest = dictionary.manifest
    position = str(manifest.get("position", "predicting"))
    stream = str(manifest.get("stream", "residual"))
    word = quoted(dictionary.word)
    decoding = str(manifest.get("decoding"))
    when = _when(position, decoding, word)
    chosen = f" Only images whose caption has {word} count." if word and position not in _OF_WORDS else ""
    its = _ITS.get(stream, "what one of its modules gives")
    averaged = ", averaged over the image’s tokens," if position == "visual-mean" else ""
    return Provenance(
        title=_title(position, decoding, word),
        lead=None if when is None else f"{when}, {its}{averaged} is {reading_of(dictionary).lead}.{chosen}",
        state=" ".join(part for part in (_state(manifest, position, stream), _captions(manifest)) if part),
        words=_words(manifest, position, stream),
        behind=_BEHIND.get(position, "the marked word"),
    )


def _title(position: str, decoding: str, word: str) -> str:
    says = f" whose captions say {word}" if word else ""
    of_images = {
        "prompt": "What the model represents once it has read the prompt" + (f", for images{says}" if word else ""),
        "visual-mean": f"What the model represents of images{says}",
        "visual": f"What the model represents of parts of images{says}",
    }
    if position in of_images:
        return of_images[position]
    if not word or position not in _OF_WORDS:
        return "Concepts of the model"
    if position == "word":
        return f"What the model represents where it reads {word}"
    if decoding in _WRITTEN:
        return f"What the model represents where it says {word}"
    return f"What the model represents where {word} comes next"


def _when(position: str, decoding: str, word: str) -> str | None:
    """The beginning of the page's first sentence: when the model has such a state."""
    if position in _OF_WORDS:
        caption = {"teacher-forced": "a caption that it was given"}.get(decoding, "a caption")
        if decoding in _WRITTEN and position == "word":
            caption = "its own caption"
        verb = "reads" if position == "word" else "is about to write" if decoding in _WRITTEN else "is about to read"
        return f"Each time the model {verb} {word} in {caption}" if word else None
    return {
        "prompt": "When the model has read the prompt with the image, and nothing of the caption",
        "visual-mean": "When the model reads an image",
        "visual": "Each time the model reads a visual token, a part of an image",
    }.get(position)


def _state(manifest: Mapping[str, Any], position: str, stream: str) -> str:
    layer = "a layer" if manifest.get("layer") is None else "the layer named above"
    known = _VECTOR.get(stream)
    vector = known.format(layer=layer) if known else f"The vector that “{stream}” gives inside the language model"
    key = (position, str(manifest.get("token", "first"))) if position in _OF_WORDS else position
    return f"{vector}, {_AT.get(key, f'at the position “{position}”')}."


def _captions(manifest: Mapping[str, Any]) -> str:
    match manifest.get("decoding"):
        case "greedy":
            return "The model wrote the captions itself, always with the token that it found most likely."
        case "sampled":
            return "The model wrote the captions itself, with tokens drawn at random from what it found likely."
        case "teacher-forced":
            return "The model did not write the captions: they are references that it was given to read."
    return ""


def _words(manifest: Mapping[str, Any], position: str, stream: str) -> str:
    if manifest.get("grounding", {}).get("rank_of_word") is not None:
        return ""
    if position in _PREDICTED:
        what = _PREDICTED[position]
    elif stream in ("attention", "mlp"):
        what = "what is added to states, and predicts no word alone"
    else:
        return "Whether words can be read from such states was not checked."
    return f"Here they are the logit lens on {what}; whether words can be read so was not checked."
