"""Which figures an evaluation has, and which way is better."""

from typing import Literal, NamedTuple


class Measure(NamedTuple):
    """``label`` is for people; ``better`` says which way is, all else being equal."""

    label: str
    better: Literal["higher", "lower"]


MEASURES = {
    "clip_score": Measure("CLIPScore", "higher"),
    "clip_score_top_r": Measure("CLIPScore, top r", "higher"),
    "bert_score_f1": Measure("BERTScore F1", "higher"),
    "bert_score_precision": Measure("BERTScore precision", "higher"),
    "bert_score_recall": Measure("BERTScore recall", "higher"),
    "bert_score_f1_top_r": Measure("BERTScore F1, top r", "higher"),
    "overlap": Measure("overlap of words", "lower"),
    "relative_error": Measure("relative error", "lower"),
    "held_out_error": Measure("relative error, held out", "lower"),
    "mean_active": Measure("active concepts a state", "lower"),
    "zeros": Measure("share of zeros", "higher"),
    "unexplained": Measure("without a concept, held out", "lower"),
    "stability": Measure("stability", "higher"),
}
METHODS = {
    "semi_nmf": "Semi-NMF",
    "whitened_semi_nmf": "Semi-NMF, whitened",
    "simple": "Simple (largest norm)",
    "pca": "PCA",
    "kmeans": "k-means",
    "nmf": "NMF (positive and negative parts)",
    "random_states": "random states",
    "random_words": "random words",
    "noise_images": "noise images",
    "references": "reference captions",
}
CHANCE = ("random_states", "random_words", "noise_images")
CEILING = "references"
