"""What a model must do to be called supported. Each check takes a built family and raises when it fails."""

from collections import Counter
from functools import cache, cached_property

import numpy as np
import pytest
import tiny_models
from compatibility.recipes import Family
from tiny_models import WORDS
from transformers import PreTrainedModel

from coxlmm import LMM, ConceptDictionary, SemiNMF, States
from coxlmm.architecture import UnsupportedModelError

TOLERANCE = 1e-4  # relative to a state's norm
MAX_NEW_TOKENS = 6
# Different shapes, so that prompts differ in length where a processor keeps them.
IMAGES = [tiny_models.image(seed, size) for seed, size in enumerate([(32, 32), (64, 32), (32, 96)])]


class Subject:
    """A family, built, with what the checks share."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.model: PreTrainedModel
        self.model, self.processor = family.build()
        self.lmm = LMM(self.model, self.processor, prompt=family.prompt)

    @cached_property
    def captions(self) -> list[str]:
        """What the model says about each image, one at a time."""
        return [self.lmm.caption([image], max_new_tokens=MAX_NEW_TOKENS)[0] for image in IMAGES]

    @cached_property
    def word(self) -> str:
        """The word that most captions hold, if possible not as their first: the cache and the batch then have a say."""
        said = Counter()
        for text in map(str.split, self.captions):
            said.update({word: 1 + 10 * (text.index(word) > 0) for word in set(text) if len(word) > 1})
        return max(sorted(said), key=said.__getitem__)

    def extract(self, images=IMAGES, layer: int | str = -1, **settings) -> States:
        settings = {"batch_size": 1 if self.family.alone else len(IMAGES), "max_new_tokens": MAX_NEW_TOKENS} | settings
        return self.lmm.extract(images, self.word, layer=layer, **settings)

    @cache  # noqa: B019 (few subjects, and each of them is held as long as its tests run)
    def outcome(self, check: str) -> str | None:
        """None when ``check`` passes, the library's message when it refuses as the family says it does."""
        expected = self.family.refuses.get(check)
        if check == "batch" and self.family.alone:
            with pytest.raises((AssertionError, ValueError), match=r"in a batch|one image at a time"):
                batch(self)
            return self.family.alone
        try:
            globals()[check](self)
        except (ValueError, RuntimeError, TypeError) as error:
            if expected is None or expected not in str(error):
                raise
            return str(error)
        assert expected is None, f"{self.family.name} was said to refuse {check!r} ({expected}), and does it"
        return None

    @cached_property
    def layers(self) -> list[str]:
        """The names of a layer in the middle and of the last one."""
        n = self.lmm.n_layers
        return [f"{self.lmm.architecture.layers_name}.{i}" for i in (n // 2 - 1, n - 1)]

    @cached_property
    def has_visual_tokens(self) -> bool:
        """Whether the language model reads visual tokens at positions of its text."""
        try:
            return bool(self.lmm.visual_positions(self.lmm.inputs(IMAGES[:1])).any())
        except UnsupportedModelError:
            return False


def caption(subject: Subject) -> None:
    """Two images in a batch are described, in words, and the words depend on the image."""
    n = 1 if subject.family.alone else 2
    two = subject.lmm.caption(IMAGES[:2], batch_size=n, max_new_tokens=MAX_NEW_TOKENS)
    for text in two:
        assert text
        assert set(text.split()) <= set(WORDS), text
    assert len(set(subject.captions)) > 1, f"whatever the image, the caption is {subject.captions[0]!r}"


def extract(subject: Subject) -> None:
    """States of a middle and of the last layer, each named by its module."""
    middle, last = (subject.extract(layer=layer) for layer in subject.layers)
    width = subject.lmm.architecture.n_features
    assert len(middle) > 0
    assert middle.X.shape == last.X.shape == (len(middle), width)
    assert middle.manifest["layer_name"] == subject.layers[0]
    assert last.manifest["layer_name"] == subject.layers[1]
    assert np.isfinite(middle.X).all()
    assert middle.positions.max() > 0  # more than the prompt was needed to predict it
    assert relative_error(middle.X, last.X) > 0.01
    for text, position in zip(middle.captions, middle.positions, strict=True):
        assert text.split()[position] == subject.word  # here one word is one token


def batch(subject: Subject) -> None:
    """Images of different shapes give in a batch the captions and the states that they give alone."""
    together = subject.lmm.caption(IMAGES, batch_size=len(IMAGES), max_new_tokens=MAX_NEW_TOKENS)
    assert together == subject.captions, "captions differ in a batch"
    for layer in subject.layers:
        in_batch = subject.extract(layer=layer, batch_size=len(IMAGES))
        alone = subject.extract(layer=layer, batch_size=1)
        assert in_batch.captions == alone.captions
        assert relative_error(in_batch.X, alone.X) < TOLERANCE


def forward(subject: Subject) -> None:
    """Each state is what transformers' own ``hidden_states`` hold in a plain forward pass without cache."""
    for layer in subject.layers:
        states = subject.extract(layer=layer, verify=len(IMAGES))
        assert states.manifest["verified"]["n"] == len(states)
        assert states.manifest["verified"]["max_relative_error"] < TOLERANCE


def places(subject: Subject) -> None:
    """Outputs of attention and MLP, and states of the prompt's end and of visual tokens: in a batch as alone."""
    layer = subject.layers[0]
    residual = subject.extract(layer=layer)
    for place in [
        {"stream": "attention"},
        {"stream": "mlp"},
        {"position": "prompt"},
        *([{"position": "visual-mean"}] if subject.has_visual_tokens else []),
    ]:
        in_batch = subject.extract(layer=layer, verify=len(IMAGES), **place)
        alone = subject.extract(layer=layer, batch_size=1, **place)
        assert relative_error(in_batch.X, alone.X) < TOLERANCE
        assert relative_error(in_batch.X, residual.X) > 0.01  # another place, another state


def ground(subject: Subject) -> None:
    """``unembedding @ normalize(state)`` ranks the token that was generated first, and concepts decode to words."""
    states = subject.extract()
    scores = subject.lmm.normalize(states.X) @ subject.lmm.unembedding.T
    assert {subject.lmm.decode_token(token).strip() for token in scores.argmax(axis=1)} == {subject.word}
    dictionary = ConceptDictionary.fit(states, SemiNMF(n_components=1, random_state=0)).ground(subject.lmm)
    words = [word for word, _ in dictionary.concepts[0].words]
    assert subject.word in words


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two rows, as a part of the second one's norm."""
    return float(np.max(np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)))
