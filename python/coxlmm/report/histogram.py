"""How the activations of a concept are distributed, as a small figure."""

from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 240, 48
_BINS = 30
_GAP = 1.5


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Histogram:
    """Bars of the positive activations, from 0 to the largest, in a box of 240 x 48; and their figures.

    Samples that do not activate the concept have no bar: there are usually so many that nothing else could be seen.
    """

    bars: list[Bar]
    n_active: int
    n_samples: int
    median: float
    largest: float

    @classmethod
    def of(cls, activations: np.ndarray) -> "Histogram":
        positive = activations[activations > 0]
        if positive.size == 0:
            return cls([], 0, activations.size, 0.0, 0.0)
        largest = float(positive.max())
        counts, _ = np.histogram(positive, bins=_BINS, range=(0.0, largest))
        step = WIDTH / _BINS
        bars = []
        for i, count in enumerate(counts.tolist()):
            if count:
                height = max(1.5, HEIGHT * count / int(counts.max()))  # one sample among thousands still shows
                bars.append(Bar(round(i * step, 2), round(HEIGHT - height, 2), round(step - _GAP, 2), round(height, 2)))
        return cls(bars, int(positive.size), activations.size, float(np.median(positive)), largest)

    @property
    def description(self) -> str:
        """What the figure shows, for those who cannot see it."""
        if not self.n_active:
            return "No sample activates this concept."
        return (
            f"Histogram of the activations of the {self.n_active} of {self.n_samples} samples that activate this "
            f"concept: median {self.median:.3g}, largest {self.largest:.3g}."
        )
