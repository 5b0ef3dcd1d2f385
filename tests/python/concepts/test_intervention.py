"""What a model says without a concept: beside forward passes of the tests' own, with hooks of their own."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from concepts.world import noise_image
from tiny_models import PROMPT, image, tiny_idefics3, tiny_llava
from typer.testing import CliRunner

from coxlmm import LMM, PCA, ConceptDictionary, KMeans, SemiNMF
from coxlmm.cli import app
from coxlmm.concept import Effect
from coxlmm.generation import continued, editing, predict
from coxlmm.intervention import branches
from coxlmm.intervention.branches import Fork
from coxlmm.intervention.directions import divergence, isotropic_directions, matched_directions, p_value

IMAGES = [image(seed) for seed in range(12)]
LAYERS = [0, 1, 2]
N_TOKENS = 6


@pytest.fixture(scope="module")
def model():
    """Random weights: attention mixes positions, and captions depend on the image."""
    lmm = LMM(*tiny_llava(seed=3), prompt=PROMPT)
    captions = lmm.caption(IMAGES, max_new_tokens=N_TOKENS)
    words = [word for text in captions for word in set(text.split()[1:3]) - set(text.split()[:1])]
    lmm.word = max(sorted(set(words)), key=words.count)
    return lmm


@cache
def extracted(model, layer, stream):
    return model.extract(IMAGES, model.word, layer=layer, stream=stream, max_new_tokens=N_TOKENS)


def fitted(model, layer=1, estimator=None, stream="residual"):
    states = extracted(model, layer, stream)
    assert len(states) >= 4
    estimator = estimator or SemiNMF(3, l1=0.1, random_state=0)
    return ConceptDictionary.fit(states, estimator)


def most_active(dictionary, concept=None):
    """A sample's image, and the concept that it activates most."""
    codes = dictionary.codes if concept is None else dictionary.codes[:, [concept]]
    sample, k = np.unravel_index(codes.argmax(), codes.shape)
    return IMAGES[int(dictionary.sample_ids[sample])], int(k if concept is None else concept)


def plainly(model, module, picture, tokens, change, n_new, every=False):
    """The logits of the next token, and those that follow, each from a whole forward pass without cache.

    ``change`` is added to the states from that of the next token on if ``every``, or to that one alone.
    """
    said, first_logits = [], None
    for step in range(n_new):
        inputs = model.inputs([picture])
        if tokens or said:
            inputs = continued(model, inputs, [[*tokens, *said]])
        length = inputs["input_ids"].shape[1]
        first = length - 1 - step
        places = range(first, length if every else first + 1)

        def hook(module, args, output, places=places):
            hidden = output if isinstance(output, torch.Tensor) else output[0]
            hidden = hidden.clone()
            for place in places:
                hidden[0, place] += torch.from_numpy(change(hidden[0, place].numpy())).float()
            return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])

        handle = module.register_forward_hook(hook)
        with torch.inference_mode():
            logits = model.model(**inputs, use_cache=False).logits[0, -1].double()
        handle.remove()
        first_logits = logits if first_logits is None else first_logits
        token = int(logits.argmax())
        if token in model.eos_token_ids:
            break
        said.append(token)
    return first_logits.log_softmax(0).numpy(), said


def caption_of(model, picture):
    states = model.extract([picture], model.word, max_new_tokens=N_TOKENS)
    return states.tokens[0], int(states.positions[0])


@pytest.mark.parametrize("positions", ["word", "from-word"])
@pytest.mark.parametrize(
    ("layer", "how"), [(0, {"factor": 2.5}), (1, {"factor": 0}), (1, {"add": 3.0}), (2, {"factor": 2.5})]
)
def test_it_is_a_plain_forward_pass_with_the_state_changed(model, layer, positions, how):
    dictionary = fitted(model, layer)
    picture, k = most_active(dictionary)
    tokens, position = caption_of(model, picture)
    typical = dictionary.codes[dictionary.codes[:, k] > 0, k].mean()

    def change(state):
        v = dictionary.encode(state[None])[0, k]
        return ((how.get("factor", 1) - 1) * v + how.get("add", 0) * typical) * dictionary.components[k]

    done = dictionary.intervene(model, picture, k, positions=positions, n_random=2, **how)
    module, n_new = model.decoder_layers[layer], N_TOKENS - position
    before, said = plainly(model, module, picture, tokens[:position], lambda state: 0 * state, n_new)
    after, other = plainly(model, module, picture, tokens[:position], change, n_new, positions == "from-word")
    assert position > 0
    assert done.caption == model.decode(tokens).strip() == model.decode([*tokens[:position], *said]).strip()
    assert done.changed_caption == model.decode([*tokens[:position], *other]).strip()
    assert done.divergence == pytest.approx(np.exp(before) @ (before - after), rel=1e-2)
    assert done.divergence > 1e-5
    found = {word.text: word for word in done.next_words}
    top = model.decode_token(int(after.argmax()))
    assert found[top].after == pytest.approx(np.exp(after.max()), rel=1e-4)
    assert found[top].before == pytest.approx(np.exp(before[after.argmax()]), rel=1e-3)


def test_some_captions_change(model):
    """What the test above compares must be different somewhere, or it would compare nothing."""
    changed = set()
    for layer in LAYERS:
        dictionary = fitted(model, layer)
        for positions in ("word", "from-word"):
            done = dictionary.intervene(model, most_active(dictionary)[0], 0, add=4, positions=positions, n_random=1)
            changed |= {(positions, done.changed_caption)} - {(positions, done.caption)}
    assert {positions for positions, _ in changed} == {"word", "from-word"}


def test_at_the_last_layer_the_logits_are_those_of_the_changed_state(model):
    dictionary = fitted(model, -1)
    picture, k = most_active(dictionary)
    states = model.extract([picture], model.word, max_new_tokens=N_TOKENS)
    removed = states.X - dictionary.encode(states)[:, [k]] * dictionary.components[[k]]
    before, after = (
        torch.from_numpy(model.logits(rows)[0]).double().log_softmax(0).numpy() for rows in (states.X, removed)
    )
    done = dictionary.intervene(model, picture, k, n_random=1)
    assert done.divergence == pytest.approx(divergence(before, after), rel=1e-3)
    assert done.size == pytest.approx(np.linalg.norm(removed - states.X) / np.linalg.norm(states.X), rel=1e-4)
    assert done.activation == pytest.approx(dictionary.encode(states)[0, k], rel=1e-4)


@pytest.mark.parametrize("stream", ["attention", "mlp"])
def test_the_stream_is_the_dictionary_s(model, stream):
    dictionary = fitted(model, 1, stream=stream)
    picture, k = most_active(dictionary)
    tokens, position = caption_of(model, picture)

    def change(state):
        return -dictionary.encode(state[None])[0, k] * dictionary.components[k]

    before, _ = plainly(model, model.module_of(1, stream), picture, tokens[:position], lambda state: 0 * state, 1)
    after, _ = plainly(model, model.module_of(1, stream), picture, tokens[:position], change, 1)
    done = dictionary.intervene(model, picture, k, n_random=1)
    assert done.divergence == pytest.approx(np.exp(before) @ (before - after), rel=1e-3)


def test_a_factor_of_one_changes_nothing_at_all(model):
    dictionary = fitted(model)
    picture, k = most_active(dictionary)
    done = dictionary.intervene(model, picture, k, factor=1, positions="from-word", n_random=3)
    assert done.divergence == 0
    assert (done.random.divergences == 0).all()
    assert done.caption == done.changed_caption
    assert set(done.random.captions + done.matched.captions) == {done.caption}
    assert all(word.before == word.after for word in done.next_words)
    assert done.is_nothing
    inputs = model.inputs(IMAGES[:2])
    with editing(model.decoder_layers[1], 2, branches._adding(torch.zeros_like)):
        edited = predict(model, inputs).logits
    assert torch.equal(edited, predict(model, inputs).logits)


def test_only_the_state_of_the_next_token_is_changed_and_only_in_its_row(model):
    inputs = model.inputs(IMAGES[:3])
    module, seen = model.decoder_layers[1], []
    delta = torch.zeros(3, 32)
    delta[1] = 1.0
    for change in (torch.zeros(3, 32), delta):
        with editing(module, 3, branches._adding(lambda states, change=change: change)):
            handle = module.register_forward_hook(lambda module, args, output: seen.append(output))
            predict(model, inputs)
            predict(model, inputs)  # a later pass: nothing is changed
            handle.remove()
    unchanged, again, changed, later = (output if isinstance(output, torch.Tensor) else output[0] for output in seen)
    assert torch.equal(unchanged, again)
    assert torch.equal(unchanged, later)
    difference = changed - unchanged
    torch.testing.assert_close(difference[1, -1], torch.ones(32))
    difference[1, -1] = 0
    assert not difference.any()


def test_hooks_are_gone_after_an_error_and_others_stay(model):
    module, calls = model.decoder_layers[1], []
    own = module.register_forward_hook(lambda *args: calls.append(1))

    def broken(states):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), editing(module, 1, broken):
        predict(model, model.inputs(IMAGES[:1]))
    assert list(module._forward_hooks) == [own.id]
    predict(model, model.inputs(IMAGES[:1]))
    assert calls == [1, 1]
    own.remove()


@pytest.mark.parametrize("positions", ["word", "from-word"])
def test_a_batch_says_what_each_says_alone(model, positions):
    dictionary = fitted(model, 1)
    picture, k = most_active(dictionary)
    options = {"n_random": 5, "positions": positions, "add": 3.0}
    together, alone = (dictionary.intervene(model, picture, k, batch_size=n, **options) for n in (64, 1))
    assert together.random.captions == alone.random.captions
    assert together.matched.captions == alone.matched.captions
    assert len(set(alone.random.captions + alone.matched.captions)) > 1
    np.testing.assert_allclose(together.random.divergences, alone.random.divergences, rtol=1e-3)
    np.testing.assert_allclose(together.matched.divergences, alone.matched.divergences, rtol=1e-3)


def test_a_beginning_read_once_is_as_good_as_one_read_for_every_branch(model, monkeypatch):
    prefixes = [model.caption_ids("a red")] * 3
    deltas = 2 * isotropic_directions(32, 6, 0)
    origins = [0, 1, 2, 2, 0, 1]

    def later(states, rows):
        return np.float32(0.1 * states + rows.start)

    def said():
        fork = Fork(model, model.decoder_layers[1], IMAGES[:3], prefixes, 4)
        return fork.is_shared, fork.states, list(fork.branches(origins, deltas, N_TOKENS, later))

    shared, states, copied = said()
    monkeypatch.setattr(branches, "_can_be_copied", lambda inputs, cache: False)
    not_shared, same_states, read_again = said()
    assert shared
    assert not not_shared
    np.testing.assert_array_equal(states, same_states)
    assert [branch.ids for branch in copied] == [branch.ids for branch in read_again]
    assert len({tuple(branch.ids) for branch in copied}) > 1
    for one, other in zip(copied, read_again, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)


def test_beginnings_that_share_nothing_together_are_read_one_at_a_time(model, monkeypatch):
    dictionary = fitted(model)
    expected = dictionary.measure_effects(model, IMAGES, n_images=2, n_random=2).effects
    sizes, same = [], Fork._copies_say_the_same

    def alone(self, logits):
        sizes.append(len(logits))
        return len(logits) == 1 and same(self, logits)

    monkeypatch.setattr(Fork, "_copies_say_the_same", alone)
    found = dictionary.measure_effects(model, IMAGES, n_images=2, n_random=2).effects
    assert max(sizes) > 1
    assert sizes.count(1) >= sum(size for size in sizes if size > 1)
    sizes.clear()
    dictionary.manifest["batch_size"] = 1  # as a model is extracted from that takes one image at a time
    dictionary.measure_effects(model, IMAGES, n_images=2, n_random=2)
    assert set(sizes) == {1}
    for one, other in zip(found, expected, strict=True):
        assert one.divergence == pytest.approx(other.divergence, rel=1e-3)
        assert one.caption_changed == other.caption_changed


def test_a_copy_that_says_something_else_is_not_used(model, monkeypatch):
    monkeypatch.setattr(branches, "predict", wrong_cache)
    fork = Fork(model, model.decoder_layers[1], IMAGES[:1], [model.caption_ids("a red")], 4)
    assert not fork.is_shared
    monkeypatch.undo()
    right = Fork(model, model.decoder_layers[1], IMAGES[:1], [model.caption_ids("a red")], 4)
    (one,), (other,) = (list(f.branches([0], np.ones((1, 32)), N_TOKENS)) for f in (fork, right))
    assert one.ids == other.ids
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)


def wrong_cache(lmm, inputs, modules=(), with_cache=False):
    right = predict(lmm, inputs, modules, with_cache)
    if with_cache:
        for layer in right.cache.layers:
            layer.keys = -layer.keys
    return right


def test_prompts_of_different_lengths_in_a_batch():
    lmm = LMM(*tiny_idefics3(), prompt="<image>A photo of")
    pictures = [image(0, (32, 32)), image(1, (64, 32))]
    lengths = [lmm.inputs([picture])["input_ids"].shape[1] for picture in pictures]
    assert lengths[0] != lengths[1]
    prefix = lmm.caption_ids("a red")
    deltas = 3 * isotropic_directions(lmm.architecture.n_features, 4, 0)
    module = lmm.decoder_layers[0]
    found = list(Fork(lmm, module, pictures, [prefix] * 2, 8).branches([0, 1, 1, 0], deltas, 4))
    for origin, delta, branch in zip([0, 1, 1, 0], deltas, found, strict=True):
        expected, ids = plainly(lmm, module, pictures[origin], prefix, lambda state, delta=delta: delta, 4)
        np.testing.assert_allclose(branch.log_probabilities, expected, atol=1e-3)
        assert branch.ids == ids


def test_a_concept_that_the_image_does_not_have_has_no_effect(model):
    dictionary = fitted(model, 1, SemiNMF(3, l1=2.0, random_state=0))
    sample, k = np.argwhere(dictionary.codes == 0)[0]
    picture = IMAGES[int(dictionary.sample_ids[sample])]
    removed = dictionary.intervene(model, picture, k, n_random=3)
    assert removed.activation == 0
    assert removed.size == 0
    assert removed.divergence == 0
    assert not removed.caption_changed
    assert removed.is_nothing
    assert "not active in this image, and nothing was changed" in str(removed)
    put_in = dictionary.intervene(model, picture, k, add=2.0, n_random=3)
    assert put_in.divergence > 0
    assert put_in.size > 0


def test_the_codes_of_pca_have_signs(model):
    dictionary = fitted(model, -1, PCA(2, random_state=0))
    sample, k = np.argwhere(dictionary.codes < 0)[0]
    picture = IMAGES[int(dictionary.sample_ids[sample])]
    x = model.extract([picture], model.word, max_new_tokens=N_TOKENS).X
    without = x - ((x - dictionary.estimator.mean_) @ dictionary.components[k]) * dictionary.components[[k]]
    logs = [torch.from_numpy(model.logits(rows)[0]).double().log_softmax(0).numpy() for rows in (x, without)]
    done = dictionary.intervene(model, picture, k, n_random=1)
    assert done.activation < 0
    assert done.divergence == pytest.approx(divergence(*logs), rel=1e-3)


def test_random_changes_have_the_size_of_the_concept_s(model, monkeypatch):
    dictionary = fitted(model)
    dictionary.estimator.components_ *= 3  # those of SemiNMF have length 1
    picture, k = most_active(dictionary)
    added = []
    of_branches = Fork.branches

    def spy(self, origins, deltas, *args):
        added.append(deltas)
        return of_branches(self, origins, deltas, *args)

    monkeypatch.setattr(Fork, "branches", spy)
    done = dictionary.intervene(model, picture, k, n_random=4, seed=1)
    (deltas,) = added
    assert deltas.shape == (2 + 2 * 4, 32)
    assert not deltas[0].any()
    np.testing.assert_allclose(deltas[1], -done.activation * dictionary.components[k], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(deltas[2:], axis=1), np.linalg.norm(deltas[1]), rtol=1e-5)
    assert len(np.unique(deltas[:, 0])) == len(deltas)


def test_directions():
    every = isotropic_directions(5, 20000, seed=0)
    np.testing.assert_allclose(np.linalg.norm(every, axis=1), 1)
    np.testing.assert_allclose(every.T @ every / len(every), np.eye(5) / 5, atol=0.01)
    assert not np.array_equal(every[:3], isotropic_directions(5, 3, seed=1))
    np.testing.assert_array_equal(isotropic_directions(5, 3, seed=1), isotropic_directions(5, 3, seed=1))


def test_matched_directions_are_those_in_which_states_differ(states):
    dictionary = ConceptDictionary.fit(states, SemiNMF(4, l1=0.5, random_state=0))
    matched = matched_directions(dictionary, 3000, seed=0)
    np.testing.assert_allclose(np.linalg.norm(matched, axis=1), 1)
    # In the span of the components, and along the principal axis of what the dictionary decodes most of all.
    assert np.linalg.matrix_rank(matched, tol=1e-6) == 4
    decoded = dictionary.decode(dictionary.codes)
    axes = np.linalg.svd(decoded - decoded.mean(axis=0), full_matrices=False)[2][:4]
    along = np.square(matched @ axes.T).mean(axis=0)
    assert along.sum() == pytest.approx(1)
    assert (np.diff(along) < 0).all()
    # What all states share is no direction in which they differ.
    dictionary.codes[:, 0] = 7.0
    only = matched_directions(dictionary, 10, seed=0)
    others = np.linalg.qr(dictionary.components[1:].T)[0]
    np.testing.assert_allclose(only @ others @ others.T, only, atol=1e-6)


def test_divergence():
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    assert divergence(np.log(p), np.log(q)) == pytest.approx(0.25 * np.log(2))
    assert divergence(np.log(p), np.log(p)) == 0
    # Tokens that a model never says have no logarithm.
    never = np.array([-np.inf])
    with_never = [np.concatenate([np.log(x), never]) for x in (p, q)]
    assert divergence(*with_never) == pytest.approx(0.25 * np.log(2))


def test_p_value():
    assert p_value(1.0, np.array([0.1, 0.2, 2.0])) == 0.5
    assert p_value(3.0, np.full(19, 2.0)) == 0.05
    assert p_value(0.0, np.zeros(4)) == 1


def test_effects_are_what_interventions_find(model):
    dictionary = fitted(model)
    assert dictionary.measure_effects(model, IMAGES, n_images=2, n_random=3, seed=5) is dictionary
    assert len(dictionary.effects) == dictionary.n_concepts
    for k, effect in enumerate(dictionary.effects):
        top = np.argsort(-dictionary.codes[:, k], kind="stable")[:2]
        top = [i for i in top if dictionary.codes[i, k] > 0]
        done = [dictionary.intervene(model, IMAGES[int(dictionary.sample_ids[i])], k, n_random=3, seed=5) for i in top]
        assert effect.n_images == len(done)
        assert effect.n_random == 3
        assert effect.divergence == pytest.approx(np.mean([one.divergence for one in done]), rel=1e-2, abs=1e-7)
        random = np.mean([one.random.divergences for one in done], axis=0)
        matched = np.mean([one.matched.divergences for one in done], axis=0)
        assert effect.random_divergence == pytest.approx(random.mean(), rel=1e-2, abs=1e-7)
        assert effect.matched_divergence == pytest.approx(matched.mean(), rel=1e-2, abs=1e-7)
        assert effect.p_value == p_value(effect.divergence, random)
        assert effect.matched_p_value == p_value(effect.divergence, matched)
        assert effect.caption_changed == np.mean([one.caption_changed for one in done])
        # Another random direction for each image.
        turns = [one.random.captions[i % 3] != one.caption for i, one in enumerate(done)]
        assert effect.random_caption_changed == np.mean(turns)
        assert dictionary.concepts[k].effect is effect


@pytest.mark.parametrize("layer", LAYERS)
def test_captions_that_change_are_counted_at_every_layer(model, layer):
    dictionary = fitted(model, layer)
    dictionary.estimator.components_ *= 6  # large enough that captions change
    codes = dictionary.codes
    dictionary.codes = dictionary.encode(extracted(model, layer, "residual"))
    assert codes.shape == dictionary.codes.shape
    dictionary.measure_effects(model, IMAGES, n_images=4, n_random=2)
    for k, effect in enumerate(dictionary.effects):
        top = [i for i in np.argsort(-dictionary.codes[:, k], kind="stable")[:4] if dictionary.codes[i, k] > 0]
        done = [dictionary.intervene(model, IMAGES[int(dictionary.sample_ids[i])], k, n_random=2) for i in top]
        assert effect.caption_changed == pytest.approx(np.mean([one.caption_changed for one in done] or [0]))
        for kind in ("random", "matched"):  # another direction for each image
            turns = [getattr(one, kind).captions[i % 2] != one.caption for i, one in enumerate(done)]
            assert getattr(effect, f"{kind}_caption_changed") == pytest.approx(np.mean(turns or [0]))


def test_images_that_are_others_are_left_out(model):
    dictionary = fitted(model)
    others = [noise_image(i, 16) for i in range(12)]
    with pytest.raises(ValueError, match="of the 6 largest activations come out otherwise"):
        dictionary.measure_effects(model, others, n_images=2, n_random=2)
    first = int(dictionary.sample_ids[dictionary.codes[:, 0].argmax()])
    mixed = [others[i] if i == first else picture for i, picture in enumerate(IMAGES)]
    with pytest.warns(UserWarning, match="They are left out"):
        dictionary.measure_effects(model, mixed, n_images=2, n_random=2)
    assert dictionary.effects[0].n_images == 1
    with pytest.warns(UserWarning, match="They are left out"):
        dictionary.measure_effects(model, mixed, n_images=1, n_random=2)
    assert dictionary.effects[0] is None  # which is not to say that it has none
    assert any(effect is not None for effect in dictionary.effects)


def test_a_concept_that_nothing_activates_has_no_effect(model):
    dictionary = fitted(model)
    dictionary.estimator.components_[1] *= -1  # on the other side of all states
    dictionary.codes = dictionary.encode(extracted(model, 1, "residual"))
    assert not dictionary.codes[:, 1].any()
    dictionary.measure_effects(model, IMAGES, n_images=2, n_random=2)
    effect = dictionary.effects[1]
    assert (effect.n_images, effect.divergence, effect.caption_changed, effect.p_value) == (0, 0, 0, 1)
    assert effect.is_nothing
    assert not effect.is_specific


def test_effects_survive_saving(model, tmp_path):
    dictionary = fitted(model).measure_effects(model, IMAGES, n_images=1, n_random=2)
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "d"))
    assert loaded.effects == dictionary.effects


def test_to_dict_is_json(model):
    dictionary = fitted(model)
    picture, k = most_active(dictionary)
    done = dictionary.intervene(model, picture, k, n_random=2)
    document = json.loads(json.dumps(done.to_dict()))
    assert document["changed_caption"] == done.changed_caption
    assert document["random"]["p_value"] == p_value(done.divergence, done.random.divergences)
    assert len(document["matched"]["captions"]) == 2
    rises = [word.after - word.before for word in done.risers(3)]
    assert rises == sorted(rises, reverse=True)
    assert min(rises) > 0
    falls = [word.after - word.before for word in done.fallers(3)]
    assert falls == sorted(falls)
    assert max(falls) < 0


def test_what_cannot_be_done_is_refused(model):
    dictionary = fitted(model)
    for options, message in [
        ({"factor": 0, "add": 1}, "factor or add, not both"),
        ({"positions": "all"}, "one of word, from-word, got 'all'"),
        ({"n_random": 0}, "n_random must be at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            dictionary.intervene(model, IMAGES[0], 0, **options)
    with pytest.raises(ValueError, match="no concept 3: the dictionary has 0 to 2"):
        dictionary.intervene(model, IMAGES[0], 3)
    with pytest.raises(ValueError, match="no sum of the centers of k-means"):
        fitted(model, 1, KMeans(2, random_state=0)).intervene(model, IMAGES[0], 0)
    dictionary.manifest["position"] = "visual"
    with pytest.raises(ValueError, match="states of visual tokens"):
        dictionary.measure_effects(model, IMAGES)
    dictionary.manifest |= {"position": "predicting", "normalized": True}
    with pytest.raises(ValueError, match="behind the final norm"):
        dictionary.measure_effects(model, IMAGES)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A dictionary, its model and the images on disk."""
    folder = tmp_path_factory.mktemp("intervention")
    model.save_pretrained(folder / "model")
    (folder / "images").mkdir()
    for i, picture in enumerate(IMAGES):
        picture.save(folder / "images" / f"{i:02}.png")
    states = model.extract(
        [folder / "images" / f"{i:02}.png" for i in range(len(IMAGES))],
        model.word,
        sample_ids=[f"{i:02}.png" for i in range(len(IMAGES))],
        max_new_tokens=N_TOKENS,
    )
    dictionary = ConceptDictionary.fit(states, SemiNMF(3, l1=0.1, random_state=0))
    dictionary.ground(model, images=folder / "images").save_pretrained(folder / "dictionary")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_program_removes_a_concept(model, folder):
    dictionary = ConceptDictionary.from_pretrained(folder / "dictionary")
    sample, k = np.unravel_index(dictionary.codes.argmax(), dictionary.codes.shape)
    path = folder / "images" / dictionary.sample_ids[sample]
    options = ["--concept", k, "--n-random", 19, "--model", folder / "model"]
    result = run("intervene", folder / "dictionary", path, *options)
    assert result.exit_code == 0, result.output
    expected = dictionary.intervene(model, path, int(k), n_random=19)
    assert f"before  {expected.caption}" in result.stdout
    assert f"divergence {expected.divergence:.3g} nats" in result.stdout
    as_json = run("intervene", folder / "dictionary", path, *options, "--factor", 2, "--json")
    document = json.loads(as_json.stdout)
    assert document["factor"] == 2
    assert document["divergence"] == pytest.approx(
        dictionary.intervene(model, path, int(k), factor=2, n_random=1).divergence, rel=1e-3
    )
    refused = run("intervene", folder / "dictionary", path, "--concept", 9, "--model", folder / "model")
    assert refused.exit_code == 1
    assert "error: there is no concept 9" in refused.stderr


def test_the_program_measures_effects_and_keeps_them(model, folder, tmp_path):
    options = ["--images", folder / "images", "--n-images", 2, "--n-random", 19, "--model", folder / "model"]
    result = run("effects", folder / "dictionary", "--out", tmp_path / "measured", *options)
    assert result.exit_code == 0, result.output
    assert ConceptDictionary.from_pretrained(folder / "dictionary").effects is None
    measured = ConceptDictionary.from_pretrained(tmp_path / "measured")
    expected = ConceptDictionary.from_pretrained(folder / "dictionary")
    expected.measure_effects(model, folder / "images", n_images=2, n_random=19)
    for one, other in zip(measured.effects, expected.effects, strict=True):
        assert one.divergence == pytest.approx(other.divergence, rel=1e-3)
    largest = max(measured.concepts, key=lambda concept: concept.effect.divergence)
    first = result.stdout.splitlines()[2]
    assert first.split()[:2] == [str(largest.index), f"{largest.effect.divergence:.3g}"]
    assert ("no more than chance" in first) == largest.effect.is_nothing
    nowhere = run("effects", folder / "dictionary", "--model", folder / "model")
    assert nowhere.exit_code == 1
    assert "there is no image of sample" in nowhere.stderr


def test_few_random_directions_cannot_tell_what_is_beyond_chance():
    few = Effect(5.0, 1.0, 0.1, 0.0, p_value=1 / 6, n_images=2, n_random=5)
    assert not few.is_nothing  # all five did less, which says little, but not that it is chance
    assert replace(few, p_value=2 / 6).is_nothing
    assert not replace(few, p_value=1 / 20, n_random=19).is_nothing
    assert replace(few, p_value=2 / 20, n_random=19).is_nothing
