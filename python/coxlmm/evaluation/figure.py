"""An evaluation as a figure: a panel a measure, a bar a method."""

import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from coxlmm.evaluation.measures import CEILING, CHANCE, MEASURES

if TYPE_CHECKING:
    from coxlmm.evaluation.result import Evaluation

_OWN, _OTHER, _CHANCE, _CEILING = "#1f6feb", "#9db7d9", "#c9c9c9", "#5aa469"
_COLUMNS = 4
_LEAST = 0.06  # matplotlib's margin around nothing but zeros


def matplotlib_figure() -> ModuleType:
    """``matplotlib.figure``, which needs no display.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise ImportError('figures need the package matplotlib: pip install "coxlmm[plots]"') from error
    return matplotlib.figure


def evaluation_figure(evaluation: "Evaluation", path: str | os.PathLike[str] | None = None) -> Any:
    """Means over seeds as bars, with a standard deviation to either side.

    Parameters
    ----------
    evaluation : Evaluation
    path : path, optional
        Where to save it, in the format of the name's ending.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figures = matplotlib_figure()
    results = evaluation.results
    measures = [name for name in MEASURES if any(name in found for found in results.values())]
    n_rows = -(-len(measures) // _COLUMNS)
    height = 0.7 + 0.21 * len(results)
    figure = figures.Figure(figsize=(12.5, n_rows * height + 0.5), layout="constrained", facecolor="white")
    methods = list(results)
    for i, name in enumerate(measures):
        axes = figure.add_subplot(n_rows, _COLUMNS, i + 1)
        for place, method in enumerate(methods):
            spread = results[method].get(name)
            if spread is not None:
                axes.barh(
                    place, spread.mean, xerr=spread.std, height=0.72, color=_color(evaluation, method),
                    error_kw={"ecolor": "#333333", "capsize": 2, "elinewidth": 1},
                )  # fmt: skip
        axes.set_title(f"{MEASURES[name].label} ({MEASURES[name].better} is better)", fontsize=9)
        axes.set_xlim(left=0, right=None if axes.get_xlim()[1] > _LEAST else 1)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_yticks(range(len(methods)))
        labels = [evaluation.label(method) for method in methods] if i % _COLUMNS == 0 else [""] * len(methods)
        axes.set_yticklabels(labels, fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", color="#e5e5e5", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    settings = evaluation.settings
    figure.suptitle(
        f"{settings.get('word')!r} in {settings.get('model')}, layer {settings.get('layer')}: "
        f"mean and standard deviation over {settings.get('n_seeds')} seeds",
        fontsize=10,
    )
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


def _color(evaluation: "Evaluation", method: str) -> str:
    if method == evaluation.method:
        return _OWN
    return _CEILING if method == CEILING else _CHANCE if method in CHANCE else _OTHER
