"""Words are found as words, in text decoded by real tokenizers of the three families."""

import sys
import unicodedata
from collections import Counter

import pytest
from tiny_models import byte_level_tokenizer, unigram_tokenizer, wordpiece_tokenizer

from coxlmm import words
from coxlmm.words import DecodedTokens, TokenSpan, WordMatcher, WordNotFoundError, fold, words_of


def decoded(tokenizer, tokens):
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert tokenizer.unk_token_id not in ids or tokenizer.unk_token_id is None
    return DecodedTokens(ids, lambda i: tokenizer.decode(i, skip_special_tokens=True))


def encoded(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    return DecodedTokens(ids, lambda i: tokenizer.decode(i, skip_special_tokens=True))


def pieces(tokenizer, found, span):
    return tokenizer.convert_ids_to_tokens(list(found.ids[span.start : span.stop]))


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("a dog runs", "dog", "dog"),
        ("a Dog runs", "dog", "Dog"),
        ("category, cat!", "cat", "cat"),
        ("the dog's bone", "dog", "dog"),
        ("a dog-house", "dog", "dog"),
        ("dog", "dog", "dog"),
        ("dogs", "dog", None),
        ("hotdog", "dog", None),
        ("dog_2", "dog", None),
        ("dog2", "dog", None),
        ("a hot  dog", "hot dog", "hot  dog"),
        ("a hot\ndog", "hot dog", "hot\ndog"),
        ("a hot dogma", "hot dog", None),
        ("what is 3.5?", "3.5", "3.5"),
        ("what is 375?", "3.5", None),
        ("ein Fußball", "fussball", "Fußball"),
        ("un café noir", "café", "café"),
        ("a cafeteria", "cafe", None),
        # In Devanagari the vowel sign is a combining mark: the shorter word ends inside the longer one.
        ("कमला", "कमल", None),
        ("कमल है", "कमल", "कमल"),
    ],
)
def test_word_boundaries_follow_unicode(text, word, expected):
    span = WordMatcher(word).find(text)
    assert (None if span is None else text[slice(*span)]) == expected


def test_composed_and_decomposed_spellings_are_the_same_word():
    composed, decomposed = (unicodedata.normalize(form, "un café noir") for form in ("NFC", "NFD"))
    assert composed != decomposed
    for word in ("café", unicodedata.normalize("NFD", "café")):
        for text in (composed, decomposed):
            start, stop = WordMatcher(word).find(text)
            assert unicodedata.normalize("NFC", text[start:stop]) == "café"


def test_case_is_an_option():
    assert WordMatcher("dog", case_sensitive=True).find("a Dog") is None
    assert WordMatcher("Dog", case_sensitive=True).find("a Dog") == (2, 5)


@pytest.mark.parametrize(
    ("word", "language", "text", "expected"),
    [
        ("dog", "en", "two Dogs", "Dogs"),
        ("dogs", "en", "a dog", "dog"),
        ("mouse", "en", "three mice", "mice"),
        ("run", "en", "a dog is running", "running"),
        ("cat", "en", "a category of cats", "cats"),
        ("hot dog", "en", "two hot  dogs", "hot  dogs"),
        ("running dog", "en", "the dog runs, dogs ran; it runs dogs", "runs dogs"),
        # The dictionary form of "saw" is "see", and "saw" is the one of "saws".
        ("saw", "en", "two saws", "saws"),
        ("saw", "en", "a saw", "saw"),
        ("Hund", "de", "zwei Hunde", "Hunde"),
        ("Fußball", "de", "zwei Fußbälle", "Fußbälle"),
        ("fussball", "de", "ZWEI FUSSBALL", "FUSSBALL"),
        ("cheval", "fr", "des chevaux", "chevaux"),
        ("ışık", "tr", "Işıklar yanıyor", "Işıklar"),
    ],
)
def test_inflections(word, language, text, expected):
    start, stop = WordMatcher(word, inflections=language).find(text)
    assert text[start:stop] == expected
    if fold(word) not in fold(text):
        assert WordMatcher(word).find(text) is None


def test_inflections_keep_case_where_it_counts():
    matcher = WordMatcher("Dog", case_sensitive=True, inflections="en")
    assert matcher.find("Dogs") == (0, 4)
    assert matcher.find("dogs") is None
    assert WordMatcher("dog", case_sensitive=True, inflections="en").find("DOGS") is None


def test_an_unknown_language_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"en, .*got 'english'"):
        WordMatcher("dog", inflections="english")


@pytest.mark.parametrize(
    ("module", "options"), [("simplemma", {"inflections": "en"}), ("icu4py", {"segmentation": "icu"})]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, options):
    words._require_language.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs the package {module}.*coxlmm\[words\]"):
        WordMatcher("狗", **options)


@pytest.mark.parametrize("word", ["", "  ", None, 3])
def test_a_blank_word_is_refused(word):
    with pytest.raises(ValueError, match=repr(word)):
        WordMatcher(word)


def test_byte_level_first_token_is_not_the_word():
    tokenizer = byte_level_tokenizer(["a", "cat", "egory", "zeb", "ra"])
    for text, tokens in [(" a category", ["Ġa", "Ġcat", "egory"]), (" a zebra", ["Ġa", "Ġzeb", "ra"])]:
        assert encoded(tokenizer, text).ids == decoded(tokenizer, tokens).ids
    assert WordMatcher("cat").find_tokens(decoded(tokenizer, ["Ġa", "Ġcat", "egory"])) is None
    assert WordMatcher("cat").find_tokens(decoded(tokenizer, ["Ġa", "Ġcat", "egory", "Ġcat"])) == TokenSpan(3, 4)
    zebra = decoded(tokenizer, ["Ġa", "Ġzeb", "ra", ",", "Ġa"])
    assert WordMatcher("zebra").find_tokens(zebra) == TokenSpan(1, 3)
    assert WordMatcher("zeb").find_tokens(zebra) is None
    assert WordMatcher("ra").find_tokens(zebra) is None


def test_a_word_spelt_otherwise_than_the_tokenizer_would():
    tokenizer = byte_level_tokenizer(["a", "cat"])
    odd = decoded(tokenizer, ["Ġa", "Ġ", "c", "at" if "at" in tokenizer.get_vocab() else "a", "t", "."])
    assert odd.text == " a cat."
    assert tokenizer.encode(odd.text, add_special_tokens=False) != list(odd.ids)
    # The token of the space alone is not of the word.
    assert WordMatcher("cat").find_tokens(odd) == TokenSpan(2, 5)


def test_characters_of_several_byte_tokens():
    tokenizer = byte_level_tokenizer(["un", "noir"])
    found = encoded(tokenizer, " un écu 🐕 noir")
    assert found.text == " un écu 🐕 noir"
    span = WordMatcher("écu").find_tokens(found)
    assert tokenizer.decode(list(found.ids[span.start : span.stop])).strip() == "écu"
    # é is two tokens: both belong to the word, the first of them is the one that must be predicted.
    assert pieces(tokenizer, found, span)[-4:] == ["Ã", "©", "c", "u"]
    noir = WordMatcher("noir").find_tokens(found)
    assert pieces(tokenizer, found, noir) == ["Ġnoir"]
    # Every character has a token, and no token reaches beyond its neighbours.
    assert {c for a, b in found.spans for c in range(a, b)} == set(range(len(found.text)))
    assert all(a <= c <= b for (a, b), (c, _) in zip(found.spans, found.spans[1:], strict=False))


def test_text_cut_inside_a_character():
    tokenizer = byte_level_tokenizer(["dog"])
    found = decoded(tokenizer, ["Ġdog", "ð", "Ł"])
    assert "\N{REPLACEMENT CHARACTER}" in found.text
    assert WordMatcher("dog").find_tokens(found) == TokenSpan(0, 1)


def test_unigram():
    tokenizer = unigram_tokenizer(["▁a", "▁hot", "▁dog", "▁cat", "egor", "y", "."])
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("a category.", add_special_tokens=False)) == [
        "▁a", "▁cat", "egor", "y", ".",
    ]  # fmt: skip
    assert WordMatcher("cat").find_tokens(encoded(tokenizer, "a category.")) is None
    assert WordMatcher("category").find_tokens(encoded(tokenizer, "a category.")) == TokenSpan(1, 4)
    assert WordMatcher("hot dog").find_tokens(encoded(tokenizer, "a hot dog.")) == TokenSpan(1, 3)
    # The first token's space is dropped from the text: the spans are of the text that is there.
    assert WordMatcher("dog").find_tokens(encoded(tokenizer, "dog.")) == TokenSpan(0, 1)


def test_unigram_byte_fallback():
    tokenizer = unigram_tokenizer(["▁a", "▁dog"])
    found = encoded(tokenizer, "a 犬 dog")
    assert [t for t in tokenizer.convert_ids_to_tokens(list(found.ids)) if t.startswith("<0x")] == [
        "<0xE7>", "<0x8A>", "<0xAC>",
    ]  # fmt: skip
    assert pieces(tokenizer, found, WordMatcher("犬").find_tokens(found)) == ["<0xE7>", "<0x8A>", "<0xAC>"]
    assert pieces(tokenizer, found, WordMatcher("dog").find_tokens(found)) == ["▁dog"]


def test_wordpiece():
    tokenizer = wordpiece_tokenizer(["a", "cat", "##egory", "dog", "##s", "."])
    found = encoded(tokenizer, "a category. dogs")
    assert tokenizer.convert_ids_to_tokens(list(found.ids)) == ["a", "cat", "##egory", ".", "dog", "##s"]
    assert WordMatcher("cat").find_tokens(found) is None
    assert WordMatcher("category").find_tokens(found) == TokenSpan(1, 3)
    assert WordMatcher("dog").find_tokens(found) is None
    assert WordMatcher("dog", inflections="en").find_tokens(found) == TokenSpan(4, 6)


def test_special_tokens_contribute_nothing():
    tokenizer = byte_level_tokenizer(["a", "dog"])
    found = decoded(tokenizer, ["<s>", "Ġa", "<image>", "Ġdog", "</s>"])
    assert found.text == " a dog"
    assert WordMatcher("dog").find_tokens(found) == TokenSpan(3, 4)


def test_first_occurrence():
    tokenizer = byte_level_tokenizer(["a", "dog"])
    assert WordMatcher("dog").find_tokens(decoded(tokenizer, ["Ġa", "Ġdog", "Ġa", "Ġdog"])) == TokenSpan(1, 2)


def test_the_error_names_the_frequent_words():
    counts = Counter()
    for text in ["a cat, a Cat", "the cat sat", "a bird"]:
        counts.update(words_of(text))
    error = WordNotFoundError.among(WordMatcher("dog"), counts, "none of 3 captions", n=3)
    assert "'dog'" in str(error)
    assert "a (2), cat (2), bird (1)" in str(error)


def test_a_matcher_of_a_manifest():
    assert WordMatcher.of({"word": "dog"}) == WordMatcher("dog")
    options = {"case_sensitive": True, "inflections": "en"}
    assert WordMatcher.of({"word": "dog", "layer": 2, **options}) == WordMatcher("dog", **options)


def test_the_packages_that_have_a_say_are_known():
    assert WordMatcher("dog").packages == ()
    assert WordMatcher("狗", inflections="en", segmentation="icu").packages == ("simplemma", "icu4py")
    assert WordMatcher("狗", segmentation="characters").packages == ()
