"""All concepts of a dictionary: whether removing them changes what the model says of the images that have them most."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from coxlmm import _core
from coxlmm.concept import Effect
from coxlmm.dictionary import ConceptDictionary
from coxlmm.extraction import Progress, reporting
from coxlmm.grounding.images import ImageSource, image_finder
from coxlmm.images import image_size, open_image
from coxlmm.intervention.branches import Fork
from coxlmm.intervention.directions import divergence, isotropic_directions, matched_directions, p_value
from coxlmm.intervention.outcome import first_changed, max_new_tokens, require_removable
from coxlmm.models import batches
from coxlmm.origin import caption_tokens, module_of, require_origin

if TYPE_CHECKING:
    from coxlmm.models import LMM

# Images that are captioned, and whose captions' beginnings are read, at a time.
_CAPTIONS, _BEGINNINGS = 16, 8
# How far activations may be from those of the fit, of their length: the order of sums is another one.
_TOLERANCE = 0.1


@dataclass(frozen=True)
class _Sample:
    """One of those that activate some concepts most.

    Attributes
    ----------
    row : int
        Of the codes.
    ranks : dict
        Of these concepts; 0 where it is the sample that activates them most.
    image
    prefix : list of int
        The caption's tokens that come before the changed state.
    """

    row: int
    ranks: dict[int, int]
    image: Any
    prefix: list[int]


@dataclass(frozen=True)
class _Trial:
    """One image without one concept. First the concept's own direction, then all of those, then the matched ones.

    Attributes
    ----------
    divergences : ndarray, 1 + 2 n_random
    changed : tuple of bool
        Whether the caption changes: by the concept's removal, by a random change, by a matched one.
    """

    divergences: np.ndarray
    changed: tuple[bool, ...]


def measure_effects(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    images: ImageSource = None,
    *,
    n_images: int = 8,
    n_random: int = 20,
    seed: int = 0,
    batch_size: int = 64,
    progress: Progress = None,
) -> list[Effect]:
    """Removes every concept from the states of the images that activate it most, beside random changes of equal norm.

    The captions of the fit are read up to the word; the state there loses ``v * u``, with v the concept's activation
    and u its vector, and the model goes on greedily. All concepts and images have the same random directions; of these
    one an image, another one for each, shows how often captions change.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
        The model that it is of.
    images : mapping, callable, sequence, iterable of samples, directory, or None
        Where the images of the sample ids are: see :func:`coxlmm.grounding.ground_images`.
    n_images : int
        For each concept; fewer where fewer activate it.
    n_random : int
        Random directions of either kind. Fewer than 19 cannot tell any concept from them at a p of 0.05.
    seed : int
        Of the random directions.
    batch_size : int
        Captions that the model goes on with at a time.
    progress : bool or callable
        As for :meth:`coxlmm.LMM.extract`.

    Returns
    -------
    list of Effect or None, n_components
        Of a concept that no image activates, that nothing changes; None where none of its activations comes out again.

    Raises
    ------
    ValueError
        If images are missing or unreadable, the model is another one, the samples of the dictionary are no sums of
        concepts (k-means), or no activation comes out again.
    """
    if n_images < 1 or n_random < 1:
        raise ValueError(f"n_images and n_random must be at least 1, got {n_images} and {n_random}")
    require_origin(dictionary, lmm)
    require_removable(dictionary)
    units = np.concatenate([
        isotropic_directions(dictionary.components.shape[1], n_random, seed),
        matched_directions(dictionary, n_random, seed),
    ])  # fmt: skip
    ranks = _ranks(dictionary, n_images)
    samples = list(_samples(dictionary, lmm, images, ranks))
    trials: list[list[_Trial]] = [[] for _ in range(dictionary.n_concepts)]
    done = 0
    with reporting(progress, len(samples), "removing concepts") as report:
        for batch in _of_like_length(samples, _as_extracted(dictionary, _BEGINNINGS)):
            for k, trial in _tried(dictionary, lmm, batch, units, batch_size):
                trials[k].append(trial)
            done += len(batch)
            report(done)
    wanted, found = sum(map(len, ranks.values())), sum(map(len, trials))
    if found < wanted:
        message = (
            f"{wanted - found} of the {wanted} largest activations come out otherwise than in the fit: is it the "
            f"model, and are they the images, that the dictionary is of?"
        )
        if found == 0:
            raise ValueError(message)
        warnings.warn(f"{message} They are left out", stacklevel=3)
    lost = {k for places in ranks.values() for k in places} - {k for k, own in enumerate(trials) if own}
    return [None if k in lost else _effect(own, n_random) for k, own in enumerate(trials)]


def _ranks(dictionary: ConceptDictionary, n_images: int) -> dict[int, dict[int, int]]:
    """The rows of the samples that activate some concept most, and at which place of which concept each of them is."""
    rows, values = _core.max_activating(dictionary.codes, min(n_images, dictionary.n_samples))
    ranks: dict[int, dict[int, int]] = {}
    for k, rank in np.argwhere(values > 0).tolist():
        ranks.setdefault(int(rows[k, rank]), {})[k] = rank
    return ranks


def _samples(
    dictionary: ConceptDictionary, lmm: "LMM", images: ImageSource, ranks: dict[int, dict[int, int]]
) -> Iterator[_Sample]:
    """Those whose captions still have the word, with what comes before it."""
    names, words = dictionary.sample_ids, dictionary.sample_words
    find = image_finder(images, names, {names[row] for row in ranks})
    for batch in batches(sorted(ranks), _as_extracted(dictionary, _CAPTIONS)):
        found = {names[row]: find(names[row]) for row in batch}
        missing = [name for name, image in found.items() if image is None]
        if missing:
            raise ValueError(f"there is no image of sample {missing[0]!r}: say with images where it is")
        said = caption_tokens(dictionary, lmm, {name: open_image(image, name) for name, image in found.items()})
        for row in batch:
            word = dictionary.word if words is None else words[row]
            tokens = said.get((names[row], word))
            if tokens is not None:
                position = first_changed(lmm, {**dictionary.manifest, "word": word}, tokens)
                yield _Sample(row, ranks[row], found[names[row]], tokens[:position])


def _as_extracted(dictionary: ConceptDictionary, size: int) -> int:
    """No more images at a time than in the extraction: some models take one alone."""
    extracted = dictionary.manifest.get("batch_size")
    return min(size, extracted) if isinstance(extracted, int) else size


def _of_like_length(samples: list[_Sample], size: int) -> Iterator[list[_Sample]]:
    """Batches of samples whose captions begin with as many tokens, and whose images have the same size."""
    groups: dict[Any, list[_Sample]] = {}
    for sample in samples:
        groups.setdefault((len(sample.prefix), image_size(sample.image)), []).append(sample)
    for group in groups.values():
        yield from batches(group, size)


def _tried(
    dictionary: ConceptDictionary, lmm: "LMM", batch: list[_Sample], units: np.ndarray, batch_size: int
) -> list[tuple[int, _Trial]]:
    """What the removal of their concepts changes in samples of like length, each with the concept."""
    pictures = [open_image(sample.image, dictionary.sample_ids[sample.row]) for sample in batch]
    fork = Fork(lmm, module_of(lmm, dictionary), pictures, [sample.prefix for sample in batch], batch_size)
    if len(batch) > 1 and not fork.is_shared:  # one at a time more models let it be shared
        return [found for sample in batch for found in _tried(dictionary, lmm, [sample], units, batch_size)]
    codes = dictionary.encode(fork.states)
    of_fit = dictionary.codes[[sample.row for sample in batch]]
    is_same = np.linalg.norm(codes - of_fit, axis=1) <= _TOLERANCE * np.linalg.norm(of_fit, axis=1)
    if dictionary.manifest.get("token") == "mean":  # of states of which one is changed
        is_same[:] = True
    n_random = len(units) // 2
    pairs = [(i, k, rank) for i in np.flatnonzero(is_same).tolist() for k, rank in batch[i].ranks.items()]
    divergences, asked, differs = [], [], []
    for i, k, rank in pairs:
        u = dictionary.components[k].astype(np.float64)
        deltas = -float(codes[i, k]) * np.concatenate([u[None], np.linalg.norm(u) * units])
        before = fork.log_probabilities[i]
        after = np.stack([branch.log_probabilities for branch in fork.branches([i] * len(deltas), deltas, 1)])
        divergences.append(divergence(before, after))
        for row in (0, 1 + rank % n_random, 1 + n_random + rank % n_random):
            asked.append((i, deltas[row]))
            differs.append(bool(after[row].argmax() != before.argmax()))
    # Nothing that follows sees the states of the last layer: captions change with the next word or not at all.
    if pairs and dictionary.manifest["layer"] != lmm.n_layers - 1:
        differs = _changed(fork, asked, np.array(differs), max_new_tokens(dictionary, len(batch[0].prefix)))
    changed = np.reshape(differs, (-1, 3)).tolist()
    return [(k, _Trial(own, tuple(row))) for (_, k, _), own, row in zip(pairs, divergences, changed, strict=True)]


def _changed(fork: Fork, asked: list[tuple[int, np.ndarray]], differs: np.ndarray, max_new_tokens: int) -> np.ndarray:
    """In which of the cases, beginnings and what is added to their states, the caption becomes another.

    ``differs`` says where the next token already does.
    """
    open_cases = np.flatnonzero(~differs).tolist()
    if not open_cases:
        return differs
    origins = [asked[case][0] for case in open_cases]
    deltas = [asked[case][1] for case in open_cases]
    unchanged = sorted(set(origins))
    all_deltas = np.stack([*(0 * deltas[0] for _ in unchanged), *deltas])
    ids = [branch.ids for branch in fork.branches([*unchanged, *origins], all_deltas, max_new_tokens)]
    before = dict(zip(unchanged, ids, strict=False))
    changed = differs.copy()
    changed[open_cases] = [
        before[origin] != after for origin, after in zip(origins, ids[len(unchanged) :], strict=True)
    ]
    return changed


def _effect(trials: list[_Trial], n_random: int) -> Effect:
    if not trials:
        return Effect(0.0, 0.0, 0.0, 0.0, 1.0, 0, n_random, 0.0, 0.0, 1.0)
    means = np.mean([trial.divergences for trial in trials], axis=0)
    own, random, matched = means[0], means[1 : 1 + n_random], means[1 + n_random :]
    changed = np.mean([trial.changed for trial in trials], axis=0).tolist()
    return Effect(
        divergence=float(own),
        caption_changed=changed[0],
        random_divergence=float(random.mean()),
        random_caption_changed=changed[1],
        p_value=p_value(own, random),
        n_images=len(trials),
        n_random=n_random,
        matched_divergence=float(matched.mean()),
        matched_caption_changed=changed[2],
        matched_p_value=p_value(own, matched),
    )
