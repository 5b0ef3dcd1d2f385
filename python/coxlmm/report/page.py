"""Rendering: what the templates are given, and how their output is written."""

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from coxlmm.atomic import write_file
from coxlmm.dictionary import ConceptDictionary
from coxlmm.explanation import Explanation
from coxlmm.report.browser import as_script, browser_data, samples_of_images
from coxlmm.report.captions import Captions
from coxlmm.report.histogram import HEIGHT, WIDTH, Histogram
from coxlmm.report.numbers import number, percent
from coxlmm.report.pictures import Pictures, aspect, data_uri, heat_uri
from coxlmm.report.policy import content_security_policy
from coxlmm.report.provenance import provenance_of
from coxlmm.report.reading import heat_method_of, reading_of, reading_of_heat, reading_of_words, warning_of_words

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("page.js", "concepts.js", "samples.js", "view.js")


def write_report(
    dictionary: ConceptDictionary,
    path: str | os.PathLike[str],
    *,
    explanations: Iterable[Explanation] = (),
    title: str | None = None,
) -> Path:
    """Writes one HTML page: every concept with its words, images, shares and activations, and explanations of images.

    The page needs no network and asks for none: styles, images and a script are in it, and its content security policy
    forbids everything else. It reads without the script, which adds search, order, a view of each concept, a browser of
    samples and a button for dark colours. It is written whole or not at all.

    Parameters
    ----------
    dictionary : ConceptDictionary
        Grounded: the page is about words and images.
    path : path
    explanations : iterable of Explanation
        Of images to show one by one.
    title : str, optional

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValueError
        If the dictionary is not grounded.
    """
    html = report_html(dictionary, explanations=explanations, title=title)
    # File names that are no text in the system's encoding reach Python as lone surrogates.
    return write_file(path, html.encode("utf-8", "replace"))


def report_html(
    dictionary: ConceptDictionary, *, explanations: Iterable[Explanation] = (), title: str | None = None
) -> str:
    """The page that :func:`write_report` writes."""
    if not dictionary.words:
        raise ValueError("the dictionary is not grounded yet: call ground(lmm, images=...) before report")
    provenance = provenance_of(dictionary)
    captions, pictures = Captions(dictionary), Pictures()
    samples = samples_of_images(dictionary)
    ranked = sorted(dictionary.concepts, key=lambda c: -c.share_of_activation)
    script = _script()
    data = browser_data(dictionary, samples, captions, pictures)
    explanations = list(explanations)
    for explanation in explanations:
        pictures.add(explanation.thumbnail)
        pictures.add(*(hit.thumbnail for active in explanation.concepts for hit in active.concept.images))
    return _environment().get_template("report.html.j2").render(
        title=title or provenance.title,
        provenance=provenance,
        dictionary=dictionary,
        concepts=ranked,
        histograms=[Histogram.of(dictionary.codes[:, k]) for k in range(dictionary.n_concepts)],
        histogram_size=(WIDTH, HEIGHT),
        explanations=explanations,
        largest_share=max(c.share_of_activation for c in ranked) or 1.0,
        samples=samples,
        captions=captions,
        active=[_active(dictionary, k) for k in range(dictionary.n_concepts)],
        picture=pictures.number,
        picture_styles=Markup(pictures.styles),
        model=dictionary.model_name,
        layer=_layer(dictionary.manifest),
        setting=_setting(dictionary.estimator),
        reading=reading_of(dictionary),
        reading_of_words=reading_of_words(dictionary),
        heat_method=heat_method_of(dictionary),
        warning=warning_of_words(dictionary),
        known=_known(dictionary),
        n_shown=len(data["samples"]),
        data=as_script(data),
        script=Markup(script),
        policy=content_security_policy(script),
    )  # fmt: skip


def write_explanation(
    explanation: Explanation, path: str | os.PathLike[str], *, title: str = "Explanation of an image"
) -> Path:
    """Writes one explanation as an HTML page of its own, which asks for nothing and runs no script.

    It is written whole or not at all.

    Parameters
    ----------
    explanation : Explanation
    path : path
    title : str

    Returns
    -------
    Path
        Of the page.
    """
    template = _environment().get_template("single.html.j2")
    html = template.render(explanation=explanation, title=title, policy=content_security_policy())
    return write_file(path, html.encode("utf-8", "replace"))


def explanation_html(explanation: Explanation) -> str:
    """One explanation as a fragment with its own styles, for notebooks."""
    return _environment().get_template("fragment.html.j2").render(explanation=explanation)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("coxlmm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {"data_uri": data_uri, "heat_uri": heat_uri, "aspect": aspect}
    environment.filters |= {**pictures, "percent": percent, "number": number, "joined": _joined}
    environment.filters["heat_shows"] = reading_of_heat
    environment.globals["stylesheet"] = _own
    return environment


def _own(name: str) -> Markup:
    """A file of styles or script as it stands: it is ours, and must not be escaped."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _script() -> str:
    """The page's one script, in the order in which its parts use each other."""
    return "\n".join(_own(name) for name in _SCRIPTS)


def _joined(markup: Markup) -> Markup:
    """Without the line breaks between elements, each of which a browser would keep as a node."""
    return Markup(re.sub(r">\n\s*<", "><", markup))


def _active(dictionary: ConceptDictionary, concept: int) -> str:
    """How many samples activate a concept, of each word where there are several."""
    active = dictionary.codes[:, concept] > 0
    if dictionary.sample_words is None:
        return f"active in {active.sum()} of {dictionary.n_samples} samples"
    of_sample = np.array(dictionary.sample_words)
    words = dict.fromkeys(dictionary.sample_words)
    return "active in " + ", ".join(
        f"{active[of_sample == word].sum()} of {(of_sample == word).sum()} “{word}”" for word in words
    )


def _known(dictionary: ConceptDictionary) -> dict[str, bool]:
    """What else is known of the concepts: imported dictionaries lack their states, older ones all but these."""
    return {
        "error": not isnan(dictionary.relative_error),
        "stability": dictionary.stability is not None,
        "effect": dictionary.effects is not None,
        "heat": any(hit.heat is not None for hits in dictionary.images for hit in hits),
    }


def _setting(estimator: Any) -> str:
    inner = getattr(estimator, "estimator_", None)
    if inner is not None:
        return f"{type(estimator).__name__} {_setting(inner)}"
    l1 = getattr(estimator, "l1", None)
    return type(estimator).__name__ + ("" if l1 is None else f", l1 = {l1:g}")


def _layer(manifest: dict[str, Any]) -> str | None:
    layer, n_layers = manifest.get("layer"), manifest.get("n_layers")
    if layer is None:
        return None
    if not n_layers:
        return str(layer)
    return f"{layer}, the last of {n_layers}" if layer == n_layers - 1 else f"{layer} (of 0 to {n_layers - 1})"
