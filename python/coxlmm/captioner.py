"""Batches of images -> their captions and the states of the words in them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coxlmm.generation import Generation, GumbelSampler, Record, generate, read
from coxlmm.images import UnreadableImageError
from coxlmm.samples import Sample, hash_of
from coxlmm.settings import ExtractionSettings, TokenChoice
from coxlmm.words import TokenSpan, WordMatcher

if TYPE_CHECKING:
    from coxlmm.models import LMM


@dataclass(frozen=True)
class Captioned:
    """What is known of a sample.

    Attributes
    ----------
    sample : Sample
    ids : list of int
        The generated tokens.
    text : str
        What they say.
    rows : dict
        By the number of the word: positions (as in :class:`coxlmm.States`), and rows x features for each layer. Only
        for words that were found.
    reason : str or None
        Why there is nothing of all this.
    """

    sample: Sample
    ids: list[int] = field(default_factory=list)
    text: str = ""
    rows: dict[int, tuple[np.ndarray, list[np.ndarray]]] = field(default_factory=dict)
    reason: str | None = None


class Captioner:
    """Captions batches, in pieces where the memory does not suffice.

    Attributes
    ----------
    batch_size : int
        Samples that go through the model at a time. With ``batch_size="auto"`` it is halved whenever memory ran out.
    """

    def __init__(self, lmm: "LMM", settings: ExtractionSettings, on_error: str) -> None:
        self.batch_size = settings.full_batch
        self._lmm = lmm
        self._settings = settings
        self._on_error = on_error
        self._modules = [lmm.module_of(layer, settings.stream) for layer in settings.layers]
        self._encoded_any = False

    def __call__(self, batch: list[tuple[Sample, Any]]) -> list[Captioned]:
        """What is captioned of each sample, or why it cannot be."""
        results: list[Captioned | None] = [None] * len(batch)
        readable = []
        for i, (sample, image) in enumerate(batch):
            if isinstance(image, UnreadableImageError):
                results[i] = self._unreadable(sample, image)
            else:
                readable.append(i)
        while readable:
            piece, rest = readable[: self.batch_size], readable[self.batch_size :]
            try:
                captioned = self._piece([batch[i] for i in piece])
            except (RuntimeError, MemoryError) as error:
                if self._settings.batch_size != "auto" or not _is_out_of_memory(error) or self.batch_size == 1:
                    raise
                captioned = None
            if captioned is None:  # outside of the handler, whose traceback would keep the memory in use
                self._back_off(len(piece))
                continue
            for i, result in zip(piece, captioned, strict=True):
                results[i] = result
            readable = rest
        return results

    def _piece(self, batch: list[tuple[Sample, Any]]) -> list[Captioned]:
        inputs, failed = self._encode([image for _, image in batch])
        encoded = [i for i in range(len(batch)) if i not in failed]
        captioned = self._caption(inputs, [batch[i][0] for i in encoded]) if encoded else []
        done = dict(zip(encoded, captioned, strict=True))
        return [done[i] if i in done else self._unreadable(batch[i][0], failed[i]) for i in range(len(batch))]

    def _back_off(self, tried: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        # Halves of what was planned: which samples meet in a batch then depends on the planned size alone.
        while self.batch_size >= tried and self.batch_size > 1:
            self.batch_size //= 2

    def _encode(self, images: list[Any]) -> tuple[Any, dict[int, Exception]]:
        """The processor's output for the images that it takes, and its errors by index for those that it refuses."""
        try:
            inputs = self._lmm.inputs(images)
        except Exception as error:  # what a processor raises at an image of one pixel, say, is its own affair
            if _is_out_of_memory(error):
                raise
            failed = {i: own for i, image in enumerate(images) if (own := self._refusal(image)) is not None}
            # Images that are refused together and not alone, or every one of the first batch: not the images' fault.
            if not failed or (len(failed) == len(images) and not self._encoded_any):
                raise
            accepted = [image for i, image in enumerate(images) if i not in failed]
            return (self._lmm.inputs(accepted) if accepted else None), failed
        self._encoded_any = True
        return inputs, {}

    def _refusal(self, image: Any) -> Exception | None:
        try:
            self._lmm.inputs([image])
        except Exception as error:
            if _is_out_of_memory(error):
                raise
            return error
        return None

    def _unreadable(self, sample: Sample, error: Exception) -> Captioned:
        reason = error.reason if isinstance(error, UnreadableImageError) else f"{type(error).__name__}: {error}"
        if self._on_error == "raise":
            raise UnreadableImageError(f"image {sample.id!r}", reason) from error
        return Captioned(sample, reason=reason)

    def _caption(self, inputs: Any, samples: list[Sample]) -> list[Captioned]:
        settings, lmm = self._settings, self._lmm
        record = Record(self._modules, lmm.visual_positions(inputs) if settings.is_visual else None)
        if settings.teacher_forced:
            captions = [caption_to_read(sample, settings.words) for sample in samples]
            generated = read(lmm, inputs, [lmm.caption_ids(caption) for caption in captions], record)
        else:
            # The state at a word's own last token is there once the token after it has been asked for.
            extra = settings.position == "word"
            generated = generate(lmm, inputs, settings.max_new_tokens + extra, record, self._sampler(samples))
        return [self._captioned(sample, generated, b) for b, sample in enumerate(samples)]

    def _sampler(self, samples: list[Sample]) -> GumbelSampler | None:
        if not self._settings.temperature:
            return None
        seeds = [hash_of(f"{self._settings.seed}/{sample.id}") >> 1 for sample in samples]  # of 63 bits, as torch's
        return GumbelSampler(seeds, self._settings.temperature, self._settings.top_p)

    def _captioned(self, sample: Sample, generated: Generation, b: int) -> Captioned:
        ids = generated.ids[b]
        if not self._settings.teacher_forced:
            ids = ids[: self._settings.max_new_tokens]
        decoded = self._lmm.decode_with_spans(ids)
        rows: dict[int, tuple[np.ndarray, list[np.ndarray]]] = {}
        for w, matcher in enumerate(self._settings.words or (None,)):
            span = TokenSpan(0, 1)
            if matcher is not None:
                found = matcher.find_tokens(decoded) if admitted(matcher, sample.references) else None
                if found is None:
                    continue
                span = found
            states = [self._states(generated, m, b, span) for m in range(len(self._modules))]
            rows[w] = self._positions(span, len(states[0])), states
        return Captioned(sample, ids=ids, text=decoded.text, rows=rows)

    def _states(self, generated: Generation, m: int, b: int, span: TokenSpan) -> np.ndarray:
        """The rows of one word of one sample at one layer."""
        settings = self._settings
        if settings.is_visual:
            states = generated.visual[m][b]
        elif settings.position == "prompt":
            states = generated.states[m][:1, b]
        else:
            shift = settings.position == "word"
            states = generated.states[m][span.start + shift : span.stop + shift, b]
        rows = states.float().cpu().numpy()
        if settings.position == "visual-mean":
            return rows.mean(axis=0, keepdims=True)
        if settings.position in ("predicting", "word"):
            return pick(rows, settings.token)
        return rows

    def _positions(self, span: TokenSpan, n_rows: int) -> np.ndarray:
        if self._settings.position in ("predicting", "word"):
            return np.full(n_rows, span.start, np.int64)
        return np.arange(n_rows, dtype=np.int64)


def caption_to_read(sample: Sample, words: tuple[WordMatcher, ...]) -> str:
    """The reference that the model is given instead of writing a caption: the first one that has a word.

    Raises
    ------
    ValueError
        If the sample has none.
    """
    if not sample.references:
        raise ValueError(f"sample {sample.id!r} has no reference caption, which teacher forcing lets the model read")
    having = (text for text in sample.references if any(matcher.find(text) is not None for matcher in words))
    return next(having, sample.references[0])


def admitted(matcher: WordMatcher, references: tuple[str, ...] | None) -> bool:
    """Whether a sample can count for a word: one of its references has it, or there are none to ask."""
    return references is None or any(matcher.find(reference) is not None for reference in references)


def pick(states: np.ndarray, token: TokenChoice) -> np.ndarray:
    """One row for a word, of the ``tokens x features`` states of its tokens."""
    # Copies: a view would keep every token's vector alive.
    return states.mean(axis=0, keepdims=True) if token == "mean" else states[[0 if token == "first" else -1]]


def _is_out_of_memory(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError: "DefaultCPUAllocator: can't allocate memory".
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
