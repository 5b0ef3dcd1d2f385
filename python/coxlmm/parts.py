"""What is written down of a window of samples, and how the windows together become states."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coxlmm.atomic import replaced_directory
from coxlmm.captioner import Captioned, admitted
from coxlmm.images import UnreadableImageError
from coxlmm.journal import Journal, Part, digest
from coxlmm.samples import Sample
from coxlmm.settings import ExtractionSettings
from coxlmm.states import States, StatesGroup
from coxlmm.states_files import StatesWriter, holds_states, write_group
from coxlmm.words import WordMatcher, WordNotFoundError, words_of


def part_of(window: list[Captioned], settings: ExtractionSettings, batch_size: int) -> Part:
    n_words = len(settings.words) or 1
    words: Counter[str] = Counter()
    samples: list[dict[str, Any]] = []
    matches: list[list[tuple[int, int]]] = [[] for _ in range(n_words)]  # index in samples, number of rows
    without_word = [0] * n_words
    blocks: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    for result in window:
        if result.reason is not None:
            continue
        words.update(words_of(result.text))
        references = result.sample.references
        for w, matcher in enumerate(settings.words):
            without_word[w] += w not in result.rows and admitted(matcher, references)
        for w, (positions, states) in result.rows.items():
            matches[w].append((len(samples), len(positions)))
            blocks[f"{w}.positions"].append(positions)
            for layer, rows in zip(settings.layers, states, strict=True):
                blocks[f"{w}.{layer}"].append(rows)
        if result.rows:
            described = {"id": result.sample.id, "caption": result.text.strip(), "tokens": list(result.ids)}
            samples.append(described | {"references": None if references is None else list(references)})
    record = {
        "window": describe([result.sample for result in window]),
        "batch_size": batch_size,  # with which the next window goes on
        "unreadable": [{"id": r.sample.id, "reason": r.reason} for r in window if r.reason is not None],
        "without_word": without_word,
        "words": dict(words),
        "samples": samples,
        "matches": matches,
    }
    return Part(record, {name: np.concatenate(arrays) for name, arrays in blocks.items()})


def describe(samples: list[Sample]) -> dict[str, Any]:
    """By what a window's samples are known again."""
    return {"first": samples[0].id, "n": len(samples), "digest": digest([[s.id, s.references] for s in samples])}


class Tally:
    """Counts the samples that are offered, and lets those pass that can count."""

    def __init__(self, words: tuple[WordMatcher, ...]) -> None:
        self._words = words
        self.seen = 0
        self.without_word = [0] * (len(words) or 1)
        self.reference_words: Counter[str] = Counter()

    def admitted(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Samples whose references, where there are any, have one of the words."""
        for sample in samples:
            self.seen += 1
            admits = [admitted(matcher, sample.references) for matcher in self._words]
            if sample.references is not None:
                self.reference_words.update(set().union(*map(words_of, sample.references)))
            for w, admit in enumerate(admits):
                self.without_word[w] += not admit
            if not admits or any(admits):
                yield sample


class Found:
    """The parts of all windows, together."""

    def __init__(self, journal: Journal, n_windows: int, settings: ExtractionSettings, tally: Tally) -> None:
        self._journal, self._n_windows, self._settings, self._tally = journal, n_windows, settings, tally
        n_words = len(settings.words) or 1
        self.unreadable: list[dict[str, str]] = []
        self.columns = ["tokens"]
        self._without_word = [0] * n_words
        self._matched = [0] * n_words
        for record in self._records():
            self.unreadable += record["unreadable"]
            for w in range(n_words):
                self._without_word[w] += record["without_word"][w]
                self._matched[w] += len(record["matches"][w])
            if "references" not in self.columns and any(s["references"] is not None for s in record["samples"]):
                self.columns.append("references")

    def _records(self) -> Iterator[dict[str, Any]]:
        for number in range(self._n_windows):
            record = self._journal.record(number)
            if record is None:
                raise RuntimeError(f"part {number} of the extraction has vanished")
            yield record

    def require_matches(self) -> None:
        """Raises for the first word if no word occurs; warns of those that do not where another one does."""
        if not any(self._matched):
            raise self._absent(0)
        for w, matched in enumerate(self._matched):
            if not matched:
                warnings.warn(f"{self._absent(w)}; there are no states of it", stacklevel=5)

    def _absent(self, w: int) -> Exception:
        tally, n_captions = self._tally, self._without_word[w]
        n_ruled_out = tally.without_word[w]
        if n_captions == 0 and self.unreadable:
            n, first = len(self.unreadable), self.unreadable[0]
            return UnreadableImageError(f"any of {n} images, of which {first['id']!r} is the first", first["reason"])
        if n_captions == 0:
            matcher = self._settings.words[w]
            return WordNotFoundError.among(matcher, tally.reference_words, f"none of {tally.seen} references")
        words: Counter[str] = Counter()
        for record in self._records():
            words.update(record["words"])
        where = f"none of {n_captions} captions"
        if n_ruled_out:
            where += f" of the images whose reference has it (of {tally.seen} images)"
        return WordNotFoundError.among(self._settings.words[w], words, where)

    def members(self) -> Iterator[tuple[Hashable, int, int]]:
        """Name, number of the word and layer of all states there are."""
        for w, matched in enumerate(self._matched):
            for layer in self._settings.layers if matched else ():
                yield self._settings.key(w, layer), w, layer

    def blocks(self, w: int, layer: int) -> Iterator[tuple[np.ndarray, np.ndarray, list[tuple[dict[str, Any], int]]]]:
        """Rows, positions, and samples with their numbers of rows, a window at a time."""
        for number, record in enumerate(self._records()):
            if record["matches"][w]:
                X, positions = self._journal.tensors(number, [f"{w}.{layer}", f"{w}.positions"])
                yield X, positions, [(record["samples"][i], rows) for i, rows in record["matches"][w]]

    def manifest(self, w: int, layer: int, provenance: dict[str, Any]) -> dict[str, Any]:
        """Of the states of one word at one layer; the provenance is what it shares with the others."""
        counts = {
            "seen": self._tally.seen,
            "without_word_in_reference": self._tally.without_word[w],
            "unreadable": len(self.unreadable),
            "without_word_in_caption": self._without_word[w],
            "matched": self._matched[w],
        }
        return {
            **self._settings.manifest(w, layer),
            "normalized": False,
            **provenance,
            "counts": counts,
            "unreadable": self.unreadable,
        }


def in_memory(found: Found, settings: ExtractionSettings, manifest_of: Callable[[int, int], dict[str, Any]]) -> Any:
    group = {}
    for key, w, layer in found.members():
        X, positions, samples = zip(*found.blocks(w, layer), strict=True)
        repeated = [sample for window in samples for sample, rows in window for _ in range(rows)]
        columns = {name: [sample[name] for sample in repeated] for name in ("id", "caption", *found.columns)}
        group[key] = States(
            X=np.concatenate(X),
            positions=np.concatenate(positions),
            sample_ids=columns.pop("id"),
            captions=columns.pop("caption"),
            manifest=manifest_of(w, layer),
            **columns,
        )
    return StatesGroup(group) if settings.is_group else next(iter(group.values()))


def on_disk(
    found: Found,
    settings: ExtractionSettings,
    manifest_of: Callable[[int, int], dict[str, Any]],
    out: Path,
    staging: Path | None,
) -> None:
    keys = list(found.members())
    with replaced_directory(out, holds_states, staging) as directory:
        names = write_group(directory, [key for key, _, _ in keys]) if settings.is_group else ["."]
        for name, (_, w, layer) in zip(names, keys, strict=True):
            writer = None
            for X, positions, samples in found.blocks(w, layer):
                writer = writer or StatesWriter(directory / name, X.shape[1], found.columns)
                writer.add(X, positions)
                for sample, rows in samples:
                    columns = {column: sample[column] for column in found.columns}
                    writer.describe(sample["id"], sample["caption"], rows, **columns)
            writer.close(manifest_of(w, layer))
