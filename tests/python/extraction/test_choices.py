"""Which states: layers, streams, positions, several words at once, captions given or drawn."""

import numpy as np
import pytest
import torch
from extraction.speaking import token
from tiny_models import image, tiny_idefics3, tiny_llava

from coxlmm import LMM, States, architecture
from coxlmm.architecture import UnsupportedModelError
from coxlmm.generation import GumbelSampler, generate
from coxlmm.models import LayerError
from coxlmm.samples import Sample
from coxlmm.states import StatesGroup
from coxlmm.words import WordNotFoundError

PICTURES = [image(i) for i in range(8)]


@pytest.fixture(scope="module", params=[tiny_llava, tiny_idefics3])
def random_lmm(request):
    return LMM(*request.param())


def said_word(lmm, images=PICTURES, **options):
    words = lmm.caption(images, max_new_tokens=8, **options)[0].split()
    return words[len(words) // 2]


# -- layers and streams


def test_layers_of_one_pass_are_those_of_one_pass_each(random_lmm):
    word = said_word(random_lmm)
    several = random_lmm.extract(PICTURES, word, layer="all", max_new_tokens=8)
    assert list(several) == list(range(random_lmm.n_layers))
    for layer, states in several.items():
        alone = random_lmm.extract(PICTURES, word, layer=layer, max_new_tokens=8)
        np.testing.assert_array_equal(states.X, alone.X)
        assert states.manifest == alone.manifest
    assert list(random_lmm.extract(PICTURES, word, layer=[-1, 0], max_new_tokens=8)) == [random_lmm.n_layers - 1, 0]


def test_a_layer_by_name(random_lmm):
    names = {id(module): name for name, module in random_lmm.model.named_modules()}
    for index, module in enumerate(random_lmm.decoder_layers):
        assert random_lmm.layer_index(names[id(module)]) == index
        assert random_lmm.module_of(index) is module
    with pytest.raises(LayerError, match=r"'layers\.0': they are called model\..*\.layers\.0 to model"):
        random_lmm.layer_index("layers.0")
    with pytest.raises(LayerError, match="layer 0 is named twice"):
        random_lmm.layer_indices([0, -random_lmm.n_layers])
    with pytest.raises(LayerError, match="empty"):
        random_lmm.layer_indices([])


def test_the_residual_stream_is_what_the_sublayers_add_up_to(random_lmm):
    word = said_word(random_lmm)

    def of(stream):
        return random_lmm.extract(PICTURES, word, layer="all", stream=stream, max_new_tokens=8, verify=2)

    residual, attention, mlp = of("residual"), of("attention"), of("mlp")
    for layer in range(1, random_lmm.n_layers):
        added = residual[layer].X - residual[layer - 1].X
        np.testing.assert_allclose(attention[layer].X + mlp[layer].X, added, atol=1e-4)
        assert np.abs(attention[layer].X).max() > 0.01
    assert mlp[0].manifest["stream"] == "mlp"
    assert mlp[0].manifest["verified"]["n"] == min(2, len(mlp[0]))


def test_a_layer_without_the_part_is_named(random_lmm, monkeypatch):
    monkeypatch.setitem(architecture._SUBLAYERS, "mlp", ("mixer",))
    with pytest.raises(UnsupportedModelError, match=r"as its mlp: looked for mixer, it has self_attn, mlp"):
        random_lmm.extract(PICTURES, "dog", stream="mlp")


# -- positions


def test_the_words_own_position(lmm, speaker):
    own = {
        t: lmm.extract(speaker.images, "zebra", position="word", token=t, verify=1) for t in ("first", "last", "mean")
    }
    zeb, ra = speaker.embedding(token(speaker, " zeb")), speaker.embedding(token(speaker, "ra"))
    for choice, expected in {"first": zeb, "last": ra, "mean": (zeb + ra) / 2}.items():
        np.testing.assert_allclose(own[choice].X, [expected], rtol=1e-6)
        np.testing.assert_array_equal(own[choice].positions, [2])


@pytest.mark.parametrize("max_new_tokens", [3, 8])
def test_the_own_position_of_a_last_word(lmm, speaker, max_new_tokens):
    # Nothing is generated after it that would have needed its state.
    states = lmm.extract(speaker.images, "dog", position="word", max_new_tokens=max_new_tokens)
    assert states.captions == ["a red dog", "this hot dog"]
    np.testing.assert_allclose(states.X, [speaker.embedding(token(speaker, " dog"))] * 2, rtol=1e-6)


def test_the_last_position_of_the_prompt(lmm, speaker):
    first = lmm.extract(speaker.images, "two")
    states = lmm.extract(speaker.images, "two", position="prompt", verify=1)
    np.testing.assert_array_equal(states.X, first.X)
    everything = lmm.extract(speaker.images, None, position="prompt")
    assert everything.sample_ids == ["0", "1", "2", "3", "4"]
    assert everything.manifest["word"] is None
    np.testing.assert_allclose(everything.X[3], states.X[0], rtol=1e-6)


@pytest.mark.parametrize("layer", [0, -1])
def test_visual_tokens(random_lmm, layer):
    every = random_lmm.extract(PICTURES, None, layer=layer, position="visual", max_new_tokens=2, verify=3)
    mean = random_lmm.extract(PICTURES, None, layer=layer, position="visual-mean", max_new_tokens=2, verify=3)
    assert every.manifest["verified"]["n"] == 3
    for i, picture in enumerate(PICTURES):
        inputs = random_lmm.inputs([picture])
        with torch.inference_mode():
            hidden = random_lmm.model(**inputs, output_hidden_states=True).hidden_states
        there = random_lmm.visual_positions(inputs)[0]
        own = [row for row, name in enumerate(every.sample_ids) if name == str(i)]
        assert len(own) == int(there.sum()) >= 4
        np.testing.assert_array_equal(every.positions[own], np.arange(len(own)))
        if layer == 0:
            np.testing.assert_allclose(every.X[own], hidden[1][0][there].numpy(), rtol=1e-4, atol=1e-5)
        else:
            normalized = random_lmm.normalize(every.X[own])
            np.testing.assert_allclose(normalized, hidden[-1][0][there].numpy(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(mean.X[i], every.X[own].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_position_of_a_word_needs_a_word(lmm, speaker):
    with pytest.raises(ValueError, match="position='predicting' is that of a word: name one"):
        lmm.extract(speaker.images, None)
    with pytest.raises(ValueError, match=r"position must be one of predicting, word, .*'everywhere'"):
        lmm.extract(speaker.images, "dog", position="everywhere")


# -- several words


def test_several_words_in_one_pass(lmm, speaker, tmp_path):
    words = ["zebra", "dog", "hot dog"]
    references = ["a dog", "dog", "", "", "a hot dog"]
    with pytest.warns(UserWarning, match="'zebra' occurs in none of 5 references"):
        group = lmm.extract(speaker.images, words, references=references, out=tmp_path / "out")
    assert list(group) == ["dog", "hot dog"]
    for word, states in group.items():
        alone = lmm.extract(speaker.images, word, references=references)
        np.testing.assert_array_equal(states.X, alone.X)
        for name in ("sample_ids", "captions", "references", "tokens"):
            assert getattr(states, name) == getattr(alone, name)
        assert {**states.manifest, "counts": 0} == {**alone.manifest, "counts": 0}
    loaded = StatesGroup.load(tmp_path / "out")
    assert loaded["dog"].manifest == group["dog"].manifest


def test_words_that_do_not_occur_are_warned_of_where_another_does(lmm, speaker):
    with pytest.warns(UserWarning, match=r"'lion' occurs in none of 5 captions.*dog \(2\).*no states"):
        group = lmm.extract(speaker.images, ["lion", "dog"], layer=[0, 1])
    assert list(group) == [("dog", 0), ("dog", 1)]
    with pytest.raises(WordNotFoundError, match="'lion'"):
        lmm.extract(speaker.images, ["lion", "hyena"])
    with pytest.raises(ValueError, match="'dog' is given twice"):
        lmm.extract(speaker.images, ["dog", "dog"])


def test_one_reference_of_several_is_enough(lmm, speaker):
    samples = [Sample(picture, str(i), ("a cat", "a dog")[i % 2 :]) for i, picture in enumerate(speaker.images)]
    states = lmm.extract(samples, "dog")
    assert states.references == [("a cat", "a dog")] * 2
    assert lmm.extract(samples[::2], "dog").references == [("a cat", "a dog")] * 2


# -- captions given, and drawn


def test_captions_that_are_read_have_the_states_of_those_that_are_written(random_lmm, monkeypatch):
    captions = random_lmm.caption(PICTURES, max_new_tokens=8)
    # The tokenizer spells them in other tokens than the model did.
    written_ids = dict(zip(captions, generate(random_lmm, random_lmm.inputs(PICTURES), 8).ids, strict=True))
    monkeypatch.setattr(random_lmm, "caption_ids", written_ids.get)
    word = said_word(random_lmm)
    for position in ("predicting", "word", "prompt"):
        for choice in ("first", "mean"):
            options = {"position": position, "token": choice, "layer": "all", "max_new_tokens": 8}
            written = random_lmm.extract(PICTURES, word, **options)
            read = random_lmm.extract(PICTURES, word, references=captions, teacher_forced=True, **options)
            for layer in written:
                assert read[layer].captions == written[layer].captions
                np.testing.assert_array_equal(read[layer].positions, written[layer].positions)
                np.testing.assert_allclose(read[layer].X, written[layer].X, rtol=1e-3, atol=1e-4)


def test_a_caption_is_read_whether_or_not_the_model_would_write_it(lmm, speaker):
    states = lmm.extract(
        speaker.images[:2], "dog", references=[["a cat", "the blue dog"], "my dog"], teacher_forced=True, verify=2
    )
    assert states.captions == ["the blue dog", "my dog"]
    np.testing.assert_allclose(states.X[0], speaker.embedding(token(speaker, " blue")), rtol=1e-6)
    assert states.manifest["decoding"] == "teacher-forced"
    with pytest.raises(ValueError, match=r"sample '0' has no reference caption"):
        lmm.extract(speaker.images, "dog", teacher_forced=True)


def test_drawn_captions_depend_on_seed_and_sample_alone(random_lmm):
    names = [f"{i}.png" for i in range(len(PICTURES))]
    options = {"position": "prompt", "temperature": 3.0, "max_new_tokens": 6}
    drawn = random_lmm.extract(PICTURES, None, sample_ids=names, seed=1, **options)
    singly = random_lmm.extract(PICTURES[::-1], None, sample_ids=names[::-1], seed=1, batch_size=1, **options)
    assert singly.captions[::-1] == drawn.captions
    assert random_lmm.extract(PICTURES, None, sample_ids=names, seed=2, **options).captions != drawn.captions
    assert random_lmm.extract(PICTURES, None, sample_ids=names, **{**options, "temperature": 0.0}).captions != (
        drawn.captions
    )
    assert drawn.manifest["decoding"] == "sampled"
    assert (drawn.manifest["seed"], drawn.manifest["temperature"]) == (1, 3.0)


def test_the_sampler_draws_from_the_models_distribution():
    scores = torch.tensor([[1.0, 0.0, 2.0, -1.0]])
    n = 4000
    sampler = GumbelSampler(range(n), temperature=0.5, top_p=1.0)
    drawn = sampler(None, scores.expand(n, -1)).argmax(dim=1)
    frequency = torch.bincount(drawn, minlength=4) / n
    expected = torch.softmax(scores[0] / 0.5, dim=0)
    # Four standard deviations.
    assert torch.all((frequency - expected).abs() <= 4 * (expected * (1 - expected) / n).sqrt() + 1e-9)
    nucleus = GumbelSampler(range(n), temperature=0.5, top_p=0.8)(None, scores.expand(n, -1)).argmax(dim=1)
    assert set(nucleus.tolist()) == {2}


def test_sampling_costs_no_state(random_lmm):
    word = said_word(random_lmm)
    greedy = random_lmm.extract(PICTURES, word, max_new_tokens=8)
    cold = random_lmm.extract(PICTURES, word, max_new_tokens=8, temperature=1e-6)
    assert cold.captions == greedy.captions
    np.testing.assert_array_equal(cold.X, greedy.X)


# -- tokens


def test_the_tokens_are_kept(lmm, speaker, tmp_path):
    states = lmm.extract(speaker.images, "dog", out=tmp_path / "states")
    assert states.tokens == [speaker.sentences[0], speaker.sentences[4]]
    assert States.load(tmp_path / "states").tokens == states.tokens
    assert generate(lmm, lmm.inputs(speaker.images), 8).ids[4] == states.tokens[1]
