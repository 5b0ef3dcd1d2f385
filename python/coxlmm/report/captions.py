"""Captions, cut before and after the word that they are of."""

from coxlmm.dictionary import ConceptDictionary
from coxlmm.words import WordMatcher


class Captions:
    """What the report shows of a dictionary's captions.

    Where several words share the dictionary, a caption may have more than one of them: marked is that of the sample.
    """

    def __init__(self, dictionary: ConceptDictionary) -> None:
        manifest, word = dictionary.manifest, dictionary.word
        self._captions = dictionary.captions
        words = [] if not word else [word] if isinstance(word, str) else word
        self._matchers = {one: WordMatcher.of(manifest | {"word": one}) for one in words}
        self._words = dictionary.sample_words or [words[0] if words else None] * dictionary.n_samples

    def __getitem__(self, sample: int) -> tuple[str, str, str]:
        """The caption of a sample before, in and after its word; whole and twice nothing where it has none."""
        caption = self._captions[sample]
        matcher = self._matchers.get(self._words[sample])
        start, stop = (matcher and matcher.find(caption)) or (len(caption), len(caption))
        return caption[:start], caption[start:stop], caption[stop:]


def quoted(word: str | list[str] | None) -> str:
    """A dictionary's word, or its words, as text says them: “dog”, “dog” or “cat”; nothing where it has none."""
    words = [] if not word else [word] if isinstance(word, str) else word
    *most, last = [f"“{one}”" for one in words] or [""]
    return f"{', '.join(most)} or {last}" if most else last
