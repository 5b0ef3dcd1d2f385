import numpy as np
import pytest
from concepts.world import ANIMALS, PROMPT, SENTENCES, noise_image
from tiny_models import SpeakingLlava, byte_level_tokenizer, one_thread  # noqa: F401 (a fixture of every test here)

from coxlmm import LMM, ConceptDictionary, SemiNMF, States
from coxlmm.grounding import Word, ground_images


@pytest.fixture(scope="session")
def speaker():
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    return SpeakingLlava(SENTENCES, byte_level_tokenizer(words), prompt=PROMPT)


@pytest.fixture(scope="session")
def lmm(speaker):
    return LMM(speaker.model, speaker.processor, prompt=PROMPT)


@pytest.fixture(scope="session")
def dog_states(lmm, speaker):
    return lmm.extract(speaker.images, "dog")


@pytest.fixture
def dog_dictionary(lmm, speaker, dog_states):
    """Grounded in the model that says what it was made to say: its states are known."""
    estimator = SemiNMF(3, l1=0.01, random_state=0)
    return ConceptDictionary.fit(dog_states, estimator).ground(lmm, images=speaker.images, n_words=3, contrast="none")


@pytest.fixture
def states():
    """Sparse combinations of four signed directions, of samples with names and captions."""
    rng = np.random.default_rng(0)
    n = 60
    codes = rng.exponential(2.0, (n, 4)) * (rng.random((n, 4)) < 0.5)
    X = codes @ rng.standard_normal((4, 12)) + 0.05 * rng.standard_normal((n, 12))
    return States(
        X=X,
        sample_ids=[f"photos/{i}.png" for i in range(n)],
        captions=[f"a dog and {ANIMALS[i % len(ANIMALS)]} number {i}" for i in range(n)],
        positions=np.ones(n),
        manifest={"word": "dog", "layer": 2, "n_layers": 3, "model_id": "owner/model", "prompt": PROMPT},
    )


@pytest.fixture
def dictionary(states):
    """Grounded without a model: words that were not looked up, images of noise."""
    fitted = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    fitted.words = [[Word(f"{animal}{k}", 9.5 - k) for k in range(5)] for animal in ANIMALS]
    fitted.images = ground_images(
        fitted.codes, fitted.sample_ids, fitted.captions, 6, lambda sample_id: noise_image(len(sample_id), 40)
    )
    return fitted
