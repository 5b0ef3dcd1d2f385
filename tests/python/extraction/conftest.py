import pytest
from extraction.speaking import PROMPT, SENTENCES
from tiny_models import SpeakingLlava, byte_level_tokenizer, one_thread  # noqa: F401 (a fixture of every test here)

from coxlmm import LMM


@pytest.fixture(scope="session")
def speaker():
    words = ["a", "red", "dog", "one", "blue", "zeb", "ra", "runs", "the", "tabby", "cat", "egory", "two", "Cats"]
    tokenizer = byte_level_tokenizer([*words, "this", "hot", "photo"])
    return SpeakingLlava(SENTENCES, tokenizer, prompt=PROMPT)


@pytest.fixture(scope="session")
def lmm(speaker):
    return LMM(speaker.model, speaker.processor, prompt=speaker.prompt)
