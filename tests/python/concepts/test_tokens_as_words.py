"""Which words the tokens of a vocabulary are, or begin: in captions, in languages, and by the published code's rule."""

import json
import sys

import pytest
import wordfreq
from concepts.lens_models import COMPONENT, scoring
from tiny_models import byte_level_tokenizer, unigram_tokenizer

from coxlmm.grounding import PublishedFilter, WordFilter, ground_words
from coxlmm.grounding.filters import _frequencies, _stop_words, _webster, zipf_frequency


def words_of(lmm, n_words, captions=(), word_filter=None):
    (found,) = ground_words(COMPONENT, lmm, n_words, word_filter, captions=captions)
    return [(text, round(score, 3)) for text, score in found]


@pytest.fixture(scope="module")
def fragments():
    return scoring(
        byte_level_tokenizer(["do", "berman", "zzq", "cat"]), {"Ġdo": 5, "Ġzzq": 4, "Ġcat": 3, "berman": 9, "do": 8}
    )


def test_a_token_that_begins_a_word_of_the_captions_is_that_word(fragments):
    assert words_of(fragments, 3) == [("do", 5), ("zzq", 4), ("cat", 3)]
    assert words_of(fragments, 3, ["a doberman", "the cat"]) == [("doberman", 5), ("zzq", 4), ("cat", 3)]
    # What more captions have: the token by itself, or the word that it begins.
    assert words_of(fragments, 1, ["a doberman", "we do", "they do"]) == [("do", 5)]
    assert words_of(fragments, 1, ["a doberman", "we do", "my doberman"]) == [("doberman", 5)]
    # A caption that occurs often counts as often.
    assert words_of(fragments, 1, ["we do", "they do", *["a doberman"] * 3]) == [("doberman", 5)]
    # A word that contains the letters elsewhere says nothing, nor does one that the token ends in.
    assert words_of(fragments, 1, ["an undo", "a berman"]) == [("do", 5)]


def test_a_first_word_without_a_space_is_spelt_as_no_other(fragments):
    assert words_of(fragments, 1, ["doberman"]) == [("do", 5)]


def test_completed_words_go_through_the_filter(fragments):
    captions = ["a doberman"]
    assert words_of(fragments, 1, captions, WordFilter(stop_words=["Doberman"])) == [("zzq", 4)]
    assert words_of(fragments, 1, captions, WordFilter(min_length=9)) == []


def test_a_character_of_several_tokens_is_one_word_and_never_its_bytes():
    tokenizer = byte_level_tokenizer(["dog"])
    first, *rest = tokenizer.tokenize("狗")
    assert len(rest) == 2
    lmm = scoring(tokenizer, {first: 9, rest[0]: 8, rest[1]: 7, "Ġdog": 2})
    assert words_of(lmm, 1, word_filter=WordFilter(min_length=3)) == [("dog", 2)]
    for captions in (["一只狗在草地上", "那只狗"], ["狗"]):
        assert words_of(lmm, 2, captions, WordFilter(min_length=3)) == [("狗", 9), ("dog", 2)]


def test_byte_fallback_of_sentencepiece_likewise():
    tokenizer = unigram_tokenizer(["▁dog", "一", "只"])
    lmm = scoring(tokenizer, {"<0xE7>": 9, "<0x8B>": 8, "<0x97>": 7, "▁dog": 2})
    assert words_of(lmm, 1) == [("dog", 2)]
    assert words_of(lmm, 2, ["一只狗"]) == [("狗", 9), ("dog", 2)]


def test_a_token_that_reaches_into_a_word_does_not_begin_it():
    tokenizer = byte_level_tokenizer(["和狗"])  # whose beginnings are tokens, too
    both, *rest = tokenizer.tokenize("和猫")
    assert len(rest) == 2  # of three bytes of 猫, the first is in the token with 和
    lmm = scoring(tokenizer, {both: 9})
    captions = ["鸟和猫", "一只猫", "猫在草地上"]
    assert words_of(lmm, 1, captions)[0] == ("和", 9)


def test_a_language_tells_words_from_other_tokens():
    tokenizer = byte_level_tokenizer(["aneur", "httpresponse", "Seaweed", "dog", "doberman", "狗"])
    lmm = scoring(tokenizer, {"Ġaneur": 9, "Ġhttpresponse": 8, "ĠSeaweed": 7, "Ġdoberman": 6, "Ġdog": 5})
    english = {"languages": ["en"], "min_length": 3}
    assert words_of(lmm, 2, word_filter=WordFilter(**english)) == [("Seaweed", 7), ("dog", 5)]
    assert words_of(lmm, 1, word_filter=WordFilter(**english, min_zipf=4)) == [("dog", 5)]
    rare = WordFilter(**english, min_zipf=2)
    assert words_of(lmm, 3, word_filter=rare) == [("Seaweed", 7), ("doberman", 6), ("dog", 5)]
    # What the model says is a word, whatever the dictionary has.
    assert words_of(lmm, 1, ["an aneur"], WordFilter(**english)) == [("aneur", 9)]


def test_one_of_several_languages_is_enough():
    tokenizer = byte_level_tokenizer(["squirrel", "Eichhörnchen", "狗"])
    lmm = scoring(tokenizer, dict(zip(tokenizer.tokenize(" squirrel Eichhörnchen狗"), (3, 2, 1), strict=True)))
    found = {
        code: {text for text, _ in words_of(lmm, 3, word_filter=WordFilter(languages=code.split("+"), min_length=5))}
        for code in ("en", "de", "zh", "de+zh")
    }
    assert found == {"en": {"squirrel"}, "de": {"Eichhörnchen"}, "zh": {"狗"}, "de+zh": {"Eichhörnchen", "狗"}}


def test_frequencies_are_those_of_wordfreq_and_of_no_other_words():
    for word, language in (("dog", "en"), ("Dog", "en"), ("été", "fr"), ("ışık", "tr"), ("كلب", "ar")):
        assert zipf_frequency(word, language) == pytest.approx(wordfreq.zipf_frequency(word, language), abs=0.006)
        assert zipf_frequency(word, language) > 3
    assert zipf_frequency("狗", "zh") > 4
    # Two words that belong to no compound: wordfreq adds their frequencies up.
    assert zipf_frequency("狗草", "zh") == 0
    assert zipf_frequency("aneur", "en") == 0


def test_forms_of_one_word_are_one_word_in_its_dictionary_form():
    tokenizer = byte_level_tokenizer(["dogs", "dog", "Dogs", "mice", "running", "ran", "cat"])
    scores = {"ĠDogs": 9, "Ġmice": 8, "Ġdogs": 7, "Ġrunning": 6, "Ġdog": 5, "Ġran": 4, "Ġcat": 3}
    lmm = scoring(tokenizer, scores)
    merged = WordFilter(inflections="en", min_length=3)
    assert words_of(lmm, 4, word_filter=merged) == [("Dog", 9), ("mouse", 8), ("run", 6), ("cat", 3)]
    apart = words_of(lmm, 3, word_filter=WordFilter(min_length=3))
    assert apart == [("Dogs", 9), ("mice", 8), ("running", 6)]


def test_stop_words_of_languages():
    assert {"und", "der"} <= WordFilter(stop_words="de").stop_words
    assert "hund" not in WordFilter(stop_words="de").stop_words
    assert "的" in WordFilter(stop_words="zh").stop_words
    assert "the" in WordFilter(stop_words="english").stop_words
    assert WordFilter(stop_words=["DER"])("der", True) is None


@pytest.mark.parametrize(
    ("token", "word"),
    [
        (" Dog", "dog"), ("ing", "ing"), ("42", "42"), ("1e5", "1e5"), ("nan", "nan"), (" horses", None), ("ox", None),
        (" the", None), (" aneur", None), ("John", None), ("--", None), ("狗", None), (None, None),
    ],
)  # fmt: skip
def test_the_published_filter(token, word):
    """In lower case: nltk's words (Webster's: names have a capital there, plurals are rare) and numbers."""
    assert PublishedFilter()(token, False) == word
    assert PublishedFilter(stop_words=["dog"])(" dog", True) is None


def test_the_published_filter_looks_at_fifty_tokens():
    tokenizer = byte_level_tokenizer(["dog"])
    letters = [token for token in tokenizer.get_vocab() if len(token) == 1 and not token.isalnum()][:49]
    lmm = scoring(tokenizer, dict.fromkeys(letters, 9) | {"Ġdog": 5, "dog": 4})
    assert words_of(lmm, 1, word_filter="published") == [("dog", 5)]
    lmm = scoring(tokenizer, dict.fromkeys([*letters, "Ġdo"], 9) | {"Ġdog": 5, "dog": 4})
    assert words_of(lmm, 1, word_filter="published") == []


def test_filters_are_kept_as_json():
    for accept in (WordFilter(stop_words="english", languages=("en", "de")), WordFilter(), PublishedFilter()):
        assert json.loads(json.dumps(accept.to_dict())) == accept.to_dict()
    assert WordFilter(stop_words="english").to_dict()["stop_words"] == "english"
    assert WordFilter(stop_words={"B", "a"}).to_dict()["stop_words"] == ["a", "b"]


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"languages must be among .*\ben\b.*, got 'xx'"):
        WordFilter(languages=["xx"])
    with pytest.raises(ValueError, match="collection of codes, got the string 'en'"):
        WordFilter(languages="en")
    with pytest.raises(ValueError, match="got 'xx'"):
        WordFilter(inflections="xx")


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("wordfreq", lambda: WordFilter(languages=["en"])),
        ("stop_words", lambda: WordFilter(stop_words="de")),
        ("english_words", PublishedFilter),
    ],
)
def test_a_package_that_is_missing_is_named(monkeypatch, package, make):
    for cached in (_frequencies, _webster):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'coxlmm\[words\]'"):
        make()
    assert _stop_words("english")
