"""Where a word is in a generated sequence.

A word of interest is matched as a *word*, on decoded text, never as a token: tokenizers cut words in odd places, so the
first token of "category" may well be the token "cat". Each generated token is given the characters it contributes to
the decoded text, the word is looked for in that text between word boundaries, and the tokens under the match are its
span. Nothing is tokenized a second time: a model is free to spell a word with other tokens than its tokenizer would.
"""

from coxlmm.words.matching import FirstOf, WordMatcher, WordNotFoundError
from coxlmm.words.text import (
    UNSPACED,
    Segmentation,
    default_segmentation,
    distinct_words,
    fold,
    require_options,
    words_of,
)
from coxlmm.words.tokens import DecodedTokens, TokenSpan

__all__ = [
    "UNSPACED", "DecodedTokens", "FirstOf", "Segmentation", "TokenSpan", "WordMatcher", "WordNotFoundError",
    "default_segmentation", "distinct_words", "fold", "require_options", "words_of",
]  # fmt: skip
