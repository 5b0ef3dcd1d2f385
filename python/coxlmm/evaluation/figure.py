"""Evaluations and choices as figures."""

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from coxlmm.evaluation.measures import CEILING, CHANCE, MEASURES
from coxlmm.evaluation.spread import Spread
from coxlmm.figures import MISSING, fonts_of, matplotlib_figure, one_line, own_settings, require_format, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from coxlmm.evaluation.choose import Candidate, Choice
    from coxlmm.evaluation.result import Evaluation

_OWN, _OTHER, _CHANCE, _CEILING = "#1f6feb", "#9db7d9", "#c9c9c9", "#5aa469"
_COLUMNS = 4
_LABELS = {
    "l1": "l1",
    "held_out_error": "relative error, held out",
    "stability": "stability",
    "mean_active": "active concepts a state",
}
_LEAST = 0.06  # matplotlib's margin around nothing but zeros


def evaluation_figure(evaluation: "Evaluation", path: str | os.PathLike[str] | None = None) -> "Figure":
    """Means over seeds as bars, with a standard deviation to either side.

    Parameters
    ----------
    evaluation : Evaluation
    path : path, optional
        Where to save it: a name that ends in .png, .svg or .pdf. It is written whole or not at all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the name ends otherwise.
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    figure = _drawn(lambda: _bars(evaluation), path)
    if path is not None:
        save_figure(figure, path)
    return figure


def _drawn(draw: Callable[[], "Figure"], path: str | os.PathLike[str] | None) -> "Figure":
    """What is drawn without the reader's settings, once it is sure that it could be saved."""
    if path is not None:
        require_format(path)
    matplotlib_figure()
    with own_settings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)  # they are told of where the figure is saved
        figure = draw()
        # What is left to the first drawing, such as the numbers along the axes, takes its settings then.
        figure.draw_without_rendering()
    return figure


def _bars(evaluation: "Evaluation") -> "Figure":
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
        labels = [one_line(evaluation.label(method)) if i % _COLUMNS == 0 else "" for method in methods]
        for text, label in zip(axes.set_yticklabels(labels, fontsize=8), labels, strict=True):
            text.set_fontfamily(fonts_of(label))
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="x", color="#e5e5e5", linewidth=0.7)
        axes.set_axisbelow(True)
        _open(axes)
    settings = evaluation.settings
    _entitle(
        figure,
        f"{settings.get('word')!r} in {settings.get('model')}, layer {settings.get('layer')}: "
        f"mean and standard deviation over {settings.get('n_seeds')} seeds",
    )
    return figure


def _open(axes: "Axes") -> None:
    """Leaves out the lines above and at the right."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _entitle(figure: "Figure", title: str) -> None:
    title = one_line(title)
    figure.suptitle(title, fontsize=10, fontfamily=fonts_of(title))


def _color(evaluation: "Evaluation", method: str) -> str:
    if method == evaluation.method:
        return _OWN
    return _CEILING if method == CEILING else _CHANCE if method in CHANCE else _OTHER


def choice_figure(choice: "Choice", path: str | os.PathLike[str] | None = None) -> "Figure":
    """Held-out error, stability and active concepts of the candidates, one line a number of concepts.

    The first panel has the trade-off: what is left unexplained against how many concepts a state activates. Means over
    seeds, with a standard deviation to either side; a star is what is recommended.

    Parameters, return value and errors are those of :func:`evaluation_figure`.
    """
    figure = _drawn(lambda: _lines(choice), path)
    if path is not None:
        save_figure(figure, path)
    return figure


def _lines(choice: "Choice") -> "Figure":
    figure = matplotlib_figure().Figure(figsize=(12.5, 3.8), layout="constrained", facecolor="white")
    panels = [("mean_active", "held_out_error"), ("l1", "held_out_error"), ("l1", "stability"), ("l1", "mean_active")]
    sizes = sorted({one.n_components for one in choice.candidates})
    for i, (across, up) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for j, k in enumerate(sizes):
            line = sorted((one for one in choice.candidates if one.n_components == k), key=lambda one: one.l1)
            color = _shade(j / max(len(sizes) - 1, 1))
            x = [_value(one, across) for one in line]
            y = [getattr(one, up) for one in line]
            axes.errorbar(
                x, [spread.mean for spread in y], yerr=[spread.std for spread in y], color=color, marker="o",
                markersize=4, linewidth=1.2, capsize=2, label=f"{k} concepts",
            )  # fmt: skip
            if up == "stability":
                level = line[0].chance.mean
                axes.axhline(level, color=color, linewidth=0.8, linestyle=":")
        best = choice.recommended
        axes.plot(
            [_value(best, across)], [getattr(best, up).mean], marker="*", markersize=15, color="#e8590c", zorder=5,
            linestyle="none", label="recommended",
        )  # fmt: skip
        axes.set_xlabel(_LABELS[across], fontsize=8)
        axes.set_title(_LABELS[up] + (" (dotted: random states)" if up == "stability" else ""), fontsize=9)
        if across == "l1":
            penalties = sorted({one.l1 for one in choice.candidates})
            if penalties[0] > 0:
                axes.set_xscale("log")
            axes.set_xticks(penalties, labels=[f"{value:.3g}" for value in penalties])
            axes.minorticks_off()
        axes.tick_params(labelsize=7)
        axes.grid(color="#e5e5e5", linewidth=0.7)
        _open(axes)
        if i == 0:
            axes.legend(fontsize=7, frameon=False)
    settings = choice.settings
    _entitle(
        figure,
        f"{settings.get('word')!r}, layer {settings.get('layer')}: mean and standard deviation over "
        f"{settings.get('n_seeds')} seeds",
    )
    return figure


def _value(candidate: "Candidate", name: str) -> float:
    value = getattr(candidate, name)
    return value.mean if isinstance(value, Spread) else value


def _shade(share: float) -> tuple[float, float, float]:
    light, dark = (0.62, 0.76, 0.95), (0.05, 0.20, 0.45)
    return tuple(a + (b - a) * share for a, b in zip(light, dark, strict=True))
