"""Which words a model says in its captions, and how often the references have them too: how a word is chosen."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.cells import cell_len

from coxlmm.grounding import WordFilter
from coxlmm.images import UnreadableImageError, opened
from coxlmm.samples import Sample
from coxlmm.words import Segmentation, default_segmentation, distinct_words, fold, require_options

if TYPE_CHECKING:
    from coxlmm.extraction import Progress
    from coxlmm.models import LMM

_SHOWN = 30  # rows, where a person reads them


class SpokenWord(NamedTuple):
    """A word that the model says.

    Attributes
    ----------
    word : str
        In lower case where it ever is; with inflections its dictionary form.
    captions : int
        How many captions have it.
    references_agree : int or None
        To how many of these a reference of the same image has it too; None where no image has references.
    """

    word: str
    captions: int
    references_agree: int | None


@dataclass(frozen=True)
class Vocabulary:
    """The words of a model's captions, most frequent first.

    Attributes
    ----------
    rows : tuple of SpokenWord
    n_captions : int
    inflections, segmentation
        By which words were told apart: with the same options :meth:`coxlmm.LMM.extract` finds ``captions`` of a word,
        and ``references_agree`` of it where it is given the references; with inflections perhaps more, of words that
        are a form of another one ("saw" of "see").
    unreadable : tuple of dict
        Images that have no caption: their "id" and the "reason".
    """

    rows: tuple[SpokenWord, ...]
    n_captions: int
    inflections: str | None = None
    segmentation: Segmentation | None = None
    unreadable: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        captions: "Iterable[tuple[str, Iterable[str] | None]]",
        *,
        inflections: str | None = None,
        segmentation: Segmentation | None = None,
        stop_words: str | Iterable[str] = (),
        unreadable: Iterable[dict[str, str]] = (),
    ) -> "Vocabulary":
        """Counts the words of captions, in memory that grows with the number of different words alone.

        Parameters
        ----------
        captions : iterable of (str, iterable of str or None)
            A caption and the references of its image.
        inflections, segmentation
            See :class:`coxlmm.words.WordMatcher`.
        stop_words
            See :class:`coxlmm.grounding.WordFilter`, whose other defaults hold too: a word is of letters, two at least
            in scripts with spaces.
        unreadable : iterable of dict
            For the attribute of this name; gone through after the captions, whose iterator may have added to it.
        """
        require_options(inflections, segmentation)
        left_out = {fold(word) for word in WordFilter(stop_words=stop_words).stop_words}
        accept = WordFilter()
        spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        agreeing: Counter[str] = Counter()
        n_captions = n_with_references = 0
        for caption, references in captions:
            n_captions += 1
            words = distinct_words(caption, inflections, segmentation)
            for key in [key for key in words if key in left_out or not accept(key, begins_word=True)]:
                del words[key]
            for key, spelling in words.items():
                spellings[key][spelling] += 1
            if references is not None:
                n_with_references += 1
                known = set().union(*(distinct_words(text, inflections, segmentation) for text in references))
                agreeing.update(words.keys() & known)
        rows = []
        for key, counts in spellings.items():
            word = min(counts, key=lambda spelling: (spelling != spelling.lower(), -counts[spelling], spelling))
            rows.append(SpokenWord(word, counts.total(), agreeing[key] if n_with_references else None))
        rows.sort(key=lambda row: (-row.captions, row.word))
        return cls(
            tuple(rows), n_captions, inflections, segmentation or default_segmentation(), tuple(unreadable)
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON values, all rows."""
        return asdict(self) | {
            "rows": [row._asdict() for row in self.rows],
            "unreadable": [dict(image) for image in self.unreadable],
        }

    def __str__(self) -> str:
        head, *rows = self._table()
        width = max(cell_len(row[0]) for row in (head, *rows))  # on a terminal ideographs are two cells wide
        lines = [self._summary()]
        for word, *numbers in (head, *rows):
            columns = (number.rjust(len(name) + 1) for number, name in zip(numbers, head[1:], strict=True))
            lines.append(word + " " * (width - cell_len(word)) + "".join(columns))
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        head, *rows = self._table()
        cells = ["".join(f"<th>{escape(name)}</th>" for name in head)]
        cells += ["".join(f"<td>{escape(value)}</td>" for value in row) for row in rows]
        table = "".join(f"<tr>{row}</tr>" for row in cells)
        return (
            "".join(f"<p>{escape(text)}</p>" for text in (self._summary(), *self._more())) + f"<table>{table}</table>"
        )

    def _table(self) -> list[list[str]]:
        """Its head, and the rows to be shown."""
        with_references = any(row.references_agree is not None for row in self.rows)
        n_columns = 3 if with_references else 2
        rows = [[str(value) for value in row[:n_columns]] for row in self.rows[:_SHOWN]]
        return [["word", "captions", "references agree"][:n_columns], *rows]

    def _summary(self) -> str:
        summary = f"{len(self.rows)} words in {self.n_captions} captions"
        if self.unreadable:
            first = self.unreadable[0]
            summary += f"; {len(self.unreadable)} images not readable, the first is {first['id']}: {first['reason']}"
        return summary

    def _more(self) -> list[str]:
        n = len(self.rows) - _SHOWN
        return [f"and {n} more"] if n > 0 else []


def vocabulary(
    lmm: "LMM",
    samples: Iterable[Sample],
    *,
    batch_size: int | Literal["auto"],
    max_new_tokens: int,
    workers: int,
    on_error: Literal["record", "raise"],
    progress: "Progress",
    total: int | None,
    **counting: Any,
) -> Vocabulary:
    """See :meth:`coxlmm.LMM.vocabulary`; ``counting`` is for :meth:`Vocabulary.of`."""
    from coxlmm.captioner import Captioner
    from coxlmm.extraction import reporting
    from coxlmm.models import batches
    from coxlmm.settings import ExtractionSettings

    if on_error not in ("record", "raise"):
        raise ValueError(f"on_error must be 'record' or 'raise', got {on_error!r}")
    settings = ExtractionSettings(
        (), (lmm.n_layers - 1,), position="prompt", batch_size=batch_size, max_new_tokens=max_new_tokens
    )
    captioner = Captioner(lmm, settings, on_error)
    unreadable: list[dict[str, str]] = []

    def captions() -> Iterator[tuple[str, tuple[str, ...] | None]]:
        done = 0
        with reporting(progress, total, "captioning") as report:
            for batch in opened(batches(samples, settings.full_batch), workers):
                for result in captioner(batch):
                    if result.reason is None:
                        yield result.text, result.sample.references
                    else:
                        unreadable.append({"id": result.sample.id, "reason": result.reason})
                done += len(batch)
                report(done)

    found = Vocabulary.of(captions(), unreadable=unreadable, **counting)
    if found.n_captions == 0:
        if not unreadable:
            raise ValueError("there are no images to caption")
        first = unreadable[0]
        raise UnreadableImageError(
            f"any of {len(unreadable)} images, of which {first['id']!r} is the first", first["reason"]
        )
    return found
