"""Concepts -> images: which samples, in which order, and where their images come from."""

import io

import numpy as np
import pytest
from concepts.world import noise_image
from PIL import Image

from coxlmm.grounding import ground_images, thumbnail
from coxlmm.samples import Sample

CODES = np.array([[0.5, 0.0], [2.0, 0.0], [0.5, 0.0], [0.0, 3.0]])
IDS = ["0", "1", "2", "3"]
CAPTIONS = ["one", "two", "three", "four"]


def of(codes=CODES, n_images=3, images=None, ids=IDS):
    return ground_images(codes, ids, CAPTIONS, n_images, images)


def color(hit):
    return tuple(np.asarray(Image.open(io.BytesIO(hit.thumbnail)).convert("RGB")).mean(axis=(0, 1)).round(-1))


def plain(value):
    return Image.new("RGB", (8, 8), (value, value, value))


def test_most_activating_first_and_only_those_that_do():
    first, second = of(n_images=4)
    assert [(hit.sample_id, hit.activation, hit.caption) for hit in first] == [
        ("1", 2.0, "two"), ("0", 0.5, "one"), ("2", 0.5, "three")
    ]  # fmt: skip
    assert [(hit.sample_id, hit.caption) for hit in second] == [("3", "four")]
    assert [len(hits) for hits in of(n_images=100)] == [3, 1]
    assert [hit.sample_id for hit in of(n_images=2)[0]] == ["1", "0"]


@pytest.mark.parametrize("kind", ["mapping", "callable", "sequence", "directory"])
def test_images_are_those_of_their_samples(kind, tmp_path):
    pictures = [plain(value) for value in (0, 60, 120, 180)]
    for name, picture in zip(IDS, pictures, strict=True):
        picture.save(tmp_path / name, "PNG")
    images = {
        "mapping": dict(zip(IDS, pictures, strict=True)),
        "callable": lambda name: pictures[int(name)],
        "sequence": pictures,
        "directory": tmp_path,
    }[kind]
    hits = of(images=images)
    assert [color(hit)[0] for hit in hits[0]] == [60, 0, 120]
    assert color(hits[1][0])[0] == 180


def test_a_source_of_samples_is_gone_through_once_and_no_further_than_needed():
    taken = []

    def samples():
        for i in range(9):
            taken.append(i)
            yield Sample(plain(20 * i), f"shard.tar/{i}")

    names = [f"shard.tar/{i}" for i in (5, 2, 0, 4)]
    hits = of(images=samples(), ids=names, n_images=1)
    assert [[color(hit)[0] for hit in row] for row in hits] == [[40], [80]]
    assert taken == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"no image of sample 'shard\.tar/2' in the samples"):
        of(images=(sample for sample in [Sample(plain(0), "other")]), ids=names)


def test_sample_ids_that_are_paths_are_opened_by_default(tmp_path):
    path = tmp_path / "a.png"
    plain(120).save(path)
    hits = of(ids=["nowhere.png", str(path), "x" * 5000, "a caption\0"])
    assert color(hits[0][0])[0] == 120
    assert [hit.thumbnail for hit in hits[0][1:]] == [None, None]


def test_paths_are_found_again_in_what_they_were_extracted_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = ["a/1.png", "b/1.png", "b/2.png", "b/3"]
    for name, value in zip(ids, (0, 60, 120, 180), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        plain(value).save(tmp_path / name, "PNG")
    for images in (ids, [tmp_path.joinpath(name).relative_to(tmp_path) for name in ids], None, tmp_path):
        hits = of(images=images, ids=ids)
        assert [color(hit)[0] for hit in hits[0]] == [60, 0, 120]
    # Moved to elsewhere, those of a name of their own are found; the others are not mixed up.
    moved = [tmp_path / name for name in ids]
    single = CODES * [[0], [0], [1], [1]]
    for images in (moved, tmp_path / "b"):
        hits = of(single, images=images, ids=ids)
        assert [color(hits[k][0])[0] for k in (0, 1)] == [120, 180]
        with pytest.raises(ValueError, match=r"'b/1\.png'"):
            of(images=images, ids=ids)


def test_each_image_is_read_once():
    asked = []
    of(codes=np.ones((4, 5)), images=lambda name: asked.append(name) or plain(0))
    assert sorted(asked) == ["0", "1", "2"]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match="no image of sample '1' in the mapping"):
        of(images={"0": plain(0)})
    with pytest.raises(ValueError, match=r"no image of sample '1' in .*"):
        of(images=tmp_path)
    with pytest.raises(ValueError, match=r"must be found in a directory, and '.*nowhere' is none"):
        of(images=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"sequence of 4, .* one is 'dog-7'"):
        of(images=[plain(0)] * 4, ids=["dog-5", "dog-7", "2", "3"])
    with pytest.raises(ValueError, match=r"sequence of 1, .* one is '1'"):
        of(images=[plain(0)])
    with pytest.raises(ValueError, match="n_images must be at least 1, got 0"):
        of(n_images=0)


def test_thumbnails_are_small_keep_their_shape_and_leave_the_image_alone():
    picture = noise_image(0, 400).crop((0, 0, 400, 200))
    shown = Image.open(io.BytesIO(thumbnail(picture)))
    assert (shown.format, shown.size) == ("WEBP", (160, 80))
    assert picture.size == (400, 200)
    assert Image.open(io.BytesIO(thumbnail(plain(0)))).size == (8, 8)
    for array in (np.full((8, 8, 3), 180, np.uint8), np.full((3, 8, 8), 180 / 255, np.float32)):
        shown = np.asarray(Image.open(io.BytesIO(thumbnail(array))).convert("RGB"))
        np.testing.assert_allclose(shown, 180, atol=2)
