"""What words say of the images and captions that they are about."""

from collections.abc import Sequence

import numpy as np

from coxlmm.evaluation.bert_score import BertModel
from coxlmm.evaluation.clip_score import ClipModel, clip_score, described_by

# Of each sample the words of some concepts, the most active one's first; of a sample that activates none, nothing.
Descriptions = Sequence[Sequence[Sequence[str]]]


class Judge:
    """CLIPScore and BERTScore of the descriptions of the same samples, again and again.

    Parameters
    ----------
    clip : ClipModel or None
        None: there is no CLIPScore.
    bert : BertModel or None
        None: there is no BERTScore.
    images : ndarray, n_samples x n_dimensions, or None
        What ``clip`` makes of the samples' images.
    references : sequence of sequences of str, n_samples, or None
        Captions of each.
    """

    def __init__(
        self,
        clip: ClipModel | None,
        bert: BertModel | None,
        images: np.ndarray | None,
        references: Sequence[Sequence[str]] | None,
    ) -> None:
        self.clip, self.bert, self.images, self.references = clip, bert, images, references

    def of_words(self, descriptions: Descriptions, images: np.ndarray | None = None) -> dict[str, float]:
        """Means over the samples that have a description; without these, nothing.

        ``images`` are to be looked at instead of the samples' own; BERTScore, which looks at none, is then left out.
        """
        at = [(i, rank) for i, lists in enumerate(descriptions) for rank in range(len(lists))]
        if not at:
            return {}
        samples, ranks = np.array(at).T
        words = [descriptions[i][rank] for i, rank in at]
        first = ranks == 0
        found: dict[str, float] = {}
        if self.clip is not None and self.images is not None:
            embedded = self.clip.texts([described_by(some) for some in words])
            scores = clip_score((self.images if images is None else images)[samples], embedded)
            found["clip_score"] = float(scores[first].mean())
            found["clip_score_top_r"] = _mean_of_means(scores, samples)
        if self.bert is not None and self.references is not None and images is None:
            scored = self.bert.score([", ".join(some) for some in words], [self.references[i] for i in samples])
            found["bert_score_f1"] = float(scored.f1[first].mean())
            found["bert_score_precision"] = float(scored.precision[first].mean())
            found["bert_score_recall"] = float(scored.recall[first].mean())
            found["bert_score_f1_top_r"] = _mean_of_means(scored.f1, samples)
        return found

    def of_references(self) -> dict[str, float]:
        """The reference captions in the place of words: each by itself, and means over samples of means over captions.

        Their BERTScore is that of each with the others of its sample; a caption that is alone is compared with itself,
        which is 1.
        """
        if self.references is None:
            return {}
        samples = np.repeat(np.arange(len(self.references)), [len(captions) for captions in self.references])
        texts = [caption for captions in self.references for caption in captions]
        found: dict[str, float] = {}
        if self.clip is not None and self.images is not None:
            found["clip_score"] = _mean_of_means(clip_score(self.images[samples], self.clip.texts(texts)), samples)
        if self.bert is not None:
            others = [
                [*captions[:i], *captions[i + 1 :]] or captions
                for captions in self.references
                for i in range(len(captions))
            ]
            scored = self.bert.score(texts, others)
            found["bert_score_f1"] = _mean_of_means(scored.f1, samples)
            found["bert_score_precision"] = _mean_of_means(scored.precision, samples)
            found["bert_score_recall"] = _mean_of_means(scored.recall, samples)
        return found


def _mean_of_means(values: np.ndarray, samples: np.ndarray) -> float:
    """The mean over samples of the mean of a sample's values."""
    counts = np.bincount(samples)
    return float((np.bincount(samples, weights=values)[counts > 0] / counts[counts > 0]).mean())
