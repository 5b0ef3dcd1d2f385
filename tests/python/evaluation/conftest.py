import numpy as np
import pytest
from concepts.world import PROMPT, SENTENCES
from tiny_models import SpeakingLlava, byte_level_tokenizer, image, one_thread  # noqa: F401 (a fixture of every test)

from coxlmm import LMM, ConceptDictionary, SemiNMF, States
from coxlmm.demo.evaluate import installed_bert
from coxlmm.evaluation import BertModel

OTHER_WORDS = ["boat", "house", "tree", "train", "music", "seven", "window", "paper", "river", "stone", "cloud", "lamp"]


@pytest.fixture(scope="session")
def bert():
    return BertModel(installed_bert())


@pytest.fixture(scope="session")
def speaker():
    words = sorted({word for sentence in SENTENCES for word in sentence.split()} | set(OTHER_WORDS))
    return SpeakingLlava(SENTENCES, byte_level_tokenizer(words), prompt=PROMPT)


@pytest.fixture(scope="session")
def lmm(speaker):
    return LMM(speaker.model, speaker.processor, prompt=PROMPT)


@pytest.fixture(scope="session")
def spoken(lmm, speaker):
    """The six states that predict "dog", of three kinds, with what was said as the reference."""
    return lmm.extract(speaker.images, "dog", references=SENTENCES)


def varied(spoken, n, seed):
    """States of ``n`` samples as those spoken, each a little different, and the pictures of these samples."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(spoken), n)
    some = spoken.subset(rows)
    some.X = some.X * rng.uniform(0.8, 1.2, (n, 1)) + 0.02 * rng.standard_normal(some.X.shape)
    some = States(**{**vars(some), "sample_ids": [f"{seed}-{i}" for i in range(n)]})
    return some, {name: image(1000 * seed + i) for i, name in enumerate(some.sample_ids)}


@pytest.fixture(scope="session")
def states(spoken):
    return varied(spoken, 60, 1)[0]


@pytest.fixture(scope="session")
def unseen(spoken):
    return varied(spoken, 20, 2)


@pytest.fixture
def dictionary(states):
    """Three kinds of states, three concepts: they say "dog" alone, since contrast would leave out what all say."""
    fitted = ConceptDictionary.fit(states, SemiNMF(3, l1=0.01, random_state=0))
    fitted.manifest["grounding"] = {"n_words": 1, "contrast": "none", "word_filter": {}}
    return fitted
