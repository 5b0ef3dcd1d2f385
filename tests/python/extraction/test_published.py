"""Files of the paper's published code: written here by the same statements, read without running what they name.

The builders repeat what github.com/mshukor/xl-vlms does between the model and ``torch.save``; each names the function.
"""

import os
import pickle
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, DictionaryLearning
from typer.testing import CliRunner

from coxlmm import ConceptDictionary, States
from coxlmm.cli import app
from coxlmm.published import UnsafeFileError, kind_of, read_dictionary, read_states
from coxlmm.words import DecodedTokens

NORM, LAYER = "language_model.model.norm", "language_model.model.layers.30"
K, D = 4, 12


def save_features(path, modules=(LAYER,), n=40, version="last", dtype=torch.float16, seed=0):
    """``inference`` of src/save_features.py with ``get_hidden_states`` and ``save_hidden_states_to_file`` of
    src/helpers/utils.py. Returns the states of all samples, found or not."""
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((K, D))
    X = (rng.exponential(2.0, (n, K)) * (rng.random((n, K)) < 0.6)) @ atoms + 0.05 * rng.standard_normal((n, D))
    hook_data = {}
    for i in range(n):
        # What the default collate of a DataLoader makes of one item: lists of one string.
        item = {"image": [f"/coco/train2014/{i:012d}.jpg"], "targets": [f"a dog {i}$$the dog"], "text": ["A photo of"]}
        item["model_predictions"] = [f" a dog number {i}"]
        tokens = torch.from_numpy(X[i]).to(dtype).reshape(1, 1, -1).repeat(1, 3, 1)
        v_selected = tokens[range(tokens.shape[0]), torch.tensor([1])].unsqueeze(1)
        item["token_of_interest_mask"] = torch.tensor([i % 5 != 3])
        if version == "first":
            item["image_paths"] = item["image"]
        item["hidden_states"] = {name: v_selected.clone() * (1 + m) for m, name in enumerate(modules)}
        for key, value in item.items():  # update_dict_of_list
            hook_data.setdefault(key, []).append(value)
    data_keys = {
        "first": ["hidden_states", "image_paths", "model_predictions", "targets"],
        "between": ["hidden_states", "image"],
        "last": ["hidden_states", "image", "model_predictions"],
    }[version] + ["token_of_interest_mask"]
    torch.save({key: hook_data[key] for key in hook_data if key in data_keys}, path)
    return torch.from_numpy(X).to(dtype).float().numpy()


def analyse_features(path, X, method="snmf", grounded=True):
    """``decompose_activations`` of src/analysis/feature_decomposition.py, ``get_multimodal_grounding`` of
    src/analysis/multimodal_grounding.py and ``analyse_features`` of src/analysis/__init__.py. Returns the fitted model
    of scikit-learn and its activations."""
    if method == "pca":
        model = PCA(n_components=K)
        activations, concepts = model.fit_transform(X), model.components_
    elif method == "kmeans":
        model = KMeans(n_clusters=K, max_iter=300)
        activations, concepts = 1 / (1 + model.fit_transform(X)), model.cluster_centers_
    elif method == "simple":
        model = KMeans(n_clusters=K, max_iter=300)
        concepts = X[np.linalg.norm(X, axis=1).argsort()[-K:]]
        model.fit(X)
        model.cluster_centers_ = concepts + 0
        activations = 1 / (1 + model.transform(X))
    else:
        model = DictionaryLearning(
            n_components=K, positive_code=True, fit_algorithm="cd", transform_algorithm="lasso_cd", max_iter=60
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its lasso asks for more precision than float32 has
            activations, concepts = model.fit_transform(X), model.components_
    results_dict = {"concepts": concepts, "activations": activations, "decomposition_method": method}
    if grounded:
        grounding_dict = {
            "concepts": torch.Tensor(concepts),
            "activations": torch.Tensor(activations),
            "text_grounding": [["dog", "puppy"], ["brown"], [], ["ball"]],
            "image_grounding_paths": [["/coco/train2014/000000000001.jpg"]] * K,
            "analysis_model": model,
        }
        results_dict.update(grounding_dict)
    torch.save(results_dict, path)
    return model, activations


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("version", ["first", "between", "last"])
def test_states_are_those_of_the_samples_in_which_the_word_was_found(tmp_path, version, dtype):
    path = tmp_path / "features.pth"
    X = save_features(path, version=version, dtype=dtype)
    states = read_states(path, word="dog", model_id="llava-hf/llava-1.5-7b-hf")
    kept = [i for i in range(40) if i % 5 != 3]
    np.testing.assert_array_equal(states.X, X[kept])
    assert states.sample_ids == [f"/coco/train2014/{i:012d}.jpg" for i in kept]
    assert states.captions == ["" if version == "between" else f"a dog number {i}" for i in kept]
    assert states.references == ([(f"a dog {i}", "the dog") for i in kept] if version == "first" else None)
    assert (states.positions == -1).all()
    assert states.manifest["word"] == "dog"
    assert states.manifest["layer"] == 30
    assert states.manifest["stream"] == "residual"
    assert states.manifest["normalized"] is False
    assert states.manifest["counts"] == {"seen": 40, "matched": 32}
    assert "first sub-token" in states.manifest["published"]["state"]
    assert "not applied" in states.manifest["published"]["final_norm"]


def test_what_the_documentation_describes_is_read(tmp_path):
    # docs/saved_feature_structure.md: one mask for all, paths that are in no list, no captions
    path = tmp_path / "features.pth"
    entries = [{NORM: torch.full((1, 1, D), float(i), dtype=torch.float16)} for i in range(3)]
    mask = torch.tensor([True, False, True])
    torch.save({"hidden_states": entries, "token_of_interest_mask": mask, "image": ["a.jpg", "b.jpg", "c.jpg"]}, path)
    states = read_states(path, word="dog")
    assert states.sample_ids == ["a.jpg", "c.jpg"]
    assert states.X[:, 0].tolist() == [0, 2]
    assert states.manifest["stream"] == "final-norm"
    assert states.manifest["normalized"] is True
    assert "layer" not in states.manifest


def test_one_of_several_modules_is_to_be_named(tmp_path):
    path = tmp_path / "features.pth"
    X = save_features(path, modules=(NORM, LAYER), dtype=torch.float32)
    with pytest.raises(ValueError, match=rf"{NORM}, {LAYER}: say which"):
        read_states(path)
    with pytest.raises(ValueError, match="not 'norm'"):
        read_states(path, module="norm")
    kept = [i for i in range(40) if i % 5 != 3]
    np.testing.assert_array_equal(read_states(path, module=LAYER).X, 2 * X[kept])
    assert read_states(path, module=NORM, layer=31).manifest["layer"] == 31


@pytest.mark.parametrize("method", ["snmf", "pca", "kmeans", "simple"])
@pytest.mark.parametrize("grounded", [True, False])
def test_a_dictionary_encodes_as_scikit_learns_model_does(tmp_path, method, grounded):
    features, path = tmp_path / "features.pth", tmp_path / "analysis.pth"
    save_features(features, dtype=torch.float32)
    states = read_states(features, word="dog")
    model, activations = analyse_features(path, states.X, method, grounded)
    dictionary = read_dictionary(path, states)
    np.testing.assert_allclose(dictionary.codes, activations, rtol=1e-6, atol=1e-6)
    unseen = np.random.default_rng(1).standard_normal((20, D)).astype(np.float32) * 3
    expected = model.transform(unseen)
    expected = 1 / (1 + expected) if method in ("kmeans", "simple") else expected
    np.testing.assert_allclose(dictionary.encode(unseen), expected, rtol=2e-3, atol=2e-3)
    assert dictionary.sample_ids == states.sample_ids
    assert dictionary.word == "dog"
    assert dictionary.manifest["published"]["method"] == method
    assert ("words" in dictionary.manifest["published"]) is grounded
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "dictionary"))
    np.testing.assert_array_equal(loaded.encode(unseen), dictionary.encode(unseen))
    assert loaded.relative_error == dictionary.relative_error
    if method == "snmf":
        missed = states.X - activations @ model.components_
        assert dictionary.relative_error == pytest.approx((missed**2).sum() / (states.X**2).sum(), rel=1e-4)


def test_the_penalty_is_twice_scikit_learns_alpha(tmp_path):
    path = tmp_path / "analysis.pth"
    X = save_features(tmp_path / "features.pth", dtype=torch.float32)
    analyse_features(path, X, grounded=False)
    assert read_dictionary(path).estimator.l1 == 2.0  # the default of scikit-learn, which their code keeps
    assert read_dictionary(path, alpha=0.25).estimator.l1 == 0.5
    data = torch.load(path, weights_only=False)
    torch.save(data | {"analysis_model": DictionaryLearning(K, alpha=3.0)}, path)
    assert read_dictionary(path).estimator.l1 == 6.0
    analyse_features(path, X, "kmeans")
    with pytest.raises(ValueError, match="no penalty: alpha=1"):
        read_dictionary(path, alpha=1)


def test_without_its_states_a_dictionary_is_saved_with_unknown_errors(tmp_path):
    path = tmp_path / "analysis.pth"
    analyse_features(path, save_features(tmp_path / "features.pth", dtype=torch.float32))
    dictionary = read_dictionary(path)
    assert np.isnan(dictionary.relative_error)
    assert dictionary.sample_ids[:2] == ["0", "1"]
    loaded = ConceptDictionary.from_pretrained(dictionary.save_pretrained(tmp_path / "dictionary"))
    assert np.isnan(loaded.relative_error)
    assert np.isnan(loaded.error_shares).all()


def test_the_mean_of_pca_is_in_the_model_or_in_the_states(tmp_path):
    path = tmp_path / "analysis.pth"
    save_features(tmp_path / "features.pth", dtype=torch.float32)
    states = read_states(tmp_path / "features.pth")
    model, _ = analyse_features(path, states.X, "pca", grounded=True)
    np.testing.assert_allclose(read_dictionary(path).estimator.mean_, model.mean_, atol=1e-6)
    analyse_features(path, states.X, "pca", grounded=False)
    with pytest.raises(ValueError, match="give the states"):
        read_dictionary(path)
    np.testing.assert_allclose(read_dictionary(path, states).estimator.mean_, model.mean_, atol=1e-6)


def test_concepts_behind_the_final_norm_are_not_normed_again(tmp_path):
    class Tokenizer:
        def get_vocab(self):
            return {}

        def convert_ids_to_tokens(self, token):
            return chr(ord("a") + token) * 3

        def __call__(self, text, add_special_tokens):
            return {"input_ids": []}

    class Model:
        architecture = types.SimpleNamespace(unembedding=lambda: np.eye(D, dtype=np.float32))
        tokenizer = Tokenizer()

        def decode_with_spans(self, ids):
            return DecodedTokens(ids, "".join)

        def decode_token(self, token):
            return chr(ord("a") + token) * 3

        def normalize(self, states):
            return -np.asarray(states)

    for module, sign in ((NORM, 1), (LAYER, -1)):
        save_features(tmp_path / "features.pth", modules=(module,), dtype=torch.float32)
        states = read_states(tmp_path / "features.pth")
        analyse_features(tmp_path / "analysis.pth", states.X)
        dictionary = read_dictionary(tmp_path / "analysis.pth", states)
        dictionary.ground(Model(), n_words=1, contrast="none")
        for component, (word,) in zip(dictionary.components, dictionary.words, strict=True):
            assert word.text == chr(ord("a") + int((sign * component).argmax())) * 3


class _Runs:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def _touch(marker):
    return _Runs(os.system, f"touch {marker}")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["hidden_states", "image", "analysis_model"])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path, where, legacy):
    path, marker = tmp_path / "hostile.pth", tmp_path / "marker"
    torch.save({"hidden_states": [{LAYER: torch.zeros(1, 1, D)}], where: [_touch(marker)]}, path,
               _use_new_zipfile_serialization=not legacy)  # fmt: skip
    for read in (read_states, read_dictionary, kind_of):
        with pytest.raises(UnsafeFileError, match=r"hostile\.pth is refused: it names posix\.system"):
            read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # it would have run
    assert marker.exists()


@pytest.mark.parametrize(
    "call",
    [_Runs(eval, "1"), _Runs(np.load, "/dev/null"), _Runs(types.SimpleNamespace)],
    ids=["eval", "numpy.load", "a class"],
)
def test_nothing_else_is_called_either(tmp_path, call):
    torch.save({"concepts": call}, tmp_path / "f.pth")
    with pytest.raises(UnsafeFileError, match="it names"):
        read_dictionary(tmp_path / "f.pth")


def test_code_of_scikit_learn_does_not_run(tmp_path, monkeypatch):
    ran = []
    path = tmp_path / "analysis.pth"
    analyse_features(path, save_features(tmp_path / "features.pth", dtype=torch.float32))
    monkeypatch.setattr(DictionaryLearning, "__setstate__", lambda self, state: ran.append(state))
    assert read_dictionary(path).n_concepts == K
    assert not ran
    torch.load(path, weights_only=False)
    assert ran


def test_what_is_allowed_is_allowed_for_the_file_alone(tmp_path):
    path = tmp_path / "analysis.pth"
    analyse_features(path, save_features(tmp_path / "features.pth", dtype=torch.float32), grounded=False)
    with torch.serialization.safe_globals([np.ndarray]):  # by whoever calls
        before = torch.serialization.get_safe_globals()
        read_dictionary(path)
        assert set(torch.serialization.get_safe_globals()) == set(before)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_files_of_the_older_numpy_are_read(tmp_path):
    # numpy 1 calls the module of the functions that make its arrays and numbers by another name.
    array = np.arange(K * D, dtype=np.float64).reshape(K, D)
    torch.save({"concepts": array, "activations": np.ones((2, K)), "other": np.float64(3.0)}, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            old.writestr(name, content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    names = torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "old.pth")
    assert {"numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"} <= set(names)
    np.testing.assert_array_equal(read_dictionary(tmp_path / "old.pth").components, array)


def entries(*states):
    return [{LAYER: state} for state in states]


GOOD = torch.zeros(1, 1, D)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image": [["a"]]}, "has no 'hidden_states', but 'token_of_interest_mask', 'image'"),
        ({"hidden_states": entries(GOOD), "token_of_interest_mask": None}, "states are not those of a word"),
        ({"hidden_states": GOOD}, "'hidden_states' is a Tensor"),
        ({"hidden_states": []}, "list of dicts by module"),
        ({"hidden_states": entries(GOOD, torch.zeros(1, 7, D))}, r"sample 1 has the shape \(1, 7, 12\)"),
        ({"hidden_states": entries(GOOD, torch.zeros(1, 1, D + 1))}, r"different numbers of features: \[12, 13\]"),
        ({"hidden_states": [{LAYER: GOOD}, {NORM: GOOD}]}, "sample 1 must be a tensor of floats, it is missing"),
        ({"hidden_states": entries({"inputs": {}, "outputs": {}})}, "it is dict"),
        ({"hidden_states": entries(GOOD.long())}, "must be a tensor of floats, it is Tensor"),
        ({"hidden_states": entries(GOOD), "token_of_interest_mask": torch.ones(1) < 0}, "in none of its 1 samples"),
        ({"hidden_states": entries(GOOD), "token_of_interest_mask": [torch.tensor([1])]}, "must be boolean tensors"),
        ({"hidden_states": entries(GOOD), "token_of_interest_mask": torch.ones(3) > 0}, "has 3 entries for 1 samples"),
        ({"hidden_states": entries(GOOD), "image": [["a"], ["b"]]}, "'image' must be a list of 1 entries, .* got 2"),
        ({"hidden_states": entries(GOOD), "image": [["a", "b"]]}, "'image' of sample 0 must be one text"),
    ],
)  # fmt: skip
def test_states_that_are_missing_or_of_another_shape_are_named(tmp_path, data, message):
    mask = {"token_of_interest_mask": torch.ones(len(data.get("hidden_states", []))) > 0}
    torch.save(mask | data, tmp_path / "features.pth")
    with pytest.raises(ValueError, match=rf"features\.pth.*{message}"):
        read_states(tmp_path / "features.pth")


CODES, CONCEPTS = np.ones((3, K)), np.ones((K, D))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"concepts": CONCEPTS}, "has no 'activations', but 'concepts'"),
        ({"concepts": CONCEPTS, "activations": CODES[:, :3]}, r"4 concepts, but activations of shape \(3, 3\)"),
        ({"concepts": CONCEPTS[0], "activations": CODES}, r"concepts must be a matrix .* of shape \(12,\)"),
        ({"concepts": CONCEPTS * np.nan, "activations": CODES}, "concepts must be a matrix of finite floats"),
        ({"concepts": CONCEPTS, "activations": -CODES}, "must not be negative, the least is -1"),
        ({"concepts": "all", "activations": CODES}, "'concepts' is a str"),
        (
            {"concepts": CONCEPTS, "activations": CODES, "decomposition_method": "ica"},
            "decomposition_method is 'ica', none of snmf",
        ),
    ],
)
def test_dictionaries_that_are_missing_something_or_of_another_shape_are_named(tmp_path, data, message):
    torch.save(data, tmp_path / "analysis.pth")
    with pytest.raises(ValueError, match=rf"analysis\.pth.*{message}"):
        read_dictionary(tmp_path / "analysis.pth")


def test_a_dictionary_of_other_states_is_refused(tmp_path):
    save_features(tmp_path / "features.pth", dtype=torch.float32)
    states = read_states(tmp_path / "features.pth")
    analyse_features(tmp_path / "analysis.pth", states.X)
    with pytest.raises(ValueError, match="is of 32 samples with 12 features, the states of 31"):
        read_dictionary(tmp_path / "analysis.pth", states.subset(range(31)))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2])], ids=["empty", "text", "a list"])
def test_a_file_that_is_none_of_theirs_is_named(tmp_path, content):
    (tmp_path / "f.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"f\.pth"):
        read_states(tmp_path / "f.pth")


def test_the_command_line_reads_both_kinds(tmp_path):
    features, analysis = tmp_path / "features.pth", tmp_path / "analysis.pth"
    save_features(features, dtype=torch.float32)
    analyse_features(analysis, read_states(features).X)

    def run(*arguments):
        found = CliRunner().invoke(app, ["import-published", *map(str, arguments)])
        return found.exit_code, found.output

    code, output = run(features, "--word", "dog", "--model", "llava-hf/llava-1.5-7b-hf", "--out", tmp_path / "states")
    assert code == 0, output
    states = States.load(tmp_path / "states")
    assert len(states) == 32
    assert states.manifest["word"] == "dog"
    code, output = run(analysis, "--states", tmp_path / "states", "--out", tmp_path / "dictionary")
    assert code == 0, output
    assert ConceptDictionary.from_pretrained(tmp_path / "dictionary").word == "dog"
    code, output = run(features, "--states", tmp_path / "states", "--out", tmp_path / "other")
    assert code == 1
    assert "is of states: --states is for" in output
    torch.save({"hidden_states": [_touch(tmp_path / "marker")]}, tmp_path / "hostile.pth")
    code, output = run(tmp_path / "hostile.pth", "--out", tmp_path / "other")
    assert code == 1
    assert "is refused" in output
    assert not (tmp_path / "marker").exists()
