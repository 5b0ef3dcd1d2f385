"""What decides which states an extraction yields: all of it, and nothing else."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from coxlmm.words import WordMatcher

Stream = Literal["residual", "attention", "mlp"]
Position = Literal["predicting", "word", "prompt", "visual-mean", "visual"]
TokenChoice = Literal["first", "last", "mean"]

# Samples are put in order of length, captioned and saved so many at a time: the unit that a resumed extraction repeats
# and that processes share out. A batch never reaches beyond it, so that its results depend on nothing outside.
_BATCHES_A_WINDOW = 8
# Where "auto" begins; it only ever goes down from there.
_LARGEST_BATCH = 64


@dataclass(frozen=True)
class ExtractionSettings:
    """See :meth:`coxlmm.LMM.extract` for what each means.

    Attributes
    ----------
    words : tuple of WordMatcher
        Empty when every image counts.
    layers : tuple of int
        From 0.
    several_words, several_layers : bool
        Whether a sequence was asked for, and a :class:`coxlmm.states.StatesGroup` is to be returned.

    Raises
    ------
    ValueError
        If a value is none of those allowed, or two do not go together.
    """

    words: tuple[WordMatcher, ...]
    layers: tuple[int, ...]
    stream: Stream = "residual"
    position: Position = "predicting"
    token: TokenChoice = "first"
    batch_size: int | Literal["auto"] = 16
    max_new_tokens: int = 32
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    teacher_forced: bool = False
    several_words: bool = field(default=False, kw_only=True)
    several_layers: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name, choices in (("stream", Stream), ("position", Position), ("token", TokenChoice)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {getattr(self, name)!r}")
        if self.batch_size != "auto" and (not isinstance(self.batch_size, int) or self.batch_size < 1):
            raise ValueError(f'batch_size must be at least 1, or "auto", got {self.batch_size!r}')
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or positive, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not self.words and self.position in ("predicting", "word"):
            raise ValueError(
                f"position={self.position!r} is that of a word: name one, or take position='prompt', 'visual-mean' or "
                f"'visual', for which every image counts without it"
            )
        repeated = {m.word for i, m in enumerate(self.words) if m.word in [n.word for n in self.words[:i]]}
        if repeated:
            raise ValueError(f"the word {repeated.pop()!r} is given twice")

    @classmethod
    def of_words(
        cls, word: str | Sequence[str] | None, matching: Mapping[str, Any], **options: Any
    ) -> "ExtractionSettings":
        """Settings for one word, several, or none, matched by the options of :class:`WordMatcher`."""
        several = word is not None and not isinstance(word, str)
        given = list(word) if several else [] if word is None else [word]
        if several and not given:
            raise ValueError("word is an empty sequence: name at least one word, or give None")
        return cls(tuple(WordMatcher(w, **matching) for w in given), several_words=several, **options)

    @property
    def full_batch(self) -> int:
        """Samples that are captioned at a time while memory suffices."""
        return _LARGEST_BATCH if self.batch_size == "auto" else self.batch_size

    @property
    def window(self) -> int:
        """Samples that are put in order of length, captioned and saved together."""
        return _BATCHES_A_WINDOW * self.full_batch

    @property
    def is_group(self) -> bool:
        """Whether several states come of it."""
        return self.several_words or self.several_layers

    @property
    def is_visual(self) -> bool:
        """Whether states at visual tokens are asked for."""
        return self.position in ("visual-mean", "visual")

    @property
    def word_packages(self) -> list[str]:
        """Those whose dictionaries, another one in each version, have a say in what the words are."""
        return sorted({package for matcher in self.words for package in matcher.packages})

    def key(self, word: int, layer: int) -> Hashable:
        """What names the states of ``words[word]`` at ``layer`` among those extracted together."""
        name = self.words[word].word if self.words else None
        return (name, layer) if self.several_words and self.several_layers else name if self.several_words else layer

    def to_dict(self) -> dict[str, Any]:
        """JSON values, for comparison with those of an earlier run."""
        values = asdict(self)
        return values | {"words": [asdict(matcher) for matcher in self.words], "layers": list(self.layers)}

    def manifest(self, word: int, layer: int) -> dict[str, Any]:
        """What the manifest of the states of one word at one layer says of how they were extracted."""
        matching = asdict(self.words[word]) if self.words else {"word": None}
        decoding = "teacher-forced" if self.teacher_forced else "sampled" if self.temperature else "greedy"
        sampling = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        return {
            **matching,
            "token": self.token,
            "position": self.position,
            "layer": layer,
            "stream": self.stream,
            "max_new_tokens": self.max_new_tokens,
            "batch_size": self.batch_size,
            "decoding": decoding,
            **(sampling if decoding == "sampled" else {}),
        }


def options_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The options of :meth:`coxlmm.LMM.extract` with which states of other images compare with those of a manifest."""
    names = (
        "case_sensitive",
        "inflections",
        "segmentation",
        "layer",
        "stream",
        "position",
        "token",
        "max_new_tokens",
        "temperature",
        "top_p",
        "seed",
    )
    return {name: manifest[name] for name in names if name in manifest}
