"""Concepts -> images: which samples, in which order, and where their images come from."""

import io

import numpy as np
import pytest
from concepts.world import noise_image
from PIL import Image

from coxlmm.demo import scene
from coxlmm.grounding import ground_images, illustrate, thumbnail
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


def altered(picture):
    """The same picture, as it may come from elsewhere."""
    buffer = io.BytesIO()
    picture.resize((picture.width // 2, picture.height // 2)).save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


def test_images_that_are_nearly_the_same_count_as_one():
    codes = np.array([[9.0], [8.0], [7.0], [6.0], [5.0]])
    scenes = [scene("test", i).image for i in range(3)]
    pictures = [scenes[0], altered(scenes[0]), scenes[1], altered(scenes[0]), scenes[2]]

    def shown(**options):
        (hits,) = ground_images(codes, list("01234"), list("abcde"), images=pictures, **options)
        return [hit.sample_id for hit in hits]

    assert shown(n_images=3) == ["0", "1", "2"]
    assert shown(n_images=3, diverse=True) == ["0", "2", "4"]
    assert shown(n_images=5, diverse=True) == ["0", "2", "4"]
    # Without images there is nothing to compare.
    assert len(ground_images(codes, list("01234"), list("abcde"), 3, diverse=True)[0]) == 3


def test_colour_is_a_difference():
    hits = ground_images(np.ones((4, 1)), IDS, CAPTIONS, 4, [plain(v) for v in (0, 9, 20, 29)], diverse=True)
    assert [hit.sample_id for hit in hits[0]] == ["0", "2"]


def test_rows_of_one_sample_are_one_image_with_its_best_row():
    codes = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 5.0], [0.0, 6.0], [2.5, 0.0]])
    first, second = ground_images(codes, ["a", "a", "b", "b", "c"], ["A", "A", "B", "B", "C"], 3)
    assert [(hit.sample_id, hit.activation) for hit in first] == [("a", 3.0), ("c", 2.5), ("b", 2.0)]
    assert [(hit.sample_id, hit.activation, hit.caption) for hit in second] == [("b", 6.0, "B")]


def test_thumbnails_are_spread_over_the_samples_and_small():
    names = [str(i) for i in range(9)]
    pictures = [noise_image(i, 200) for i in range(9)]
    given = np.ones((9, 1)), names, names, 1

    def at_large(n, images=pictures):
        return illustrate(*given, images, n_thumbnails=n)[1]

    assert list(at_large(3)) == [0, 4, 8]
    assert list(at_large(100)) == list(range(9))
    assert at_large(0) == at_large(4, None) == {}
    for row, data in at_large(3).items():
        shown = Image.open(io.BytesIO(data))
        assert (shown.format, shown.size) == ("WEBP", (96, 96))
        assert data == thumbnail(pictures[row], 96)
    # Hits are asked for; nothing hangs on one among many samples.
    assert list(at_large(3, {"0": pictures[0], "4": b"no image", "8": pictures[8]})) == [0, 8]
    with pytest.raises(ValueError, match="n_thumbnails must be at least 0, got -1"):
        at_large(-1)


def test_hits_and_thumbnails_are_of_one_passage_through_a_source():
    hits, small = illustrate(
        np.eye(6)[:, [3]], [f"s/{i}" for i in range(6)], ["c"] * 6, 1,
        (Sample(plain(40 * i), f"s/{i}") for i in range(6)), n_thumbnails=2,
    )  # fmt: skip
    assert color(hits[0][0])[0] == 120
    assert list(small) == [0, 5]


def test_a_sample_of_several_rows_is_shown_at_its_first():
    names = ["a", "a", "b", "b"]
    images = {"a": plain(0), "b": plain(200)}
    assert list(illustrate(np.ones((4, 1)), names, names, 1, images, n_thumbnails=9)[1]) == [0, 2]


@pytest.mark.parametrize("sample_id", ["../secret.png", "{outside}", "inner/../../secret.png"])
def test_sample_ids_do_not_lead_out_of_the_directory(tmp_path, sample_id):
    given, outside = tmp_path / "given", tmp_path / "secret.png"
    given.mkdir()
    noise_image(0).save(outside)
    name = sample_id.format(outside=outside)
    with pytest.raises(ValueError, match="there is no image of sample"):
        ground_images(np.ones((1, 1)), [name], ["a dog"], images=given)
    noise_image(1).save(given / "secret.png")  # one that has moved there is found by its name
    assert ground_images(np.ones((1, 1)), [name], ["a dog"], images=given)[0][0].thumbnail
