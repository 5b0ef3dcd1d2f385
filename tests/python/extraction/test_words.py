"""Words are found as words, in text decoded by real tokenizers of the three families."""

import sys
import unicodedata
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import byte_level_tokenizer, unigram_tokenizer, wordpiece_tokenizer

from coxlmm.words import (
    DecodedTokens,
    TokenSpan,
    WordMatcher,
    WordNotFoundError,
    default_segmentation,
    fold,
    words_of,
)
from coxlmm.words.text import _require_language


def decoded(tokenizer, tokens):
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert tokenizer.unk_token_id not in ids or tokenizer.unk_token_id is None
    return DecodedTokens(ids, lambda i: tokenizer.decode(i, skip_special_tokens=True))


def encoded(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    return DecodedTokens(ids, lambda i: tokenizer.decode(i, skip_special_tokens=True))


def pieces(tokenizer, found, span):
    return tokenizer.convert_ids_to_tokens(list(found.ids[span.start : span.stop]))


def said(matcher, text):
    """What the matcher finds, as it is in the text."""
    span = matcher.find(text)
    return None if span is None else text[slice(*span)]


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
    assert said(WordMatcher(word), text) == expected


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        # Between a script with spaces and one without, a word ends.
        ("一只dog在草地上", "dog", "dog"),
        ("一只dogs在草地上", "dog", None),
        ("T恤衫3只", "3", "3"),
        ("ＤＯＧ！", "dog", "ＤＯＧ"),
        ("a dog", "ｄｏｇ", "dog"),
        ("two ﬁsh", "fish", "ﬁsh"),
        ("eine STRASSE", "straße", "STRASSE"),
        ("eine Straße", "stras", None),
        # Which capital is whose depends on the language.
        ("İSTANBUL", "istanbul", "İSTANBUL"),
        ("ISPARTA", "ısparta", "ISPARTA"),
        ("l’homme", "homme", "homme"),
        ("don't", "don't", "don't"),
        ("C++ code", "C++", "C++"),
        ("개가 달린다", "개가", "개가"),
        ("개가 달린다", "개", None),
        ("a 🐕 runs", "🐕", "🐕"),
        # A guide dog is one character to a reader, though the dog is in it; so is a thumb of some colour.
        ("a 🐕‍🦺 runs", "🐕", None),
        ("👍🏽", "👍", None),
        ("🇫🇷🇩🇪", "🇩🇪", "🇩🇪"),
        ("I ❤️ dogs", "❤", "❤️"),
    ],
)
def test_scripts_forms_and_emoji(text, word, expected):
    assert said(WordMatcher(word), text) == expected


# Text; words that a dictionary finds in it; words that only their characters are in it.
UNSPACED = [
    ("一只狗在沙发上", ["狗", "沙发", "狗在沙发"], ["沙"]),
    ("狗熊和熊猫", ["狗熊", "熊猫"], ["狗", "猫", "熊和熊"]),
    ("犬が走っている。ケーキを食べる", ["犬", "ケーキ", "食べる"], ["ケ", "食"]),
    # Characters that take two units in UTF-16.
    ("𠮷野家で🐕犬が", ["犬"], ["野"]),
    ("แมวนั่งบนโซฟา น้ำ", ["แมว", "โซฟา", "น้ำ"], ["แม", "โซ"]),
    ("ឆ្កែរត់", ["ឆ្កែ"], []),
    ("ຫມາແລ່ນ", ["ຫມາ"], []),
]


@pytest.mark.parametrize(("text", "words", "parts"), UNSPACED)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_scripts_without_spaces(text, words, parts, form):
    text = unicodedata.normalize(form, text)
    for word in words + parts:
        for segmentation in ("icu", "characters"):
            found = said(WordMatcher(word, segmentation=segmentation), text)
            if segmentation == "icu" and word in parts:
                assert found is None
            else:
                assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", word)


def test_characters_are_whole_ones():
    # か and the mark that makes it が, ก and its vowel sign.
    for text, word in [("か\u3099", "か"), ("กิน", "ก")]:
        assert WordMatcher(word, segmentation="characters").find(text) is None
    assert said(WordMatcher("ケーキ"), "ｹｰｷを") == "ｹｰｷ"


def test_how_words_are_found_is_settled_when_the_matcher_is_made(monkeypatch):
    assert WordMatcher("dog", segmentation="icu").segmentation is None
    assert WordMatcher("狗").segmentation == "icu"
    with monkeypatch.context() as without:
        without.setattr("coxlmm.words.text.find_spec", lambda name: None)
        default_segmentation.cache_clear()
        there = WordMatcher("狗")
        assert there.segmentation == "characters"
        assert words_of("狗熊") == {"狗", "熊"}
    default_segmentation.cache_clear()
    # States that were extracted without ICU are explained in the same way where it is.
    again = WordMatcher.of(asdict(there))
    assert again == there
    assert again.find("狗熊") == (0, 1)
    assert WordMatcher("狗").find("狗熊") is None
    with pytest.raises(ValueError, match=r"icu, characters.*got 'jieba'"):
        WordMatcher("狗", segmentation="jieba")


def test_words_of_scripts_without_spaces():
    assert words_of("一只狗，A dog's 犬が") == {"一只", "狗", "a", "dog", "s", "犬", "が"}


WORDS = ["dog", "Dogs", "hot dog", "é", "ß", "狗", "ケーキ", "แมว", "कमल", "개", "🐕", "ıi", "running"]
AROUND = st.sampled_from(["", " ", "a ", "狗", "的", "x", "。", "ं", "\u0301", "🐕", "-", "'s", "แมว", "ー", "I", "ss"])


@settings(max_examples=300, deadline=None)
@given(before=AROUND, word=st.sampled_from(WORDS), after=AROUND, form=st.sampled_from(["NFC", "NFD"]))
def test_what_is_found_is_the_word_between_boundaries(before, word, after, form):
    text = unicodedata.normalize(form, before + word + after)
    found = WordMatcher(word).find(text)
    inflected = WordMatcher(word, inflections="en").find(text)
    if found is not None:
        start, stop = found
        assert fold(text[start:stop]) == fold(word)
        assert inflected is not None
        assert inflected <= found
        assert WordMatcher(word, segmentation="characters").find(text) <= found
    if before.isspace() and after in (" ", "。", "-", "'s"):
        assert text[slice(*found)] == unicodedata.normalize(form, word)


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
    assert WordMatcher("Dog", case_sensitive=True).find("a Ｄｏｇ") == (2, 5)
    assert WordMatcher("Dog", case_sensitive=True).find("a ｄｏｇ") is None


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
        # Capitals hide from the dictionary that this one is of another word: it is there all the same.
        ("Abbekommene", "de", "ABBEKOMMENE", "ABBEKOMMENE"),
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
    for other in ("dog", "Dog"):
        assert WordMatcher(other, case_sensitive=True, inflections="en").find("DOGS") is None
    assert WordMatcher("DOG", case_sensitive=True, inflections="en").find("DOGS") == (0, 4)


def test_an_unknown_language_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"en, .*got 'english'"):
        WordMatcher("dog", inflections="english")


@pytest.mark.parametrize(
    ("module", "options"), [("simplemma", {"inflections": "en"}), ("icu4py", {"segmentation": "icu"})]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, module, options):
    _require_language.cache_clear()
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


def test_of_several_words_the_first_is_found():
    matcher = WordMatcher.of({"word": ["cat", "hot dog"], "inflections": None})
    assert matcher.find("a hot dog and a cat") == (2, 9)
    assert matcher.find("a cat and a hot dog") == (2, 5)
    assert matcher.find("a dog in a category") is None
    tokens = DecodedTokens([0, 1, 2, 3], lambda ids: "".join(["a hot", " dog", " and", " cat"][i] for i in ids))
    assert matcher.find_tokens(tokens) == TokenSpan(0, 2)
