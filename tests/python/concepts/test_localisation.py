"""Where in an image a concept is: maps against plain passes of the model, grids against what pictures show."""

import numpy as np
import pytest
import torch
from compatibility.families_first import FAMILIES as FIRST
from compatibility.families_second import FAMILIES as SECOND
from PIL import Image
from tiny_models import image, tiny_idefics3, tiny_llava

from coxlmm import LMM, ConceptDictionary, SemiNMF
from coxlmm.architecture import UnsupportedModelError
from coxlmm.grounding import ground_images
from coxlmm.localisation import Grid, Spoken, faithfulness, grid_of, heat_maps_of
from coxlmm.localisation.alteration import covered
from coxlmm.localisation.maps import code_gradients, gradient_maps, occlusion_maps

FAMILIES = {family.name: family for family in [*FIRST, *SECOND]}
IMAGES = [image(seed) for seed in range(24)]
LAYER = 1


@pytest.fixture(scope="module")
def tiny():
    """A model of random weights, all of whose captions have the word."""
    lmm = LMM(*tiny_llava(), prompt="<image>A photo of")
    said = [set(caption.split()) for caption in lmm.caption(IMAGES, max_new_tokens=8)]
    word = sorted(set.intersection(*said))[0]
    return lmm, word


def fitted(tiny, images=IMAGES, **options):
    lmm, word = tiny
    options = {"layer": LAYER, "max_new_tokens": 8} | options
    states = lmm.extract(images, None if options.get("position") in ("visual", "prompt") else word, **options)
    return ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0)), states


@pytest.fixture(scope="module")
def of_dictionary(tiny):
    return fitted(tiny)


@pytest.fixture
def dictionary(of_dictionary):
    dictionary, _ = of_dictionary
    dictionary.images = []
    return dictionary


@pytest.fixture
def spoken(tiny, of_dictionary):
    dictionary, states = of_dictionary
    return Spoken(dictionary, tiny[0], IMAGES[3], states.tokens[3])


def plain_hidden(lmm, picture, tokens, embeddings=None):
    """Hidden states after the layer of a pass over prompt and caption, with transformers alone."""
    inputs = lmm.processor(images=[picture], text=[lmm.prompt], return_tensors="pt")
    ids = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
    given = {"input_ids": ids} if embeddings is None else {"inputs_embeds": embeddings}
    pixels = {} if embeddings is not None else {"pixel_values": inputs["pixel_values"]}
    outputs = lmm.model(**given, **pixels, output_hidden_states=True)
    return ids[0], outputs.hidden_states


def test_states_map_is_what_a_visual_token_has_of_a_concept(tiny, of_dictionary):
    lmm, _ = tiny
    dictionary, states = of_dictionary
    spoken = [Spoken(dictionary, lmm, picture) for picture in IMAGES[:3]]
    maps = heat_maps_of(spoken, [[0, 2]] * 3, "states", batch_size=2)
    U = dictionary.components
    for picture, tokens, found in zip(IMAGES, states.tokens, maps, strict=False):
        ids, hidden = plain_hidden(lmm, picture, tokens)
        visual = hidden[LAYER + 1][0][ids == lmm.model.config.image_token_id].numpy()
        for k in (0, 2):
            along = [(state - visual.mean(axis=0)) @ (U[k] - U.mean(axis=0)) for state in visual]
            np.testing.assert_allclose(found[k], np.reshape(along, (2, 2)), atol=1e-3)
            assert np.ptp(found[k]) > 0.1


def test_gradient_of_codes_is_that_of_the_active_set(of_dictionary):
    dictionary, states = of_dictionary
    U = dictionary.components.astype(np.float64)
    for x in states.X[:5]:
        active = dictionary.encode(x[None].astype(np.float64))[0] > 0
        found = code_gradients(dictionary, x)
        np.testing.assert_allclose(found[active], np.linalg.solve(U[active] @ U[active].T, U[active]), atol=1e-4)
        assert np.all(found[~active] == 0)


@pytest.fixture
def predicted(tiny, of_dictionary):
    """From the embeddings that enter the first layer to the state that predicts the word, by transformers alone."""
    lmm, _ = tiny
    _, states = of_dictionary
    tokens = states.tokens[3]
    ids, hidden = plain_hidden(lmm, IMAGES[3], tokens)
    visual = torch.nonzero(ids == lmm.model.config.image_token_id)[:, 0]
    predicting = len(ids) - len(tokens) - 1 + int(states.positions[3])

    def state_of(embeddings):
        _, after = plain_hidden(lmm, IMAGES[3], tokens, embeddings)
        return after[LAYER + 1][0, predicting].double().numpy()

    return hidden[0], visual, state_of


def test_gradient_map_is_how_the_activation_moves_with_an_embedding(of_dictionary, spoken, predicted):
    dictionary, states = of_dictionary
    embeddings, visual, state_of = predicted
    k = int(dictionary.encode(states.X[3:4])[0].argmax())
    direction = code_gradients(dictionary, states.X[3])[k]
    differences = embeddings[0, visual] - embeddings[0, visual].mean(dim=0)
    (found,) = gradient_maps(spoken, [k], n_steps=2)
    assert found.min() < 0 < found.max()
    for place, token in enumerate(visual.tolist()):
        slopes = []
        for fraction in (0.25, 0.75):
            moved = embeddings.clone()
            moved[0, visual] -= (1 - fraction) * differences
            more, less = moved.clone(), moved.clone()
            more[0, token] += 0.01 * differences[place]
            less[0, token] -= 0.01 * differences[place]
            slopes.append(direction @ (state_of(more) - state_of(less)) / 0.02)
        assert found.ravel()[place] == pytest.approx(np.mean(slopes), rel=0.02, abs=0.01 * float(np.abs(found).max()))
    # At the image itself the activation of the dictionary's own code moves so.
    gradients = spoken.sensitivity(direction[None], [1.0])[1][0]
    moved = embeddings.clone()
    moved[0, visual[1]] += 1e-3 * differences[1]
    gained = dictionary.encode(np.stack([state_of(moved), state_of(embeddings)]))[:, k]
    assert (gained[0] - gained[1]) / 1e-3 == pytest.approx(float(gradients[1] @ differences[1].numpy()), rel=0.05)


def test_gradients_sum_to_what_is_gained_on_the_way(of_dictionary, spoken, predicted):
    dictionary, states = of_dictionary
    embeddings, visual, state_of = predicted
    blank = embeddings.clone()
    blank[0, visual] = embeddings[0, visual].mean(dim=0)
    gained = code_gradients(dictionary, states.X[3]) @ (state_of(embeddings) - state_of(blank))
    found = gradient_maps(spoken, range(4), n_steps=64).sum(axis=(1, 2))
    np.testing.assert_allclose(found, gained, atol=0.02 * np.abs(gained).max())


def test_gradients_leave_no_hook_and_no_graph_behind(tiny, spoken):
    lmm, _ = tiny

    def hooks():
        return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in lmm.model.modules()]

    before = hooks()
    gradient_maps(spoken, [0, 1])
    assert hooks() == before
    assert not any(parameter.grad is not None for parameter in lmm.model.parameters())


def test_layers_that_pass_no_gradients_on_are_refused(tiny, spoken, monkeypatch):
    layer = tiny[0].decoder_layers[0]
    monkeypatch.setattr(layer, "forward", torch.no_grad()(layer.forward))
    with pytest.raises(UnsupportedModelError, match="LlavaForConditionalGeneration pass no gradients on"):
        gradient_maps(spoken, [0])
    # Where nobody named a method, the next best one is taken.
    explanation = spoken.dictionary.explain(spoken.lmm, spoken.image)
    assert (explanation.heat_method, explanation.without_heat) == ("states", None)
    spoken.dictionary.images = ground_images(spoken.dictionary.codes, *[spoken.dictionary.sample_ids] * 2, 1)
    spoken.dictionary.localise(spoken.lmm, images=IMAGES)
    assert all(hit.heat.shape == (2, 2) for hits in spoken.dictionary.images for hit in hits)


def test_occlusion_is_the_loss_without_a_part(tiny, of_dictionary, spoken):
    lmm, _ = tiny
    dictionary, states = of_dictionary
    maps = occlusion_maps(spoken, [0, 1, 2, 3], (2, 2), batch_size=3)
    pixels = np.asarray(IMAGES[3]).copy()
    pixels[:8, 8:] = pixels.reshape(-1, 3).mean(axis=0).round()
    ids, hidden = plain_hidden(lmm, Image.fromarray(pixels), states.tokens[3])
    state = hidden[LAYER + 1][0, len(ids) - len(states.tokens[3]) - 1 + states.positions[3]]
    loss = dictionary.encode(states.X[3:4])[0] - dictionary.encode(state.numpy()[None])[0]
    np.testing.assert_allclose(maps[:, 0, 1], loss, atol=1e-3)
    assert np.abs(loss).max() > 0.01


def test_what_is_already_covered_loses_nothing(tiny, of_dictionary):
    dictionary, states = of_dictionary
    # The upper half has the image's mean colour as it is.
    pixels = np.full((16, 16, 3), 90, np.uint8)
    pixels[8:, :8], pixels[8:, 8:] = 40, 140
    spoken = Spoken(dictionary, tiny[0], Image.fromarray(pixels), states.tokens[0])
    maps = occlusion_maps(spoken, [0, 1, 2, 3], (2, 2))
    assert np.abs(maps[:, 0]).max() < 1e-4
    assert np.abs(maps[:, 1]).max() > 0.01


def test_curves_begin_with_the_image_and_end_with_nothing_of_it(tiny, of_dictionary):
    lmm, _ = tiny
    dictionary, states = of_dictionary
    k = int(dictionary.encode(states.X[3:4])[0].argmax())
    heat = np.array([[0.1, 0.7], [1.0, 0.2]])
    found = faithfulness(dictionary, lmm, IMAGES[3], heat, k, states.tokens[3], n_steps=4, n_random=3)
    whole = dictionary.encode(states.X[3:4])[0, k]
    color = tuple(np.asarray(IMAGES[3]).reshape(-1, 3).mean(axis=0).round().astype(int).tolist())
    spoken = Spoken(dictionary, lmm, IMAGES[3], states.tokens[3])
    cells = np.array([[False, True], [True, False]])  # the hottest two
    blank, gone, shown = spoken.activations(
        [covered(IMAGES[3], mask, color) for mask in (np.ones((2, 2), bool), cells, ~cells)]
    )[:, k]
    np.testing.assert_allclose(found.fractions, [0, 0.25, 0.5, 0.75, 1])
    for deletion in (found.deletion, *found.random_deletion):
        assert deletion[[0, -1]] == pytest.approx([whole, blank], rel=1e-4)
    for insertion in (found.insertion, *found.random_insertion):
        assert insertion[[0, -1]] == pytest.approx([blank, whole], rel=1e-4)
    assert (found.deletion[2], found.insertion[2]) == pytest.approx((gone, shown), rel=1e-4)
    curve = found.deletion
    area = (curve[0] / 2 + curve[1:-1].sum() + curve[-1] / 2) / 4 / whole
    assert found.deletion_area == pytest.approx(area, rel=1e-4)
    assert len(found.random_deletion) == 3
    again = faithfulness(dictionary, lmm, IMAGES[3], heat, k, states.tokens[3], n_steps=4, n_random=3)
    assert again.to_dict() == found.to_dict()


def test_curves_refuse_what_they_cannot_draw(tiny, of_dictionary):
    lmm, _ = tiny
    dictionary, states = of_dictionary
    for wrong, message in (
        ({"heat": np.ones(4)}, r"rows x columns, got an array of shape \(4,\)"),
        ({"concept": 4}, "no concept 4: they are 0 to 3"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"tokens": []}, "does not have the word"),
    ):
        given = {"heat": np.ones((2, 2)), "concept": 0, "tokens": states.tokens[0]} | wrong
        with pytest.raises(ValueError, match=message):
            faithfulness(dictionary, lmm, IMAGES[0], **given)


@pytest.mark.parametrize("position", ["predicting", "word", "prompt", "visual-mean"])
@pytest.mark.parametrize("token", ["first", "mean"])
def test_the_state_read_again_is_the_one_extracted(tiny, position, token):
    lmm, _ = tiny
    dictionary, states = fitted(tiny, IMAGES[:8], position=position, token=token, stream="mlp")
    for i in range(3):
        spoken = Spoken(dictionary, lmm, IMAGES[i], states.tokens[i])
        np.testing.assert_allclose(spoken.states([IMAGES[i]])[0], states.X[i], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["states", "gradient", "occlusion"])
def test_every_grounded_image_has_a_map_and_maps_of_a_concept_compare(tiny, dictionary, method):
    lmm, _ = tiny
    dictionary.ground(lmm, images=IMAGES, n_images=3, n_words=1)
    assert dictionary.localise(lmm, images=IMAGES, method=method, batch_size=4) is dictionary
    tokens = lmm.extract(IMAGES, dictionary.word, layer=LAYER, max_new_tokens=8).tokens
    for k, hits in enumerate(dictionary.images):
        numbers = [int(hit.sample_id) for hit in hits]
        spoken = [Spoken(dictionary, lmm, IMAGES[i], tokens[i]) for i in numbers]
        raw = [of[k] for of in heat_maps_of(spoken, [[k]] * len(hits), method)]
        largest = max(values.max() for values in raw)
        for hit, values in zip(hits, raw, strict=True):
            assert hit.heat.dtype == np.float32
            assert hit.thumbnail is not None
            expected = np.maximum(values, 0) / largest if largest > 0 else np.zeros_like(values)
            np.testing.assert_allclose(hit.heat, expected, atol=1e-3)


def test_where_words_share_a_dictionary_each_image_is_of_its_own_word(tiny):
    lmm, word = tiny
    captions = lmm.caption(IMAGES, max_new_tokens=8)
    other = next(w for w in sorted(set(" ".join(captions).split())) if w != word and len(w) > 1)
    states = lmm.extract(IMAGES, [word, other], layer=LAYER, max_new_tokens=8)
    dictionary = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    dictionary.images = ground_images(dictionary.codes, dictionary.sample_ids, dictionary.captions, 12, IMAGES)
    dictionary.localise(lmm, images=IMAGES, method="occlusion")
    of_word = {w: dict(zip(of.sample_ids, zip(of.tokens, dictionary.encode(of), strict=True), strict=True))
               for w, of in states.items()}  # fmt: skip
    found = set()
    for k, hits in enumerate(dictionary.images):
        raw = []
        for hit in hits:
            most = max(
                (w for w in of_word if hit.sample_id in of_word[w]), key=lambda w: of_word[w][hit.sample_id][1][k]
            )
            found.add(most)
            tokens = of_word[most][hit.sample_id][0]
            assert of_word[most][hit.sample_id][1][k] == pytest.approx(hit.activation, rel=1e-4)
            spoken = Spoken(dictionary, lmm, IMAGES[int(hit.sample_id)], tokens, most)
            raw.append(heat_maps_of([spoken], [[k]], "occlusion")[0][k])
        largest = max(values.max() for values in raw)
        for hit, values in zip(hits, raw, strict=True):
            np.testing.assert_allclose(hit.heat, np.maximum(values, 0) / largest, atol=1e-3)
    assert found == {word, other}


def test_an_image_that_is_nowhere_has_no_map(tiny, dictionary, tmp_path):
    lmm, _ = tiny
    dictionary.ground(lmm, images=IMAGES, n_images=1, n_words=1).localise(lmm)
    assert all(hit.heat is None for hits in dictionary.images for hit in hits)


def test_localise_says_what_is_missing(tiny, dictionary):
    lmm, _ = tiny
    with pytest.raises(ValueError, match="not grounded yet"):
        dictionary.localise(lmm, images=IMAGES)
    dictionary.ground(lmm, images=IMAGES, n_images=1, n_words=1)
    with pytest.raises(ValueError, match="must be auto, None or one of states, gradient, occlusion, got 'rollout'"):
        dictionary.localise(lmm, images=IMAGES, method="rollout")


def test_another_caption_is_told(tiny, dictionary, monkeypatch):
    lmm, _ = tiny
    dictionary.ground(lmm, images=IMAGES, n_images=1, n_words=1)
    monkeypatch.setitem(dictionary.manifest, "word", "zebra")
    with pytest.warns(UserWarning, match=r"images have no heat map.* no longer contains 'zebra'"):
        dictionary.localise(lmm, images=IMAGES, method="gradient")
    assert all(hit.heat is None for hits in dictionary.images for hit in hits)


def moved_most(lmm, picture, box):
    """The visual token whose embedding changes most as a part of the picture is inverted."""

    def embeddings(shown):
        inputs = lmm.inputs([shown])
        there = lmm.visual_positions(inputs)[0]
        entered = []
        handle = lmm.decoder_layers[0].register_forward_pre_hook(
            lambda module, args, kwargs: entered.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
        with torch.inference_mode():
            lmm.model(**inputs)
        handle.remove()
        return entered[0][0, : len(there)][there]

    altered = picture.copy()
    altered.paste(Image.fromarray(255 - np.asarray(picture.crop(box))), box[:2])
    return int((embeddings(altered) - embeddings(picture)).norm(dim=1).argmax())


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "gemma3", "llama4", "janus", "paligemma", "video_llama_3"])
@pytest.mark.parametrize("size", [(96, 48), (64, 64)])
def test_a_token_lies_where_the_image_moves_it(family, size):
    model, processor = FAMILIES[family].build()
    lmm = LMM(model, processor, prompt=FAMILIES[family].prompt)
    picture = image(0, size)
    grid = grid_of(lmm, picture)
    left, top, right, bottom = grid.box
    asked = 0
    for row in range(grid.rows):
        for column in range(grid.columns):
            x = [size[0] * (left + (right - left) * (column + i) / grid.columns) for i in (0, 1)]
            y = [size[1] * (top + (bottom - top) * (row + i) / grid.rows) for i in (0, 1)]
            box = tuple(round(v) for v in (x[0], y[0], x[1], y[1]))
            if min(box) >= 0 and box[2] <= size[0] and box[3] <= size[1]:
                assert moved_most(lmm, picture, box) == row * grid.columns + column
                asked += 1
    assert asked > 1


def test_what_a_processor_crops_is_outside_of_the_grid():
    model, processor = tiny_llava()
    processor.image_processor.size = {"shortest_edge": 16}
    lmm = LMM(model, processor)
    wide = grid_of(lmm, image(0, (64, 32)))
    assert (wide.rows, wide.columns) == (2, 2)
    np.testing.assert_allclose(wide.box, (0.25, 0, 0.75, 1), atol=0.02)
    np.testing.assert_array_equal(wide.on_image(np.array([1, 2, 3, 4])), [[0, 1, 2, 0], [0, 3, 4, 0]])
    np.testing.assert_allclose(grid_of(lmm, image(0, (32, 64))).box, (0, 0.25, 1, 0.75), atol=0.02)


def test_padding_is_no_part_of_the_image():
    # Half of the rows are padding, above and below.
    padded = Grid(4, 4, (0.0, -0.5, 1.0, 1.5))
    np.testing.assert_array_equal(padded.on_image(np.arange(16)), np.arange(16).reshape(4, 4)[1:3])
    np.testing.assert_array_equal(Grid(2, 3).on_image(np.arange(6)), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("llava_next", r"pixel_values are of shape \(1, 3, 3, 32, 32\)"),
        ("cohere2_vision", "cut in 3 tiles"),
        ("idefics2", "answers to learned queries"),
        ("kosmos-2", "answers to learned queries"),
        ("aria", r"answers to learned queries \(.*query\)"),
        ("hunyuan_vl", "17 visual tokens are not the 3 x 4"),
        ("emu3", "24 x 32 pixels in 15 tokens"),
    ],
)
def test_tokens_of_no_grid_are_refused_with_the_reason(family, reason):
    model, processor = FAMILIES[family].build()
    lmm = LMM(model, processor, prompt=FAMILIES[family].prompt)
    with pytest.raises(UnsupportedModelError, match=f"{reason}.*method='occlusion' asks the image itself"):
        grid_of(lmm, image(0, (64, 48)))


def test_a_model_without_a_grid_is_explained_without_maps_or_by_occlusion():
    lmm = LMM(*tiny_idefics3())
    word = lmm.caption(IMAGES[:1], max_new_tokens=4)[0].split()[0]
    states = lmm.extract(IMAGES[:12], word, max_new_tokens=4)
    dictionary = ConceptDictionary.fit(states, SemiNMF(2, l1=0.1, random_state=0))
    chosen = IMAGES[int(states.sample_ids[0])]
    explanation = dictionary.explain(lmm, chosen)
    assert explanation.heat_method is None
    assert "is not known: its pixel_values are of shape (1, 5, 3, 16, 16)" in explanation.without_heat
    assert all(active.heat is None for active in explanation.concepts)
    with pytest.raises(UnsupportedModelError, match="is not known"):
        dictionary.explain(lmm, chosen, heat_maps="states")
    by_occlusion = dictionary.explain(lmm, chosen, heat_maps="occlusion")
    assert (by_occlusion.heat_method, by_occlusion.without_heat) == ("occlusion", None)
    assert all(active.heat.shape == (8, 8) for active in by_occlusion.concepts)
