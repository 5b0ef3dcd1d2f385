"""Images and a word -> the states of the model that predict the word."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from tqdm.auto import tqdm

from coxlmm.atomic import ensure_replaceable
from coxlmm.generation import generate
from coxlmm.images import open_image, sample_id
from coxlmm.models import as_images, batches
from coxlmm.states import States, holds_states, installed_version
from coxlmm.verification import Candidate, Reservoir, VerificationError, require_verifiable, verify_states
from coxlmm.words import WordMatcher, WordNotFoundError, words_of

if TYPE_CHECKING:
    from coxlmm.models import LMM

TokenChoice = Literal["first", "last", "mean"]
Progress = bool | Callable[[int, int | None], None] | None


def extract(
    lmm: "LMM",
    images: Iterable[Any],
    word: str,
    *,
    references: Iterable[str] | None = None,
    layer: int = -1,
    batch_size: int = 16,
    max_new_tokens: int = 32,
    sample_ids: Iterable[str] | None = None,
    token: TokenChoice = "first",
    case_sensitive: bool = False,
    plural: bool = False,
    verify: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = None,
) -> States:
    """The states that predict ``word`` in the captions the model writes.

    All states are held in memory and saved once, at the end: an interrupted extraction leaves nothing behind, and there
    is no resuming or sharding yet. For many images, extract from parts of them, each with an ``out`` of its own.

    Every image is captioned greedily; an image counts when its caption, and its reference where references are given,
    hold the word. Its row is the residual stream after decoder layer ``layer``, before the final norm, at the position
    whose next token is the word's (first occurrence). Only generated tokens are searched, never the prompt.

    Parameters
    ----------
    images : iterable of PIL images, paths, or anything else the processor takes
        Consumed a batch at a time.
    word : str
        A word or a phrase, matched on word boundaries: "cat" is not in "category".
    references : iterable of str, optional
        One reference caption an image, in order. Images whose reference lacks the word are not captioned at all.
    layer : int, default -1
        Decoder layer, from 0; negative numbers count from the end.
    batch_size, max_new_tokens : int
    sample_ids : iterable of str, optional
        One an image, all different. Default: the paths as given, positions in ``images`` for what is no path.
    token : {"first", "last", "mean"}
        Which state stands for a word of several tokens: the one that predicts its first token, its last, or the mean
        of those that predict any of them.
    case_sensitive, plural : bool
        See :class:`coxlmm.words.WordMatcher`.
    verify : int, default 0
        So many states, drawn at random, are computed again at the end, each in one plain forward pass of its own
        without cache, batch or this library's hook, and compared: see :func:`coxlmm.verification.verify_states`.
    out : path, optional
        Where to save the states: see :meth:`States.save`. They are saved before they are verified, and once more with
        what came out of it in ``manifest["verified"]``.
    progress : bool or callable
        True for a progress bar, or ``progress(done, total)``, called after each batch with the number of images seen
        and their total number, None where it is unknown.

    Returns
    -------
    States
        One row for each image that counts, in the order of ``images``.

    Raises
    ------
    WordNotFoundError
        If no image counts; the message has the most frequent words that do occur.
    ValueError
        If an image cannot be read (named), two have the same sample id, inputs differ in length, an option is not one
        of those above, or states of this model cannot be verified.
    LayerError
        If there is no such layer.
    VerificationError
        If a verified state differs. The states are at ``out`` all the same, with the message in their manifest.
    """
    if token not in get_args(TokenChoice):
        raise ValueError(f"token must be one of {', '.join(get_args(TokenChoice))}, got {token!r}")
    if verify < 0:
        raise ValueError(f"verify must be the number of states to check, got {verify}")
    if verify:
        require_verifiable(lmm)
    matcher = WordMatcher(word, case_sensitive, plural)
    index = lmm.layer_index(layer)
    if out is not None:
        ensure_replaceable(out, holds_states)
    tally = _Tally()
    rows: list[np.ndarray] = []
    kept: list[_Sample] = []
    positions: list[int] = []
    captions: list[str] = []
    reservoir = Reservoir(verify)
    samples = tally.counted(_samples(images, references, sample_ids))
    selected = (s for s in samples if tally.admits(s.reference, matcher))
    with _reporting(progress, len(images) if isinstance(images, Sized) else None) as report:
        for batch in batches(selected, batch_size):
            inputs = lmm.inputs([open_image(s.image, s.index) for s in batch])
            generated = generate(lmm, inputs, max_new_tokens, lmm.decoder_layers[index])
            for b, (sample, ids) in enumerate(zip(batch, generated.ids, strict=True)):
                decoded = lmm.decode_with_spans(ids)
                span = matcher.find_tokens(decoded)
                tally.caption(decoded.text, span is not None)
                if span is None:
                    continue
                predicting = generated.states[span.start : span.stop, b].float().cpu().numpy()
                reservoir.offer(Candidate(sample.id, sample.image, sample.index, ids, span, predicting))
                rows.append(_pick(predicting, token))
                kept.append(sample)
                positions.append(span.start)
                captions.append(decoded.text.strip())
            report(tally.seen)
        report(tally.seen)
    tally.require_matches(matcher)
    manifest = {
        "word": matcher.word,
        "case_sensitive": case_sensitive,
        "plural": plural,
        "token": token,
        "layer": index,
        "n_layers": lmm.n_layers,
        "layer_name": f"{lmm.architecture.layers_name}.{index}",
        "normalized": False,
        "model_id": lmm.model_id,
        "model_class": type(lmm.model).__name__,
        "dtype": str(lmm.model.dtype).removeprefix("torch."),
        "revision": lmm.revision,
        "prompt": lmm.prompt,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "decoding": "greedy",
        "counts": tally.counts(),
        "versions": {name: installed_version(name) for name in ("coxlmm", "torch", "transformers", "tokenizers")},
    }
    states = States(
        X=np.stack(rows),
        sample_ids=[s.id for s in kept],
        captions=captions,
        positions=np.array(positions),
        manifest=manifest,
        references=None if references is None else [s.reference for s in kept],
    )
    if out is not None:
        states.save(out)
    if verify:
        try:
            manifest["verified"] = verify_states(lmm, reservoir.drawn, index)
        except VerificationError as error:
            manifest["verified"] = {"error": str(error)}
            raise
        finally:
            if out is not None and "verified" in manifest:
                states.save(out)
    return states


@dataclass(frozen=True)
class _Sample:
    index: int
    id: str
    image: Any
    reference: str | None


def _samples(
    images: Iterable[Any], references: Iterable[str] | None, sample_ids: Iterable[str] | None
) -> Iterator[_Sample]:
    images = as_images(images)
    for name, values in (("references", references), ("sample_ids", sample_ids)):
        if isinstance(values, str):
            raise TypeError(f"{name} must be one string for each image, got the single string {values!r}")
        if isinstance(values, Sized) and isinstance(images, Sized) and len(values) != len(images):
            raise ValueError(f"{name} must have one entry for each of the {len(images)} images, got {len(values)}")
    if sample_ids is None and isinstance(images, (list, tuple)):
        # Known before the work, so refused before it.
        sample_ids = [sample_id(image, index) for index, image in enumerate(images)]
    if isinstance(sample_ids, (list, tuple)):
        _refuse_repeated(sample_ids)
    seen: set[str] = set()
    columns = zip(
        images,
        repeat(None) if references is None else _then_end(references),
        repeat(None) if sample_ids is None else _then_end(sample_ids),
        strict=False,
    )
    for index, (image, reference, name) in enumerate(columns):
        if reference is _END or name is _END:
            short = "references" if reference is _END else "sample_ids"
            raise ValueError(f"{short} ended after {index} entries, before the images did")
        if references is not None and not isinstance(reference, str):
            raise TypeError(f"the reference of image {index} must be a string, got {type(reference).__name__}")
        name = sample_id(image, index) if name is None else str(name)
        _refuse_repeated([name], seen)
        yield _Sample(index, name, image, reference)


def _refuse_repeated(names: Iterable[Any], seen: set[str] | None = None) -> None:
    seen = set() if seen is None else seen
    for name in map(str, names):
        if name in seen:
            raise ValueError(f"two images have the sample id {name!r}: give each its own (sample_ids=...)")
        seen.add(name)


_END = object()


def _then_end(values: Iterable[Any]) -> Iterator[Any]:
    return chain(values, repeat(_END))


class _Tally:
    """Counts what happened to the images, and which words they do have."""

    def __init__(self) -> None:
        self.seen = 0
        self._without_in_reference = 0
        self._without_in_caption = 0
        self._matched = 0
        self._reference_words: Counter[str] = Counter()
        self._caption_words: Counter[str] = Counter()

    def counted(self, samples: Iterable[_Sample]) -> Iterator[_Sample]:
        for sample in samples:
            self.seen += 1
            yield sample

    def admits(self, reference: str | None, matcher: WordMatcher) -> bool:
        if reference is None:
            return True
        self._reference_words.update(words_of(reference))
        if matcher.find(reference) is None:
            self._without_in_reference += 1
            return False
        return True

    def caption(self, text: str, matched: bool) -> None:
        self._caption_words.update(words_of(text))
        self._matched += matched
        self._without_in_caption += not matched

    def counts(self) -> dict[str, int]:
        return {
            "seen": self.seen,
            "without_word_in_reference": self._without_in_reference,
            "without_word_in_caption": self._without_in_caption,
            "matched": self._matched,
        }

    def require_matches(self, matcher: WordMatcher) -> None:
        if self._matched:
            return
        if self.seen == 0:
            raise ValueError("there are no images to extract from")
        if self._without_in_caption == 0:
            where = f"none of {self.seen} references"
            raise WordNotFoundError.among(matcher, self._reference_words, where)
        where = f"none of {self._without_in_caption} captions"
        if self._without_in_reference:
            where += f" of the images whose reference has it (of {self.seen} images)"
        raise WordNotFoundError.among(matcher, self._caption_words, where)


def _pick(predicting: np.ndarray, token: TokenChoice) -> np.ndarray:
    """One vector for a word, of the ``tokens x features`` states that predicted its tokens."""
    # Copies: a view would keep every token's vector alive.
    return predicting.mean(axis=0) if token == "mean" else predicting[0 if token == "first" else -1].copy()


@contextmanager
def _reporting(progress: Progress, total: int | None) -> Iterator[Callable[[int], None]]:
    if callable(progress):
        yield lambda done: progress(done, total)
    elif progress:
        with tqdm(total=total, unit="image", desc="extracting") as bar:
            yield lambda done: bar.update(done - bar.n)
    else:
        yield lambda done: None
