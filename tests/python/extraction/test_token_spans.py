"""Which characters each token contributes, with tokenizers of every family, trained here on a text of many scripts.

The truth is known without decoding any prefix: the bytes that a token stands for are concatenated, and a token
contributes to a character if one of its bytes is among those of the character.
"""

import io
from itertools import pairwise

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from coxlmm.words import DecodedTokens, TokenSpan, WordMatcher, words_of

CORPUS = [
    "a brown dog is sitting on a green couch, next to the cat.", "two dogs are running on the beach",
    "un écu et un café noir à côté d'une forêt", "Straße, Fußball und ein großer Hund", "ışıklar İstanbul'da yanıyor",
    "一只小狗在草地上奔跑。狗熊和熊猫在吃竹子", "犬が走っている。ケーキを食べる猫", "สุนัขกำลังวิ่งบนหญ้า แมวนั่งบนโซฟา",
    "कमल का फूल और एक कुत्ता", "개가 잔디 위를 달린다", "a dog 🐕 and a family 👨‍👩‍👧 in 🇫🇷, thumbs up 👍🏽",
    "a category of hot dogs and a hotdog",
]  # fmt: skip
SPECIAL = ["<s>", "</s>", "<image>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


class Family:
    """A trained tokenizer.

    Attributes
    ----------
    encode, decode : callable
        ``decode`` leaves special tokens out.
    spelt : dict of bytes
        By id; nothing for special tokens.
    special : list of int
    """

    def __init__(self, encode, decode, spelt):
        self.encode, self.decode, self.spelt = encode, decode, spelt
        self.special = [i for i, spelling in spelt.items() if not spelling]

    def decoded(self, ids):
        return DecodedTokens(ids, self.decode)

    def spelled(self, ids):
        return b"".join(self.spelt[i] for i in ids)


def of(tokenizer, spelling):
    def decode(ids):
        return tokenizer.decode(ids, skip_special_tokens=True)

    spelt = {i: b"" if t in SPECIAL else spelling(t) for t, i in tokenizer.get_vocab().items()}
    return Family(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, decode, spelt)


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # What GPT-2 shows for each byte: printable ones as themselves, the others from U+0100 on, in order.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    shown = {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}
    return of(tokenizer, lambda token: bytes(shown[c] for c in token))


def byte_or_piece(token):
    return bytes([BYTES.index(token)]) if token in BYTES else token.replace("▁", " ").encode()


def unigram():
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    trained.train_from_iterator(CORPUS[:6], trainer)
    pieces = [(t, -float(i)) for t, i in sorted(trained.get_vocab().items(), key=lambda item: item[1])]
    # Bytes for what the training text did not have.
    tokenizer = Tokenizer(models.Unigram(pieces + [(b, -500.0) for b in BYTES], unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(SPECIAL)
    return of(tokenizer, byte_or_piece)


def bpe_with_byte_fallback():
    """As sentencepiece itself trains and decodes it (Llama 2), words of several allowed in one piece."""
    model = io.BytesIO()
    sentences = [*CORPUS[:6], *["the hot dog"] * 30]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", vocab_size=400, byte_fallback=True,
        character_coverage=1.0, split_by_whitespace=False, add_dummy_prefix=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    spelt = {
        i: b"" if processor.is_control(i) or processor.is_unknown(i) else byte_or_piece(processor.id_to_piece(i))
        for i in range(len(processor))
    }

    def decode(ids):
        return processor.decode([i for i in ids if spelt[i]])

    return Family(processor.encode, decode, spelt)


FAMILIES = {f.__name__: f() for f in (byte_level, unigram, bpe_with_byte_fallback)}


def truth(family, ids):
    """For each token the characters that its bytes are of, for tokens that spell valid UTF-8 together."""
    text = family.spelled(ids).decode()
    owner = [n for n, c in enumerate(text) for _ in c.encode()]
    spans, at = [], 0
    for i in ids:
        own = owner[at : at + len(family.spelt[i])]
        at += len(own)
        spans.append((own[0], own[-1] + 1) if own else None)
    return text, spans


def oddly(family, text, data):
    """Ids that spell ``text``, with pieces of any length and special tokens anywhere."""
    ids, rest = [], text.encode()
    by_start = {}
    for i, spelling in family.spelt.items():
        by_start.setdefault(spelling[:1], []).append(i)
    while rest:
        if data.draw(st.integers(0, 9)) == 0:
            ids.append(data.draw(st.sampled_from(family.special)))
        fitting = [i for i in by_start.get(rest[:1], ()) if rest.startswith(family.spelt[i])]
        ids.append(data.draw(st.sampled_from(fitting)))
        rest = rest[len(family.spelt[ids[-1]]) :]
    return ids


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("text", CORPUS)
def test_as_the_tokenizer_spells_it(family, text):
    ids = family.encode(text)
    found = family.decoded(ids)
    spelt, spans = truth(family, ids)
    assert found.text == spelt == text
    assert list(found.spans) == spans


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_in_odd_places(family, data):
    text = data.draw(st.sampled_from(CORPUS))
    ids = oddly(family, text, data)
    found = family.decoded(ids)
    spelt, spans = truth(family, ids)
    assert found.text == spelt == text
    for span, expected in zip(found.spans, spans, strict=True):
        if expected is not None:
            assert span == expected
    word = data.draw(st.sampled_from(sorted(words_of(text))))
    matcher = WordMatcher(word)
    start, stop = matcher.find(text)
    under = [n for n, span in enumerate(spans) if span and span[0] < stop and span[1] > start]
    # Asked for alone, so that it ends at the word.
    assert matcher.find_tokens(family.decoded(ids)) == TokenSpan(under[0], under[-1] + 1)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_model_says_is_covered_in_order(family, data):
    ids = data.draw(st.lists(st.sampled_from(sorted(family.spelt)), max_size=40))
    found = family.decoded(ids)
    spans = found.spans
    assert len(spans) == len(ids)
    assert {c for a, b in spans for c in range(a, b)} == set(range(len(found.text)))
    assert all(a <= b <= len(found.text) for a, b in spans)
    assert all(a <= c <= b for (a, b), (c, _) in pairwise(spans))


@pytest.mark.parametrize("text", CORPUS)
def test_wordpiece(text):
    """It writes a space before every piece but the first and those that continue a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", *SPECIAL], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    encoding = tokenizer.encode(text)
    found = DecodedTokens(encoding.ids, tokenizer.decode)
    written = [t.removeprefix("##") if t.startswith("##") or n == 0 else " " + t for n, t in enumerate(encoding.tokens)]
    assert found.text == "".join(written)
    assert [found.text[a:b] for a, b in found.spans] == written
    # It cuts punctuation and ideographs off: in what it writes every word is where the tokens of the word are.
    for word in words_of(found.text):
        matcher = WordMatcher(word)
        start, stop = matcher.find(found.text)
        first, last = matcher.find_tokens(found)
        assert found.spans[first][0] <= start < found.spans[first][1]
        assert found.spans[last - 1][0] < stop <= found.spans[last - 1][1]


def test_a_token_of_several_words_is_of_each():
    family = FAMILIES["bpe_with_byte_fallback"]
    (joined,) = (i for i, spelling in family.spelt.items() if spelling == b"the hot dog")
    found = family.decoded([*family.encode("un "), joined, *family.encode(" noir")])
    place = found.ids.index(joined)
    for word in ("the", "hot", "dog", "hot dog"):
        assert WordMatcher(word).find_tokens(found) == TokenSpan(place, place + 1)


def test_prefixes_are_decoded_once_and_only_as_far_as_needed():
    family = FAMILIES["byte_level"]
    decoded = []

    def decode(ids):
        decoded.append(len(ids))
        return family.decode(ids)

    found = DecodedTokens(family.encode(CORPUS[0]), decode)
    assert WordMatcher("zebra").find_tokens(found) is None
    assert decoded == [len(found.ids)]
    assert WordMatcher("dog").find_tokens(found).stop < len(found.ids) // 2
    assert max(decoded[1:]) < len(found.ids) // 2
    for word in ("a", "brown", "dog", "couch", "cat", "green", "the"):
        assert WordMatcher(word).find_tokens(found) is not None
    assert len(decoded) <= len(found.ids)
