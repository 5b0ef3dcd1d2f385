"""A frozen large multimodal model and its processor, as the rest of the library sees them."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file

from coxlmm.architecture import (
    Architecture,
    UnsupportedModelError,
    image_token_id,
    loaded_weights,
    logits_of,
    without_hooks,
)
from coxlmm.errors import CoxlmmError
from coxlmm.generation import generate
from coxlmm.images import as_images, open_image
from coxlmm.prompting import Prompter, require_processor
from coxlmm.samples import Sample
from coxlmm.words import DecodedTokens

if TYPE_CHECKING:
    from coxlmm.extraction import Progress
    from coxlmm.samples.sample import References
    from coxlmm.settings import Position, Stream, TokenChoice
    from coxlmm.states import States, StatesGroup
    from coxlmm.vocabulary import Vocabulary
    from coxlmm.words import Segmentation

_SETTINGS_FILE = "coxlmm.json"
# What the modules of a model are called within PEFT's wrapper of it, in front of their own names.
_PEFT_PREFIX = "base_model.model."
# Inputs of models whose prompts have one token that stands for the image, which only their cross-attention reads.
_CROSS_ATTENTION = {"cross_attention_mask", "image_attention_mask"}
# Where the processors of Kosmos-2 and 2.5 say that the visual tokens are.
_IMAGE_MASK = "image_embeds_position_mask"
# What of from_pretrained's arguments says where to load from, and so concerns the processor as well as the model.
_SOURCE_ARGUMENTS = ("revision", "token", "cache_dir", "force_download", "local_files_only", "trust_remote_code")


class LayerError(CoxlmmError, IndexError):
    """The model has no such decoder layer."""


class LMM:
    """A frozen image-text model from transformers.

    Parameters
    ----------
    model : PreTrainedModel
        Any model that generates text from images through ``generate``, already loaded, wherever and however: half
        precision, quantised, dispatched. It is frozen in place: ``model.eval()`` and ``requires_grad_(False)``.
    processor : ProcessorMixin
        The processor that belongs to it. Its tokenizer is set to pad on the left, and without a padding token it is
        given its end-of-sequence token as one. A processor that is none of transformers' is called as
        ``processor(images=[...], text=[...], padding=True, return_tensors="pt")`` with one image for each text.
    prompt : str, optional
        Text to continue, sent as it stands, without a chat template. ``<image>`` marks the image's place, whatever
        the model's own image token is; without a mark the image comes first. Default: the chat template around the
        image and "Describe the image in one sentence.", or "<image>A photo of" where there is no template.
    modules : mapping, optional
        The parts that are not found, named by hand: "layers" (a ``ModuleList``), "final_norm" (None where there is
        none) and "output_embedding", as modules or by their names in ``model.named_modules()``; "attention" and "mlp"
        by their names within a layer. The error about a part that is missing lists what the model has.

    Attributes
    ----------
    model, processor
    prompt : str
        The prompt as the processor gets it.

    Raises
    ------
    UnsupportedModelError
        If decoder layers, final norm or output embedding cannot be found, the model does not generate, or the processor
        does not take images and text.

    Notes
    -----
    The state after the last decoder layer is *not* normalised; transformers' ``hidden_states[-1]`` is. With ``h`` a
    row of ``States.X`` of the last layer, the logits that predicted the token are ``unembedding @ normalize(h)``, plus
    the output bias of the few models that have one. Some models then scale the logits (Cohere, Granite) or cap them
    softly (Gemma); both are increasing functions, so the ranking of tokens is the same. :meth:`logits` has it all.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        *,
        prompt: str | None = None,
        modules: Mapping[str, str | nn.Module | None] | None = None,
    ) -> None:
        # The compiled wrapper of a whole model does not take part in generate, which calls the model inside.
        model = getattr(model, "_orig_mod", model)
        _require_generation(model)
        require_processor(processor)
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.architecture = Architecture.of(model, modules)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.tokenizer.padding_side = "left"
        self._prompter = Prompter(model, processor)
        self.prompt = self._prompter.default() if prompt is None else self._prompter.with_image(prompt)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        prompt: str | None = None,
        modules: Mapping[str, str | nn.Module | None] | None = None,
        **kwargs: Any,
    ) -> "LMM":
        """Loads a model and its processor from a repository or a local directory.

        Parameters
        ----------
        name_or_path : str or path
        prompt : str, optional
            Default: the one that :meth:`save_pretrained` stored there, or else the class's default.
        modules : mapping, optional
            As for the class.
        **kwargs
            For ``AutoModelForImageTextToText.from_pretrained`` (``dtype``, ``device_map``, ``revision``, ...); those
            that say where to load from go to ``AutoProcessor`` too.

        Raises
        ------
        OSError
            If there is neither such a directory nor such a repository, or files are missing in it.
        """
        is_local = os.path.isdir(name_or_path)
        if is_local:
            # model_id then names it from any directory, and no local path is taken for a repository.
            name_or_path = os.path.abspath(name_or_path)
        source = {key: kwargs[key] for key in _SOURCE_ARGUMENTS if key in kwargs}
        try:
            # Before the model, which is large: a processor that will not do is an error at once.
            processor = AutoProcessor.from_pretrained(name_or_path, **source)
            require_processor(processor)
            model = AutoModelForImageTextToText.from_pretrained(name_or_path, **kwargs)
        except OSError as error:
            if is_local:
                raise
            raise OSError(
                f"no directory {os.path.abspath(name_or_path)}, and no model could be loaded from a repository "
                f"{os.fspath(name_or_path)!r}: {error}"
            ) from error
        if prompt is None:
            prompt = _stored_prompt(name_or_path, source)
        return cls(model, processor, prompt=prompt, modules=modules)

    def save_pretrained(self, path: str | os.PathLike[str]) -> Path:
        """Writes model, processor and prompt into a directory for :meth:`from_pretrained`."""
        path = Path(path)
        self.model.save_pretrained(path)
        self.processor.save_pretrained(path)
        (path / _SETTINGS_FILE).write_text(json.dumps({"prompt": self.prompt}, ensure_ascii=False) + "\n", "utf-8")
        return path

    @property
    def model_id(self) -> str:
        """The name or path that the model was loaded from; its class's name when it was built in memory."""
        return getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__

    @property
    def revision(self) -> str | None:
        """The commit of the repository that the model was loaded from, where there is one."""
        return getattr(self.model.config, "_commit_hash", None)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        if self.model.device.type == "meta":  # offloaded: accelerate knows where it computes
            hook = getattr(self.model, "_hf_hook", None)
            return torch.device(getattr(hook, "execution_device", None) or "cpu")
        return self.model.device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.processor.tokenizer

    @property
    def n_layers(self) -> int:
        return len(self.decoder_layers)

    @property
    def decoder_layers(self) -> list[nn.Module]:
        """The decoder layers in order."""
        return list(self.architecture.layers)

    @property
    def final_norm(self) -> nn.Module:
        """What the model applies between its last layer and its output embedding."""
        return self.architecture.final_norm

    @property
    def unembedding(self) -> np.ndarray:
        """``W_U``, vocabulary x features, float32: the rows are the directions of the tokens.

        A view of the model's own weights when they are float32 on the CPU, otherwise a copy made at every access. Of
        adapters and quantised weights it is the matrix that they amount to.
        """
        return self.architecture.unembedding().float().numpy()

    @cached_property
    def eos_token_ids(self) -> list[int]:
        """The tokens that end a caption."""
        ids = self.model.generation_config.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        ids = [] if ids is None else [ids] if isinstance(ids, int) else list(ids)
        end = self._prompter.added_end
        return ids if end is None or end in ids else [*ids, end]

    def layer_index(self, layer: int | str) -> int:
        """A layer's number from 0, of a number that may count from the end, or of the name of its module.

        Raises
        ------
        LayerError
            If there is no such layer.
        """
        name = self.architecture.layers_name
        if isinstance(layer, str):
            prefix, _, number = layer.rpartition(".")
            named = prefix in (name, name.removeprefix(_PEFT_PREFIX))
            if named and number.isdecimal() and int(number) < self.n_layers:
                return int(number)
            raise LayerError(
                f"there is no decoder layer {layer!r}: they are called {name}.0 to {name}.{self.n_layers - 1}"
            )
        if not -self.n_layers <= layer < self.n_layers:
            raise LayerError(
                f"layer {layer} is out of range: the model has {self.n_layers} decoder layers, "
                f"0 to {self.n_layers - 1} or -{self.n_layers} to -1"
            )
        return layer % self.n_layers

    def layer_indices(self, layer: "int | str | Sequence[int | str]") -> list[int]:
        """The numbers from 0 of one layer, of several, or of "all".

        Raises
        ------
        LayerError
            If there is no such layer, none is named, or one is named twice.
        """
        if layer == "all":
            return list(range(self.n_layers))
        if isinstance(layer, (int, str)):
            return [self.layer_index(layer)]
        indices = [self.layer_index(one) for one in layer]
        if not indices:
            raise LayerError('layer is an empty sequence: name at least one, or "all"')
        repeated = [i for i in indices if indices.count(i) > 1]
        if repeated:
            raise LayerError(f"layer {repeated[0]} is named twice among {list(layer)}")
        return indices

    def module_of(self, layer: int, stream: "Stream" = "residual") -> nn.Module:
        """The module whose output is the state of a layer.

        Parameters
        ----------
        layer : int
            From 0.
        stream : {"residual", "attention", "mlp"}
            The layer itself, or its self-attention or feed-forward sublayer. What a sublayer gives is its own output,
            before the norm that some models (Gemma 2 and 3) apply to it before they add it to the residual stream.

        Raises
        ------
        UnsupportedModelError
            If the layer has no such part; the message has those that it has.
        """
        return self.architecture.part(layer, stream)

    def visual_positions(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Which positions of the prompts are visual tokens.

        Parameters
        ----------
        inputs : mapping
            As :meth:`inputs` gives them.

        Returns
        -------
        Tensor of bool, batch x positions

        Raises
        ------
        UnsupportedModelError
            If the language model does not read visual tokens as a part of its text.
        """
        token = image_token_id(self.model, self.processor)
        ids = inputs.get("input_ids")
        found = None if token is None or ids is None or _CROSS_ATTENTION & set(inputs) else ids == token
        if _IMAGE_MASK in inputs:  # Kosmos-2 has tokens of its image token's kind for the image's beginning alone
            found = inputs[_IMAGE_MASK] == 1
        if self.model.config.is_encoder_decoder or found is None or not bool(found.any(dim=1).all()):
            raise UnsupportedModelError(
                f"{type(self.model).__name__} has no visual tokens among those of its prompt (it has cross-attention, "
                f"or puts them in front inside): their states cannot be told apart"
            )
        return found

    @torch.inference_mode()
    def normalize(self, states: ArrayLike) -> np.ndarray:
        """The model's final norm, applied once to every row.

        Parameters
        ----------
        states : array, n x n_features
            States as :class:`~coxlmm.States` holds them, or directions in that space.

        Returns
        -------
        ndarray of float32, n x n_features
            Computed in float32 whatever the model's precision.
        """
        rows = self._rows(states)
        with loaded_weights(self.final_norm) as norm:
            parameters = {name: p.float() for name, p in norm.state_dict().items()}
        device = next(iter(parameters.values())).device if parameters else self.device
        # accelerate's wrappers would load the weights once more, in the model's own precision.
        return torch.func.functional_call(without_hooks(norm), parameters, (rows.to(device),)).cpu().numpy()

    def logits(self, states: ArrayLike) -> np.ndarray:
        """The logits that the model makes of states of its last layer: what it predicts with.

        Final norm, output embedding with its bias, and whatever else the model does there: scale (Cohere, Granite, T5),
        cap softly (Gemma), forbid tokens (Chameleon). The model does all that itself, in one forward pass of a single
        token in which these states take the place of the last layer's output.

        Parameters
        ----------
        states : array, n x n_features
            Before the final norm, as :class:`~coxlmm.States` holds them.

        Returns
        -------
        ndarray of float32, n x vocabulary
            Computed in the model's own precision.
        """
        return logits_of(self.model, self.architecture, self._rows(states), self.device).float().cpu().numpy()

    def _rows(self, states: ArrayLike) -> torch.Tensor:
        rows = torch.from_numpy(np.array(states, dtype=np.float32, ndmin=2))
        n_features = self.architecture.n_features
        if rows.ndim != 2 or rows.shape[1] != n_features:
            raise ValueError(f"states must be n x {n_features} for this model, got {tuple(rows.shape)}")
        return rows

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens left out, white space as it is."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def decode_token(self, token: int) -> str:
        """Text of one token, special or not, with the space it may begin with."""
        return self.tokenizer.decode([int(token)], clean_up_tokenization_spaces=False)

    def decode_with_spans(self, ids: Iterable[int]) -> DecodedTokens:
        """Text of token ids and the characters that each of them contributes."""
        return DecodedTokens(ids, self.decode)

    def inputs(self, images: list[Any]) -> dict[str, Any]:
        """The model's input for the prompt with each of ``images`` (opened), padded on the left, on its device.

        Raises
        ------
        ValueError
            If there are several images, and the model's states of one would depend on the others.
        """
        encoded = self._prompter.encode(self.prompt, images)
        return {key: self._to_model(value) for key, value in encoded.items()}

    def caption(self, images: Iterable[Any], *, batch_size: int = 16, max_new_tokens: int = 32) -> list[str]:
        """What the model writes about each image, greedily, without the prompt.

        Parameters
        ----------
        images : iterable
            Of what :func:`coxlmm.images.open_image` opens, or of :class:`coxlmm.samples.Sample`. Consumed a batch at
            a time.
        batch_size : int
        max_new_tokens : int

        Returns
        -------
        list of str, stripped

        Raises
        ------
        UnreadableImageError
            If an image cannot be read; the message names it.
        """
        captions = []
        pictures = (image.image if isinstance(image, Sample) else image for image in as_images(images))
        for batch in batches(enumerate(pictures), batch_size):
            generated = generate(self, self.inputs([open_image(image, i) for i, image in batch]), max_new_tokens)
            captions += [self.decode(ids).strip() for ids in generated.ids]
        return captions

    def vocabulary(
        self,
        images: Iterable[Any],
        *,
        references: "Iterable[References] | None" = None,
        sample_ids: Iterable[str] | None = None,
        inflections: str | None = None,
        segmentation: "Segmentation | None" = None,
        stop_words: str | Iterable[str] = (),
        max_new_tokens: int = 32,
        batch_size: int | Literal["auto"] = 16,
        workers: int = 4,
        on_error: Literal["record", "raise"] = "record",
        progress: "Progress" = None,
    ) -> "Vocabulary":
        """Which words the model says in the captions that it writes: how a word of interest is chosen.

        A word has a future as a dictionary of concepts if many captions have it (one state each), and if references,
        where there are any, mostly agree: the model then says it because of what it sees.

        Parameters
        ----------
        images, references, sample_ids, max_new_tokens, batch_size, workers, on_error, progress
            As in :meth:`extract`. Images are consumed a batch at a time and not held, captions are counted and not
            held.
        inflections, segmentation
            What one word is, see :class:`coxlmm.words.WordMatcher`: with ``inflections="en"`` "dogs" counts as "dog".
        stop_words : "english", code of a language, or iterable of str
            Words to leave out, see :class:`coxlmm.grounding.WordFilter`.

        Returns
        -------
        Vocabulary
            Words by the number of captions that have them.

        Raises
        ------
        UnreadableImageError
            If no image can be read, or one with ``on_error="raise"``.
        ValueError
            If there are no images, or an option is not one of those above.
        """
        from coxlmm.samples import as_samples
        from coxlmm.vocabulary import vocabulary

        return vocabulary(
            self,
            as_samples(images, references, sample_ids),
            total=len(images) if isinstance(images, Sized) else None,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            workers=workers,
            on_error=on_error,
            progress=progress,
            inflections=inflections,
            segmentation=segmentation,
            stop_words=stop_words,
        )

    def extract(
        self,
        images: Iterable[Any],
        word: str | Sequence[str] | None,
        *,
        references: "Iterable[References] | None" = None,
        sample_ids: Iterable[str] | None = None,
        layer: int | str | Sequence[int | str] = -1,
        stream: "Stream" = "residual",
        position: "Position" = "predicting",
        token: "TokenChoice" = "first",
        case_sensitive: bool = False,
        inflections: str | None = None,
        segmentation: "Segmentation | None" = None,
        teacher_forced: bool = False,
        max_new_tokens: int = 32,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int | Literal["auto"] = 16,
        workers: int = 4,
        on_error: Literal["record", "raise"] = "record",
        verify: int = 0,
        out: str | os.PathLike[str] | None = None,
        resume: bool = True,
        source: Mapping[str, Any] | None = None,
        progress: "Progress" = None,
    ) -> "States | StatesGroup":
        """The states that predict a word in the captions that the model writes.

        An image counts when its caption, and one of its references where it has any, hold the word. Its row is the
        residual stream after decoder layer ``layer``, before the final norm, at the position whose next token is the
        word's (first occurrence). Only generated tokens are searched, never the prompt. Captions are greedy: they are
        the argmax of the logits whatever the checkpoint's own settings of generation say.

        With ``out``, what is done is kept beside it in ``<out>.unfinished``, a few batches at a time. Interrupted at
        any moment, even killed, and called again in the same way, it goes on from there and yields the same bytes as if
        it had never been interrupted. Started as several processes (``torchrun``, ``accelerate launch``), it shares the
        batches out, and every process returns the result, which is the one of a single process to the bit, provided
        that each has the hardware and the number of threads that the single one has.

        Parameters
        ----------
        images : iterable of PIL images, paths, :class:`coxlmm.samples.Sample`, or anything else the processor takes
            Consumed eight batches at a time. :mod:`coxlmm.samples` has folders, COCO captions, JSON lines and others.
        word : str, sequence of str, or None
            A word or a phrase, matched on word boundaries: "cat" is not in "category". Several are looked for in the
            same captions. None: every image counts, for positions that are not the word's.
        references : iterable of str, or of lists of str, optional
            What reference captions each image has, in order. Images without the word in one of them are not captioned.
        sample_ids : iterable of str, optional
            One an image, all different. Default: the paths as given, positions in ``images`` for what is no path.
        layer : int, str, sequence of these, or "all"
            Decoder layers: from 0, from the end (-1 is the last one), or by the name of the module. Several, even all,
            cost one generation.
        stream : {"residual", "attention", "mlp"}
            The residual stream after the layer, or what the layer's attention or feed-forward sublayer gives: see
            :meth:`module_of`.
        position : {"predicting", "word", "prompt", "visual-mean", "visual"}
            Which position's state: the one that predicts the word, the word's own (where its token is read), the last
            one of the prompt, the mean over the image's visual tokens, or each of these, one row a token.
        token : {"first", "last", "mean"}
            Which state stands for a word of several tokens: that of its first token, its last, or the mean.
        case_sensitive, inflections, segmentation
            See :class:`coxlmm.words.WordMatcher`.
        teacher_forced : bool
            The model reads each image's reference (the first one that has a word) instead of writing a caption.
        max_new_tokens : int
            Longest caption.
        temperature, top_p : float, seed : int
            With a positive temperature captions are drawn from the model's distribution, which depends for each image
            on the seed and its sample id alone. Default: greedy.
        batch_size : int or "auto"
            Images that go through the model at a time. "auto" begins with 64 and halves whenever memory runs out.
        workers : int
            Threads that open images ahead; 0 opens them when they are needed.
        on_error : {"record", "raise"}
            What becomes of an image that cannot be read: it is left out, and ``manifest["unreadable"]`` has its id and
            the reason; or an error.
        verify : int
            So many samples, drawn at random, are computed again at the end, each in one plain forward pass of its own
            without cache, batch or this library's hooks, and compared: see
            :func:`coxlmm.verification.verify_states`. What came of it is in ``manifest["verified"]``.
        out : path, optional
            Where to save the states. They are there before they are verified.
        resume : bool
            Whether to go on with an unfinished extraction found at ``out``. One of other samples or with other
            settings is refused; False starts anew.
        source : mapping, optional
            JSON values for ``manifest["source"]``: where the images can be found again.
        progress : bool or callable
            True for a progress bar, or ``progress(done, total)``, called after each batch with the number of images
            done and their total number, None where it is unknown.

        Returns
        -------
        States or StatesGroup
            One row for each image that counts, in the order of ``images``. Where ``word`` or ``layer`` is a sequence or
            "all": a mapping from words, from layer indices, or from pairs of both.

        Raises
        ------
        WordNotFoundError
            If no image counts; the message has the most frequent words that do occur. Of several words it is enough
            that one occurs: a warning names the others.
        ChangedRunError
            If what is unfinished at ``out`` is another extraction; the message says which setting differs.
        UnreadableImageError
            If no image can be read, or one with ``on_error="raise"``.
        ValueError
            If two images have the same sample id, inputs differ in length, an option is not one of those above, or
            states of this model cannot be verified.
        LayerError
            If there is no such layer.
        VerificationError
            If a verified state differs. The states are at ``out`` all the same, with the message in their manifest.
        """
        from coxlmm.extraction import Work, extract
        from coxlmm.samples import as_samples
        from coxlmm.settings import ExtractionSettings

        settings = ExtractionSettings.of_words(
            word,
            {"case_sensitive": case_sensitive, "inflections": inflections, "segmentation": segmentation},
            layers=tuple(self.layer_indices(layer)),
            several_layers=layer == "all" or not isinstance(layer, (int, str)),
            stream=stream,
            position=position,
            token=token,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            teacher_forced=teacher_forced,
        )
        work = Work(
            total=len(images) if isinstance(images, Sized) else None,
            on_error=on_error,
            workers=workers,
            verify=verify,
            out=out,
            resume=resume,
            source=source,
            progress=progress,
        )
        return extract(self, as_samples(images, references, sample_ids), settings, work)

    def caption_ids(self, caption: str) -> list[int]:
        """The tokens of a caption as a continuation of the prompt: after a space where that ends within a sentence."""
        text = caption.strip()
        if self.prompt[-1:].isalnum():
            text = " " + text
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _to_model(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)


def _require_generation(model: Any) -> None:
    if not callable(getattr(model, "generate", None)):
        raise UnsupportedModelError(
            f"{type(model).__name__} does not generate text (it has no generate()): load the model with its head, as "
            f"AutoModelForImageTextToText does"
        )


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one perhaps shorter, taken from ``items`` as they are asked for."""
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _stored_prompt(name_or_path: str | os.PathLike[str], source: dict[str, Any]) -> str | None:
    source = {key: value for key, value in source.items() if key != "trust_remote_code"}
    file = cached_file(
        name_or_path,
        _SETTINGS_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **source,
    )
    if file is None:
        return None
    return json.loads(Path(file).read_text("utf-8"))["prompt"]
