"""BERTScore: how much a text says of what reference captions say, token by token."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from coxlmm.names import public_name


class BertScores(NamedTuple):
    """One value a pair of a text and its references."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


class BertModel:
    """An encoder of transformers with which texts are compared, by the package ``bert-score``.

    Parameters
    ----------
    path : path or name
        Directory or repository of a BERT, RoBERTa, ...
    n_layers : int, optional
        Which layer's output is compared; default: the one that ``bert-score`` recommends for models that it knows by
        name, and the last one for any other.

    Raises
    ------
    ImportError
        If ``bert-score`` is not installed.

    Notes
    -----
    Scores are not rescaled with a baseline and tokens are not weighted. Source: Zhang, Kishore, Wu, Weinberger, Artzi:
    BERTScore, ICLR 2020, arXiv 1904.09675.
    """

    def __init__(self, path: str | os.PathLike[str], n_layers: int | None = None) -> None:
        try:
            from bert_score import BERTScorer
            from bert_score.utils import model2layers
        except ImportError as error:
            raise ImportError('BERTScore needs the package bert-score: pip install "coxlmm[evaluation]"') from error
        from transformers import AutoConfig

        path = os.fspath(path)
        if n_layers is None and path not in model2layers:
            n_layers = AutoConfig.from_pretrained(path).num_hidden_layers
        self._scorer = BERTScorer(model_type=path, num_layers=n_layers)
        self._known: dict[tuple[str, tuple[str, ...]], tuple[float, ...]] = {}
        self.name = public_name(path)
        self.n_layers: int = self._scorer.num_layers

    @classmethod
    def of(cls, bert: Any) -> "BertModel":
        """From itself, or from a directory or repository."""
        return bert if isinstance(bert, cls) else cls(bert)

    def score(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> BertScores:
        """Of each text with its references; of several, the largest value of each measure."""
        pairs = [(text, tuple(captions)) for text, captions in zip(texts, references, strict=True)]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            found = self._scorer.score([text for text, _ in new], [list(captions) for _, captions in new])
            self._known.update(zip(new, zip(*(values.tolist() for values in found), strict=True), strict=True))
        return BertScores(*np.array([self._known[pair] for pair in pairs]).T)
