"""Images and a word -> the states of the model that predict the word.

Samples are taken in windows of a few batches. What a window yields depends on its samples and the settings alone, and
is kept as a part in a :class:`coxlmm.journal.Journal`: so it makes no difference in how many pieces, by how many
processes, the windows are worked off. When all are there they become :class:`coxlmm.States`.
"""

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tqdm.auto import tqdm

from coxlmm.atomic import ensure_replaceable
from coxlmm.captioner import Captioned, Captioner, caption_to_read
from coxlmm.images import UnreadableImageError, image_size, opened
from coxlmm.journal import ChangedRunError, Journal, JournalOnDisk, digest, discard
from coxlmm.models import batches
from coxlmm.parts import Found, Tally, describe, in_memory, on_disk, part_of
from coxlmm.processes import Processes
from coxlmm.samples import Sample, hash_of
from coxlmm.settings import ExtractionSettings
from coxlmm.states import States, StatesGroup, installed_version
from coxlmm.states_files import holds_states, read_group, rewrite_manifest, unfinished
from coxlmm.verification import (
    VerificationError,
    chosen_samples,
    combined,
    require_verifiable,
    verify_states,
)
from coxlmm.words import WordNotFoundError

if TYPE_CHECKING:
    from coxlmm.models import LMM

Progress = bool | Callable[[int, int | None], None] | None
OnError = Literal["record", "raise"]


@dataclass(frozen=True)
class Work:
    """How an extraction is carried out: none of it changes what comes of it.

    Attributes
    ----------
    total : int or None
        The number of samples, for the progress, where it is known.
    on_error, workers, verify, out, resume, source, progress
        See :meth:`coxlmm.LMM.extract`.
    """

    total: int | None = None
    on_error: OnError = "record"
    workers: int = 4
    verify: int = 0
    out: str | os.PathLike[str] | None = None
    resume: bool = True
    source: Mapping[str, Any] | None = None
    progress: Progress = None


def extract(lmm: "LMM", samples: Iterable[Sample], settings: ExtractionSettings, work: Work) -> States | StatesGroup:
    """See :meth:`coxlmm.LMM.extract`, which is this with every setting by its name.

    Parameters
    ----------
    lmm : LMM
    samples : iterable of Sample
        With ids, all different.
    settings : ExtractionSettings
    work : Work
    """
    _check(lmm, settings, work)
    processes = Processes()
    if processes.size > 1 and work.out is None:
        raise ValueError(f"{processes.size} processes share this extraction: say with out=... where they meet")
    provenance = _provenance(lmm, settings)
    journal = _journal(lmm, settings, work, provenance, processes)
    tally = Tally(settings.words)
    images = _ImagesToVerify(work.verify, len(settings.words) or 1)
    n_windows = _work_off(lmm, samples, tally, settings, work, journal, images, processes)
    processes.wait()
    if tally.seen == 0:
        _discard(journal, processes)
        raise ValueError("there are no images to extract from")
    found = Found(journal, n_windows, settings, tally)
    try:
        found.require_matches()
        states = _assembled(lmm, found, settings, work, provenance, journal, processes)
        if work.verify:
            _verify(lmm, states, found, images, work, processes)
    except (WordNotFoundError, UnreadableImageError, VerificationError):
        # All of the work is done, and its outcome is this.
        _discard(journal, processes)
        raise
    _discard(journal, processes)
    return states


def _assembled(
    lmm: "LMM",
    found: Found,
    settings: ExtractionSettings,
    work: Work,
    provenance: dict[str, Any],
    journal: Journal,
    processes: Processes,
) -> States | StatesGroup:
    source = {} if work.source is None else {"source": dict(work.source)}

    def manifest_of(w: int, layer: int) -> dict[str, Any]:
        own = {"layer_name": f"{lmm.architecture.layers_name}.{layer}"}
        return found.manifest(w, layer, provenance | own | source)

    if work.out is None:
        return in_memory(found, settings, manifest_of)
    if processes.rank == 0:
        on_disk(found, settings, manifest_of, Path(work.out), journal.staging())
    processes.wait()
    return StatesGroup.load(work.out) if settings.is_group else States.load(work.out)


def _check(lmm: "LMM", settings: ExtractionSettings, work: Work) -> None:
    if work.on_error not in ("record", "raise"):
        raise ValueError(f"on_error must be 'record' or 'raise', got {work.on_error!r}")
    if work.verify < 0:
        raise ValueError(f"verify must be the number of states to check, got {work.verify}")
    if work.verify:
        require_verifiable(lmm)
    if work.out is not None:
        ensure_replaceable(work.out, holds_states)
    for layer in settings.layers:
        lmm.module_of(layer, settings.stream)


def _journal(
    lmm: "LMM", settings: ExtractionSettings, work: Work, provenance: dict[str, Any], processes: Processes
) -> Journal:
    if work.out is None:
        return Journal()
    directory = unfinished(work.out)
    if processes.rank == 0 and not work.resume:
        discard(directory)
    run = {**settings.to_dict(), **provenance, "weights": _weights(lmm)}
    if processes.rank == 0:
        JournalOnDisk(directory, run)  # the others then find it
    processes.wait()
    return JournalOnDisk(directory, run)


def _discard(journal: Journal, processes: Processes) -> None:
    """Every process is done with the journal: it goes."""
    processes.wait()
    if processes.rank == 0:
        journal.discard()


def _provenance(lmm: "LMM", settings: ExtractionSettings) -> dict[str, Any]:
    packages = ("coxlmm", "torch", "transformers", "tokenizers", *settings.word_packages)
    return {
        "model_id": lmm.model_id,
        "model_class": type(lmm.model).__name__,
        "dtype": str(lmm.model.dtype).removeprefix("torch."),
        "revision": lmm.revision,
        "prompt": lmm.prompt,
        "n_layers": lmm.n_layers,
        "versions": {name: installed_version(name) for name in packages},
    }


def _weights(lmm: "LMM", sample: int = 16) -> str:
    """A fingerprint that tells two fine-tunes of one model apart: a few numbers of every parameter."""
    values = {
        name: parameter.detach().flatten()[:sample].float().tolist()
        for name, parameter in lmm.model.named_parameters()
        if not parameter.is_meta  # offloaded: in a file
    }
    return digest({name: list(map(str, numbers)) for name, numbers in values.items()})


@dataclass(frozen=True)
class _Window:
    number: int
    samples: list[Sample]
    seen: int  # samples of the input up to its end, those that references rule out included
    seen_before: int


def _windows(tally: Tally, samples: Iterable[Sample], settings: ExtractionSettings) -> Iterator[_Window]:
    window: list[Sample] = []
    number = seen_before = 0
    for sample in tally.admitted(samples):
        window.append(sample)
        if len(window) == settings.window:
            yield _Window(number, window, tally.seen, seen_before)
            window, number, seen_before = [], number + 1, tally.seen
    if window:
        yield _Window(number, window, tally.seen, seen_before)


def _work_off(
    lmm: "LMM",
    samples: Iterable[Sample],
    tally: Tally,
    settings: ExtractionSettings,
    work: Work,
    journal: Journal,
    images: "_ImagesToVerify",
    processes: Processes,
) -> int:
    """Writes the parts of those windows that are this process's and not there yet; how many windows there are."""
    captioner = Captioner(lmm, settings, work.on_error)
    plan: deque[tuple[_Window, list[int], bool]] = deque()
    n_windows = 0

    def batches_to_open() -> Iterator[list[Sample]]:
        nonlocal n_windows
        for window in _windows(tally, samples, settings):
            n_windows = window.number + 1
            if window.number % processes.size != processes.rank:
                continue
            done = journal.record(window.number)
            if done is not None:
                _require_same(done, window)
                images.offer(window.samples, done)
                captioner.batch_size = done["batch_size"]
                continue
            order = sorted(range(len(window.samples)), key=lambda i: _length(window.samples[i], settings))
            for batch in batches(order, settings.full_batch):
                plan.append((window, batch, batch[-1] == order[-1]))
                yield [window.samples[i] for i in batch]

    captioned: dict[int, Captioned] = {}
    with reporting(work.progress if processes.rank == 0 else None, work.total, "extracting") as report:
        for batch in opened(batches_to_open(), work.workers):
            window, indices, is_last = plan.popleft()
            captioned.update(zip(indices, captioner(batch), strict=True))
            share = len(captioned) / len(window.samples)
            if is_last:
                part = part_of([captioned[i] for i in range(len(window.samples))], settings, captioner.batch_size)
                journal.write(window.number, part)
                images.offer(window.samples, part.record)
                captioned = {}
            report(window.seen_before + int(share * (window.seen - window.seen_before)))
        report(tally.seen)
    return n_windows


def _length(sample: Sample, settings: ExtractionSettings) -> tuple[int, ...]:
    """Of its caption and prompt, or what grows with it: batches of like samples need the least padding."""
    width, height = image_size(sample.image) or (0, 0)
    caption = len(caption_to_read(sample, settings.words)) if settings.teacher_forced else 0
    return caption, width * height, width


def _require_same(done: dict[str, Any], window: _Window) -> None:
    before, now = done["window"], describe(window.samples)
    if before != now:
        raise ChangedRunError(
            f"the samples are not those of the unfinished extraction: window {window.number} had {before['n']} from "
            f"{before['first']!r} on, and now has {now['n']} from {now['first']!r} on"
            + (", with other ids or references" if before["first"] == now["first"] else "")
            + ": give the same ones in the same order to go on with it, or start anew with resume=False (--no-resume)"
        )


@contextmanager
def reporting(progress: Progress, total: int | None, doing: str) -> Iterator[Callable[[int], None]]:
    """What is told, now and then, how many images are done. ``progress``: see :meth:`coxlmm.LMM.extract`."""
    if callable(progress):
        yield lambda done: progress(done, total)
    elif progress:
        with tqdm(total=total, unit="image", desc=doing) as bar:
            yield lambda done: bar.update(done - bar.n)
    else:
        yield lambda done: None


class _ImagesToVerify:
    """Holds the images of a few matched samples: those whose ids hash lowest.

    That is a random choice, and the same one however the samples are distributed over processes and interrupted runs.
    """

    def __init__(self, n: int, n_words: int) -> None:
        self._n = n
        self._heaps: list[list[tuple[int, str, Any]]] = [[] for _ in range(n_words)]

    def offer(self, samples: list[Sample], record: dict[str, Any]) -> None:
        """Those of a window that matched."""
        if not self._n:
            return
        by_id = {sample.id: sample.image for sample in samples}
        for heap, matches in zip(self._heaps, record["matches"], strict=True):
            for i, _ in matches:
                name = record["samples"][i]["id"]
                entry = (-hash_of(name), name, by_id[name])
                if len(heap) < self._n:
                    heapq.heappush(heap, entry)
                elif entry[0] > heap[0][0]:
                    heapq.heapreplace(heap, entry)

    def of(self, w: int, states: States) -> dict[str, Any]:
        """The images at hand of those chosen among all samples of the states."""
        chosen = chosen_samples(states.sample_ids, self._n)
        return {name: image for _, name, image in self._heaps[w] if name in chosen}


def _verify(
    lmm: "LMM",
    states: States | StatesGroup,
    found: Found,
    images: _ImagesToVerify,
    work: Work,
    processes: Processes,
) -> None:
    failure = None
    for key, w, _ in found.members():
        one = states[key] if isinstance(states, StatesGroup) else states
        try:
            outcome = verify_states(lmm, one, images.of(w, one))
        except VerificationError as error:
            outcome = {"error": str(error)}
        outcomes = processes.gather(outcome)
        one.manifest["verified"] = combined(outcomes)
        failure = failure or one.manifest["verified"].get("error")
        if work.out is not None and processes.rank == 0:
            path = Path(work.out)
            rewrite_manifest(read_group(path)[key] if isinstance(states, StatesGroup) else path, one.manifest)
    if failure:
        raise VerificationError(failure)
