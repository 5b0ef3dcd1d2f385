"""A dictionary, measured beside other decompositions, chance and a ceiling."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from coxlmm import _core
from coxlmm.dictionary import ConceptDictionary
from coxlmm.evaluation.baselines import (
    baselines,
    name_of,
    noise_images,
    share_of_l1,
)
from coxlmm.evaluation.bert_score import BertModel
from coxlmm.evaluation.clip_score import ClipModel
from coxlmm.evaluation.judge import Descriptions, Judge
from coxlmm.evaluation.measures import CEILING
from coxlmm.evaluation.result import Evaluation
from coxlmm.evaluation.spread import Spread
from coxlmm.evaluation.stability import found_again, other_fits, require_fit, stability
from coxlmm.evaluation.wording import Wording
from coxlmm.grounding import Contrast, ImageSource, WordChoice, image_finder
from coxlmm.images import open_image
from coxlmm.reconstruction import measured_errors
from coxlmm.states import States

if TYPE_CHECKING:
    from coxlmm.models import LMM

Figures = dict[str, float]

# How near the states of one image are to each other, of their norm, in whatever precision the model computes.
_SAME = 1e-2
_EXTRACTED_ALIKE = ("word", "model_id", "revision", "layer", "stream", "position", "token", "normalized", "decoding")


def evaluate(
    dictionary: ConceptDictionary,
    lmm: "LMM",
    states: States,
    held_out: States,
    *,
    images: ImageSource = None,
    clip: Any = None,
    bert: Any = None,
    methods: Mapping[str, Any] | None = None,
    n_seeds: int = 5,
    n_top: int = 3,
    n_words: int | None = None,
    word_filter: WordChoice = None,
    contrast: Contrast | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measures what a dictionary explains and how well its words fit images that it has not seen.

    Every method is fitted ``n_seeds`` times, with seeds 0, 1, ...; the first fit of the dictionary's own method is the
    dictionary itself, and the others are of its estimator with other seeds than its own. All get their words in the
    same way. Sets ``dictionary.stability`` and ``dictionary.measures``.

    Parameters
    ----------
    dictionary : ConceptDictionary
    lmm : LMM
        The model that the states came from.
    states : States
        Those that the dictionary was fitted to.
    held_out : States
        Of other images, extracted in the same way. With ``references``, there is BERTScore.
    images : mapping, callable, sequence, iterable of samples, directory, or None
        Where the images of ``held_out`` are: see :func:`coxlmm.grounding.ground_images`. For CLIPScore alone.
    clip : path, (model, processor), or ClipModel, optional
        Any CLIP or SigLIP of transformers: see :class:`coxlmm.evaluation.ClipModel`.
    bert : path or BertModel, optional
        Any BERT or RoBERTa of transformers: see :class:`coxlmm.evaluation.BertModel`.
    methods : mapping from name to estimator, optional
        What to compare with. Default: see :func:`coxlmm.evaluation.baselines.baselines`, with the dictionary's number
        of concepts and its ``l1`` (in the same proportion to what they decompose); 0 if its estimator has none.
    n_seeds : int
    n_top : int
        r: how many of the concepts that an image activates most are judged by their words.
    n_words, word_filter, contrast
        How concepts get their words, for all methods: see :meth:`ConceptDictionary.ground`. Default: as the dictionary
        was grounded.
    progress : callable, optional
        Called with the name of each method when its turn comes.

    Returns
    -------
    Evaluation
        With a row for each method, and for

        random_words
            The words of as many random directions as there are concepts: every image gets those of ``n_top`` of them.
        random_states
            States drawn at random as concept vectors.
        noise_images
            The dictionary's own words, with images of noise in the place of those that they were found for.
        references
            The reference captions in the place of words.

        Measures: CLIPScore and BERTScore of the words of the concept that a held-out state activates most, and means
        over the ``n_top`` that it activates most; overlap of the concepts' words; ``relative_error`` of the states of
        the fit and of the held-out ones; what the states of the fit activate (``mean_active`` concepts each, ``zeros``
        of all activations); the share of the held-out states that no concept, or none with words, explains, which
        are not judged; and ``stability``, the cosine of concepts with those of other seeds.

    Raises
    ------
    ValueError
        If the states are not those of the fit, the held-out ones were extracted otherwise (layer, position, ...), are
        among those of the fit, or have no image where ``images`` are given, or ``methods`` has the dictionary's own.
    ImportError
        If ``bert`` is given and ``bert-score`` is not installed.
    """
    if n_seeds < 1 or n_top < 1:
        raise ValueError(f"n_seeds and n_top must be at least 1, got {n_seeds} and {n_top}")
    require_fit(dictionary, states)
    _require_alike(states, held_out)
    _require_unseen(states, held_out)
    left_out: dict[str, str] = {}
    judge, sizes = _judge(held_out, images, clip, bert, left_out)
    wording = Wording(dictionary, lmm, n_words, word_filter, contrast)
    own = name_of(dictionary.estimator)
    if methods is None:
        methods = baselines(states.X, dictionary.n_concepts, share_of_l1(dictionary.estimator, states.X))
        methods = {name: method for name, method in methods.items() if name != own}
    elif own in methods:
        raise ValueError(f"{own!r} is what the dictionary's own method is called: give the other one another name")
    results: dict[str, list[Figures]] = {}
    for name, method in {own: dictionary.estimator, **methods}.items():
        if progress is not None:
            progress(name)
        try:
            first = [dictionary] if name == own else []
            fits = first + other_fits(method, states, n_seeds - len(first), first=bool(first))
        except ValueError as error:
            if name == own:
                raise
            left_out[name] = str(error)
            continue
        words = [wording.of(fit) for fit in fits]
        described = [_descriptions(fit.encode(held_out), of, n_top) for fit, of in zip(fits, words, strict=True)]
        results[name] = [
            _of_fit(fit, held_out) | judge.of_words(texts) | _of_words(of) | _unexplained(texts)
            for fit, of, texts in zip(fits, words, described, strict=True)
        ]
        if n_seeds > 1:
            for i, fit in enumerate(fits):
                results[name][i]["stability"] = stability(fit, fits[:i] + fits[i + 1 :])
        if name == own:
            dictionary.stability = found_again(dictionary, fits[1:]) if n_seeds > 1 else dictionary.stability
            noise = _of_noise(described, judge, sizes)
    if n_seeds == 1:
        left_out["stability"] = "there is one seed, and it compares those of several"
    results["random_words"] = [
        _of_random_words(wording.of_random_directions(seed), len(held_out), judge, n_top, seed)
        for seed in range(n_seeds)
    ]
    results["noise_images"] = noise
    results[CEILING] = [judge.of_references()]
    settings = {
        "word": dictionary.word,
        "model": dictionary.model_name,
        "layer": dictionary.manifest.get("layer"),
        "estimator": repr(dictionary.estimator),
        "n_concepts": dictionary.n_concepts,
        "n_seeds": n_seeds,
        "n_states": len(states),
        "n_held_out": len(held_out),
        "n_top": n_top,
        "n_words": wording.n_words,
        "contrast": wording.contrast,
        "clip": judge.clip and judge.clip.name,
        "bert": judge.bert and judge.bert.name,
        "bert_layer": judge.bert and judge.bert.n_layers,
    }
    evaluation = Evaluation(
        {name: _spreads(figures) for name, figures in results.items() if any(figures)}, own, settings, left_out
    )
    dictionary.measures = {**dictionary.measures, "evaluation": evaluation.summary()}
    return evaluation


def _require_unseen(states: States, held_out: States) -> None:
    # Names alone do not tell: positions in a list begin with 0 in every list. States of the same image differ where it
    # went through the model in another batch, by rounding; those of two images by far more.
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(states.sample_ids):
        rows.setdefault(name, []).append(row)
    seen = [
        name
        for name, x in zip(held_out.sample_ids, held_out.X, strict=True)
        if any(np.linalg.norm(x - states.X[row]) <= _SAME * np.linalg.norm(x) for row in rows.get(name, ()))
    ]
    if seen:
        raise ValueError(
            f"{len(seen)} of {len(held_out)} held-out samples were used in the fit, the first is {seen[0]!r}: give "
            f"states of images that the dictionary has not seen"
        )


def _require_alike(states: States, held_out: States) -> None:
    """Refuses held-out states that were not extracted as those of the fit were."""
    for name in _EXTRACTED_ALIKE:
        own, other = states.manifest.get(name), held_out.manifest.get(name)
        if own is not None and other is not None and own != other:
            raise ValueError(
                f"the held-out states were not extracted as those of the fit were: {name} is {other!r}, and was {own!r}"
            )


def _judge(
    held_out: States, images: ImageSource, clip: Any, bert: Any, left_out: dict[str, str]
) -> tuple[Judge, list[tuple[int, int]]]:
    """Who judges words, and the sizes of the images; says in ``left_out`` what cannot be judged."""
    references = held_out.references
    if references is not None and not all(references):
        raise ValueError(f"a held-out sample has no reference caption: {held_out.sample_ids[references.index(())]!r}")
    if references is None:
        left_out[CEILING] = "the held-out states have no reference captions"
    if bert is None:
        left_out["bert_score"] = "no BERT was given"
    elif references is None:
        left_out["bert_score"] = "the held-out states have no reference captions"
    scorer = None if bert is None or references is None else BertModel.of(bert)
    if clip is None:
        left_out["clip_score"] = "no CLIP was given"
        return Judge(None, scorer, None, references), []
    find = image_finder(images, held_out.sample_ids, set(held_out.sample_ids))
    sizes: list[tuple[int, int]] = []

    def opened() -> Iterator[Image.Image]:
        for name in held_out.sample_ids:
            image = find(name)
            if image is None:
                raise ValueError(
                    f"CLIPScore needs the images of the held-out states, and that of {name!r} is missing: say where "
                    f"they are with images="
                )
            picture = open_image(image, name)
            sizes.append(picture.size)
            yield picture

    model = ClipModel.of(clip)
    return Judge(model, scorer, model.images(opened()), references), sizes


def _of_fit(fit: ConceptDictionary, held_out: States) -> Figures:
    return {
        "relative_error": fit.relative_error,
        "held_out_error": measured_errors(held_out.X, fit.encode(held_out), fit.estimator)[0],
        "mean_active": fit.mean_active,
        "zeros": float(np.mean(fit.codes == 0)),
    }


def _of_words(words: Sequence[Sequence[str]]) -> Figures:
    """Overlap of the concepts that have words."""
    numbers: dict[str, int] = {}
    sets = [[numbers.setdefault(text.casefold(), len(numbers)) for text in some] for some in words if some]
    return {"overlap": _core.overlap(sets)} if len(sets) > 1 else {}


def _unexplained(described: Descriptions) -> Figures:
    return {"unexplained": float(np.mean([not lists for lists in described]))}


def _descriptions(codes: np.ndarray, words: Sequence[Sequence[str]], n_top: int) -> Descriptions:
    """Of every state the words of the concepts that it activates most."""
    indices, activations = _core.most_activating_concepts(codes, min(n_top, codes.shape[1]))
    return [
        [words[k] for k, value in zip(row, values, strict=True) if value > 0 and words[k]]
        for row, values in zip(indices.tolist(), activations.tolist(), strict=True)
    ]


def _of_random_words(words: Sequence[Sequence[str]], n_samples: int, judge: Judge, n_top: int, seed: int) -> Figures:
    """Every sample has those of other directions."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(len(words))[:n_top] for _ in range(n_samples)]
    return _of_words(words) | judge.of_words([[words[k] for k in row if words[k]] for row in chosen])


def _of_noise(descriptions: Sequence[Descriptions], judge: Judge, sizes: list[tuple[int, int]]) -> list[Figures]:
    """What every fit says of the samples, with pictures of noise in the place of theirs."""
    if judge.clip is None:
        return []
    return [
        judge.of_words(described, judge.clip.images(noise_images(sizes, seed)))
        for seed, described in enumerate(descriptions)
    ]


def _spreads(runs: Sequence[Figures]) -> dict[str, Spread]:
    return {measure: Spread.of(run[measure] for run in runs) for measure in runs[0] if all(measure in r for r in runs)}
