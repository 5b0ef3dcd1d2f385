"""Recomputing extracted states from scratch: the check that extraction can be asked to make of itself."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coxlmm.captioner import pick
from coxlmm.errors import CoxlmmError
from coxlmm.generation import Record, continued, read
from coxlmm.images import open_image
from coxlmm.samples import as_samples, hash_of
from coxlmm.states import States
from coxlmm.words import TokenSpan, WordMatcher

if TYPE_CHECKING:
    from coxlmm.models import LMM

# Relative to the state's norm, by the model's precision. Batching and caching change the order of sums, which costs a
# few units in the last place a layer; a state of the wrong position, layer or image is off by the order of 1.
TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
# Quantised layers choose by the batch what they keep in full precision (LLM.int8 its outlier columns).
_QUANTIZED_TOLERANCE = 1e-1


# Models whose forward pass returns the hidden states of its vision model.
_HIDDEN_STATES_OF_ANOTHER = ("blip",)


class VerificationError(CoxlmmError, RuntimeError):
    """A state that was computed again differs from the one that was extracted."""


def require_verifiable(lmm: "LMM") -> None:
    """Raises ValueError for models that :func:`verify_states` cannot check: to be asked before long work.

    These are the precisions without a tolerance.
    """
    if lmm.model.dtype not in TOLERANCE:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in TOLERANCE)
        raise ValueError(f"verify knows the tolerance of {known}, the model is in {lmm.model.dtype}")


def require_prompt(lmm: "LMM", manifest: Mapping[str, Any]) -> None:
    """Raises ValueError if states, by their manifest, were extracted with another prompt than the model has."""
    if manifest.get("prompt", lmm.prompt) != lmm.prompt:
        raise ValueError(
            f"the states were extracted with the prompt {manifest['prompt']!r}, but the model has {lmm.prompt!r}: "
            f"load it with the prompt of the manifest, prompt=manifest['prompt']"
        )


def _tolerance(lmm: "LMM") -> float:
    tolerance = TOLERANCE[lmm.model.dtype]
    if getattr(lmm.model.config, "quantization_config", None) is not None:
        return max(tolerance, _QUANTIZED_TOLERANCE)
    return tolerance


def chosen_samples(sample_ids: Iterable[str], n: int) -> set[str]:
    """Ids of ``n`` samples drawn at random, the same ones every time."""
    return set(sorted(set(sample_ids), key=hash_of)[:n])


def verify_states(lmm: "LMM", states: States, images: Mapping[str, Any]) -> dict[str, Any]:
    """Computes the states of some samples again and compares.

    Each image is put through the model alone, with its generated tokens already in place, in one forward pass without
    cache and without a hook; transformers' own ``hidden_states`` are what is compared with. For the last layer these
    are normalised, so there ``normalize(state)`` is compared, which covers the final norm, and for the states that
    predict a word the output embedding is covered too: ``W_U`` must rank the same token first as the model's logits.

    Outputs of attention and MLP, means at the last layer and the states of BLIP are nowhere among ``hidden_states``:
    of these the pass is the same, but the states are taken by a hook.

    Parameters
    ----------
    lmm : LMM
        The model that the states are of, with the same prompt.
    states : States
        With ``tokens``, and a manifest of :meth:`coxlmm.LMM.extract`.
    images : mapping
        The images to check, by sample id.

    Returns
    -------
    dict
        ``n``, ``max_relative_error`` (of the Euclidean norm) and ``tolerance``, which depends on the model's
        precision: 1e-4 for float32, 2e-2 for float16, 1e-1 for bfloat16 and quantised models.

    Raises
    ------
    VerificationError
        If a state is off by more than the tolerance; the message names the sample.
    ValueError
        See :func:`require_verifiable`; or if the states are of another prompt, or do not tell what is needed.
    """
    require_verifiable(lmm)
    if states.words is not None:
        parts = states.apart().values()
        chosen = [
            (part, {name: images[name] for name in dict.fromkeys(part.sample_ids) if name in images}) for part in parts
        ]
        return combined([verify_states(lmm, part, some) for part, some in chosen if some])
    manifest = states.manifest
    if states.tokens is None or "layer" not in manifest:
        raise ValueError("these states do not tell their tokens or their layer, without which none can be verified")
    require_prompt(lmm, manifest)
    tolerance = _tolerance(lmm)
    layer, position = manifest["layer"], manifest.get("position", "predicting")
    is_last = layer == lmm.n_layers - 1
    worst = 0.0
    ids = np.array(states.sample_ids)
    for name, image in images.items():
        rows = np.flatnonzero(ids == name)
        if len(rows) == 0:
            raise ValueError(f"there are no states of a sample {name!r}")
        tokens = list(states.tokens[rows[0]])
        span = _span(lmm, manifest, tokens, name)
        extracted = states.X[rows]
        expected, logits, normalized = _plain_forward(lmm, image, tokens, span, manifest)
        if normalized:
            extracted = lmm.normalize(extracted)
        if extracted.shape != expected.shape:
            raise VerificationError(
                f"sample {name!r} has {len(extracted)} states, computed again {len(expected)}: is it the same image?"
            )
        error = float(np.max(np.linalg.norm(extracted - expected, axis=1) / np.linalg.norm(expected, axis=1)))
        if not error <= tolerance:
            raise VerificationError(
                f"the state of sample {name!r} at layer {layer} differs from the one of a plain forward pass by "
                f"{error:.1e} of its norm (tolerance {tolerance:.0e})"
            )
        if is_last and normalized and position == "predicting":
            _check_ranking(lmm, name, extracted, logits)
        worst = max(worst, error)
    return {"n": len(images), "max_relative_error": worst, "tolerance": tolerance}


def verify_samples(lmm: "LMM", states: States, images: Iterable[Any], n: int = 8) -> dict[str, Any]:
    """Computes the states of ``n`` samples, drawn at random, again: see :func:`verify_states`.

    Parameters
    ----------
    lmm : LMM
    states : States
    images : iterable of images or of Sample
        Those that the states were extracted from, more or fewer; the ones that are drawn are looked for in it.
    n : int

    Raises
    ------
    ValueError
        If one of those drawn is not among ``images``, or as :func:`verify_states` does.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    chosen = chosen_samples(states.sample_ids, n)
    found = {sample.id: sample.image for sample in as_samples(images) if sample.id in chosen}
    missing = sorted(chosen - set(found))
    if missing:
        raise ValueError(f"{len(missing)} of the samples drawn are not among the images, the first is {missing[0]!r}")
    return verify_states(lmm, states, found)


def combined(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """One outcome of those that several processes had, each of its own samples."""
    for outcome in outcomes:
        if "error" in outcome:
            return outcome
    worst = max(outcome["max_relative_error"] for outcome in outcomes)
    return outcomes[0] | {"n": sum(outcome["n"] for outcome in outcomes), "max_relative_error": worst}


def _span(lmm: "LMM", manifest: Mapping[str, Any], tokens: list[int], name: str) -> TokenSpan:
    """Where the word is among the tokens; anywhere for positions that are not a word's."""
    if manifest.get("position", "predicting") not in ("predicting", "word"):
        return TokenSpan(0, 1)
    decoded = lmm.decode_with_spans(tokens)
    span = WordMatcher.of(manifest).find_tokens(decoded)
    if span is None:
        raise VerificationError(f"the tokens of sample {name!r} say {decoded.text!r}, without {manifest['word']!r}")
    return span


@torch.inference_mode()
def _plain_forward(
    lmm: "LMM", image: Any, tokens: list[int], span: TokenSpan, manifest: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, bool]:
    """The rows of one sample, the logits beside those that predict its word, and whether rows are normalised."""
    layer, stream = manifest["layer"], manifest.get("stream", "residual")
    position, token = manifest.get("position", "predicting"), manifest["token"]
    inputs = lmm.inputs([open_image(image, 0)])
    visual = lmm.visual_positions(inputs) if position in ("visual", "visual-mean") else None
    is_last = layer == lmm.n_layers - 1
    is_mean = position == "visual-mean" or (token == "mean" and position in ("predicting", "word"))
    by_hook = lmm.model.config.model_type in _HIDDEN_STATES_OF_ANOTHER
    if stream != "residual" or (is_last and is_mean) or by_hook:
        kept = read(lmm, inputs, [tokens], Record([lmm.module_of(layer, stream)], visual))
        states = kept.states[0][:, 0]
        at_visual = kept.visual[0][0] if visual is not None else None
        normalized, logits = False, states[:0]
    else:
        outputs = lmm.model(**continued(lmm, inputs, [tokens]), use_cache=False, output_hidden_states=True)
        # BLIP-2 passes on what its language model put out; encoder-decoders have two tuples of hidden states.
        of_language = getattr(outputs, "language_model_outputs", None) or outputs
        hidden = getattr(of_language, "decoder_hidden_states", None) or of_language.hidden_states
        states = hidden[layer + 1][0]
        at_visual = None if visual is None else states[: visual.shape[1]][visual[0].to(states.device)]
        # From the end: some models put their visual tokens in front only inside.
        states, logits = states[-len(tokens) - 1 :], outputs.logits[0, -len(tokens) - 1 :]
        normalized = is_last
    shift = position == "word"
    if at_visual is not None:
        rows = at_visual
    elif position == "prompt":
        rows = states[:1]
    else:
        rows = states[span.start + shift : span.stop + shift]
    rows = rows.float().cpu().numpy()
    logits = logits[span.start : span.stop].float().cpu().numpy()
    if position == "visual-mean":
        return rows.mean(axis=0, keepdims=True), logits, normalized
    if position in ("predicting", "word"):
        # The logits of the same token; of several there is no mean that ranks one first.
        return pick(rows, token), pick(logits, token) if len(logits) else logits, normalized
    return rows, logits, normalized


def _check_ranking(lmm: "LMM", name: str, normalized: np.ndarray, logits: np.ndarray) -> None:
    embedding = lmm.architecture.output_embedding
    with torch.inference_mode():
        weight = embedding.weight
        device = lmm.device if weight.is_meta else weight.device
        rows = torch.from_numpy(normalized).to(device, weight.dtype if weight.is_floating_point() else lmm.model.dtype)
        top = lmm.architecture.project(rows).argmax(dim=1).cpu().numpy()
    # Compared by value, not by index: two tokens may share the first place, in low precision above all.
    tokens = np.arange(len(logits))
    best = logits.max(axis=1)
    close = best - logits[tokens, top] <= _tolerance(lmm) * np.abs(logits).max(axis=1)
    if not close.all():
        raise VerificationError(
            f"sample {name!r}: final norm and output embedding ({type(lmm.final_norm).__name__}, "
            f"{type(embedding).__name__}) rank {lmm.decode_token(top[~close][0])!r} first where the model predicts "
            f"{lmm.decode_token(logits[~close][0].argmax())!r}: they are not this model's"
        )
