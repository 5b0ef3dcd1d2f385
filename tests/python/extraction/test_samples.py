"""Where samples come from: lazily, again and again, named, and with errors that say where."""

import gc
import gzip
import io
import json
import os
import tarfile
import threading
import time
import tracemalloc
import weakref
from collections.abc import Sized
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from coxlmm.images import UnreadableImageError, open_image, opened
from coxlmm.samples import (
    CocoCaptions,
    HFDataset,
    ImageFolder,
    JsonLines,
    Sample,
    WebDataset,
    as_samples,
    open_source,
)
from coxlmm.samples.sample import Names


def encoded(value, format="PNG"):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, format)
    return buffer.getvalue()


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(value))


def value_of(sample):
    return open_image(sample.image, 0).getpixel((0, 0))[0]


def ids(source):
    return [sample.id for sample in source]


# Whatever is handed in, as samples


def test_images_become_samples(tmp_path):
    image = Image.new("L", (2, 2))
    handed_in = [image, "a.png", tmp_path / "b.png", Sample("c.png"), Sample(image, "d", "a dog")]
    assert ids(as_samples(handed_in)) == ids(as_samples(iter(handed_in))) == [
        "0", "a.png", str(tmp_path / "b.png"), "c.png", "d"
    ]  # fmt: skip
    samples = list(as_samples(handed_in))
    assert samples[0].image is image
    assert [sample.references for sample in samples] == [None] * 4 + [("a dog",)]


def test_references_and_ids_beside_the_images():
    samples = list(as_samples(["a", "b", "c"], ["one", ["two", "three"], ()], [7, "x", "y"]))
    assert samples == [Sample("a", "7", ("one",)), Sample("b", "x", ("two", "three")), Sample("c", "y", ())]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("a.png",), TypeError, "got one str"),
        ((b"abc",), TypeError, "got one bytes"),
        (({"bytes": b""},), TypeError, "got one dict"),
        ((Image.new("L", (2, 2)),), TypeError, "got one Image"),
        ((Sample("a.png"),), TypeError, "got one Sample"),
        ((np.zeros((4, 4, 3)),), TypeError, r"\(4, 4, 3\), which is one image"),
        ((["a"], "a dog"), TypeError, "single string 'a dog'"),
        ((["a"], None, "x"), TypeError, "single string 'x'"),
        ((["a", "b"], ["x"]), ValueError, "references must have one entry for each of the 2 images, got 1"),
        ((["a", "b"], None, ["x"] * 3), ValueError, "sample_ids must have one entry for each of the 2 images, got 3"),
        ((["a", "b"], None, [1, "1"]), ValueError, "two images have the sample id '1'"),
        ((["a", Sample("b", "a")],), ValueError, "two images have the sample id 'a'"),
    ],
)
def test_what_is_known_before_the_work_is_refused_before_it(arguments, error, said):
    with pytest.raises(error, match=said):
        as_samples(*arguments)


@pytest.mark.parametrize(
    ("images", "columns", "error", "said", "before"),
    [
        ("aba", ((), ()), ValueError, "two images have the sample id 'a'", 2),
        ("abc", (["x"], ()), ValueError, "references ended after 1 entries", 1),
        ("abc", ((), [1, 2]), ValueError, "sample_ids ended after 2 entries", 2),
        ("ab", (["x", 3], ()), TypeError, "image 1 must be a string or a list of strings, got int", 1),
        ("ab", (["x", None], ()), TypeError, "image 1 must be a string or a list of strings, got None", 1),
        ("ab", (["x", ["y", 3]], ()), TypeError, r"image 1 must be a string .* got \['y', 3\]", 1),
        (["a", Sample("b")], (["x", "y"], ()), ValueError, "image 1 is a Sample, .* references", 1),
    ],
)
def test_the_rest_is_refused_in_its_turn(images, columns, error, said, before):
    stream = as_samples(iter(images), *[iter(column) if column else None for column in columns])
    assert len(list(islice(stream, before))) == before
    with pytest.raises(error, match=said):
        next(stream)


def test_a_sample_refuses_references_that_are_none():
    with pytest.raises(TypeError, match="sample 'x' must be a string or a list of strings, got int"):
        Sample("a.png", "x", 3)


def test_names_are_recognised_however_many_there_are():
    names = Names()
    for i in range(5000):
        names.add(f"{i}.png")
    for i in (0, 1, 1023, 1024, 2500, 4999):
        with pytest.raises(ValueError, match=f"'{i}.png'"):
            names.add(f"{i}.png")
    names.add("\ud800")  # a file name that is no text
    names.add("5000.png")


def test_memory_does_not_grow_with_the_samples(tmp_path):
    lines = tmp_path / "lines.jsonl"
    with lines.open("w") as file:
        for i in range(20000):
            print(json.dumps({"file_name": f"{'directory/' * 10}{i}.png", "caption": "a dog " * 20}), file=file)
    peaks = []
    for n in (2000, 20000):
        tracemalloc.start()
        assert sum(1 for _ in islice(as_samples(JsonLines(lines)), n)) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The 18,000 more have 4 MB of names and captions; 8 bytes of each are kept, and twice that while they are sorted.
    assert peaks[1] - peaks[0] < 18000 * 40, peaks


# A folder


def test_a_folder_is_gone_through_in_order(tmp_path):
    names = ["a/2.png", "a-b/1.png", "a.png", "b.JPG", "c/d/e.webp", "z.tiff"]
    for i, name in enumerate(names):
        write(tmp_path / name, i)
    for name in ("notes.txt", ".hidden.png", ".git/x.png", "film.mpg", "a/x.pdf"):
        write(tmp_path / name)
    folder = ImageFolder(tmp_path)
    assert (
        ids(folder) == ids(folder) == [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path / n for n in names)]
    )
    assert len(folder) == 6
    assert {sample.id: value_of(sample) for sample in folder} == {name: i for i, name in enumerate(names)}


def test_a_link_to_nowhere_is_an_image_that_is_not_there(tmp_path):
    os.symlink(tmp_path / "absent.png", tmp_path / "link.png")
    (sample,) = ImageFolder(tmp_path)
    with pytest.raises(UnreadableImageError, match="No such file"):
        open_image(sample.image, sample.id)


def test_a_folder_with_captions(tmp_path):
    for i in range(3):
        write(tmp_path / "images" / f"{i}.png")
    lines = tmp_path / "captions.jsonl"
    entries = [("file_name", "0.png", "caption", "a"), ("path", "1.png", "captions", ["b", "c"])]
    entries += [("image", "2.png", "text", "d"), ("image", "0.png", "references", "e"), ("image", "more", "text", "f")]
    lines.write_text("\n".join(json.dumps({n: name, c: caption}) for n, name, c, caption in entries))
    assert [s.references for s in ImageFolder(tmp_path / "images", lines)] == [("a", "e"), ("b", "c"), ("d",)]
    lines.write_text(json.dumps({"file_name": "1.png", "caption": "a"}))
    with pytest.raises(ValueError, match=r"captions.jsonl has no caption for 2 of 3 images, '0.png' among them"):
        ImageFolder(tmp_path / "images", lines)
    lines.write_text('\n{"file_name": "0.png"}')
    with pytest.raises(ValueError, match=r"captions.jsonl, line 2: expected"):
        ImageFolder(tmp_path / "images", lines)
    coco = tmp_path / "captions.json"
    coco.write_text(json.dumps({
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [{"image_id": i, "caption": str(i)} for i in range(3)],
    }))  # fmt: skip
    assert [s.references for s in ImageFolder(tmp_path / "images", coco)] == [("0",), ("1",), ("2",)]


# Lines of JSON, and COCO


def test_lines_of_json(tmp_path):
    write(tmp_path / "images" / "1.png", 7)
    lines = tmp_path / "lines.jsonl"
    content = [
        {"file_name": "1.png", "caption": "a dog"},
        {"path": str(tmp_path / "images" / "1.png"), "captions": ["a", "b"], "id": 5, "other": 3},
        {"image": "3.png"},
        {"image": "4.png", "text": "c"},
        {"image": "4.png", "text": "d"},
        {"image": "5.png", "references": []},
        {"image": "6.png", "caption": "hund – 犬\u2028"},
    ]
    lines.write_bytes(
        b"\xef\xbb\xbf" + "\n\n".join(json.dumps(e, ensure_ascii=False) for e in content).encode() + b"\r\n"
    )
    source = JsonLines(lines, images=tmp_path / "images")
    samples = list(source)
    assert samples == list(source)
    assert ids(samples) == ["1.png", "5", "3.png", "4.png", "5.png", "6.png"]
    assert [s.references for s in samples] == [("a dog",), ("a", "b"), None, ("c", "d"), (), ("hund – 犬\u2028",)]
    assert len(source) == 6
    assert value_of(samples[0]) == value_of(samples[1]) == 7
    assert next(iter(JsonLines(lines))).image == str(tmp_path / "1.png")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (b"[1]", r'expected {"file_name": "...", "caption": "..."}, got \'\[1\]\''),
        (b'{"caption": "a"}', "expected"),
        (b'{"image": 3}', "expected"),
        (b'{"image": "a", "id": [1]}', r"an id must be a string or an integer, got \[1\]"),
        (b'{"image": "a", "caption": 3}', "'a' must be a string or a list of strings, got int"),
        (b'{"image": "a", "caption": ["b", null]}', "must be a string"),
    ],
)
def test_a_malformed_line_is_an_error_with_its_number(tmp_path, line, said):
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(b'{"image": "1.png"}\n\n' + line + b"\n")
    stream = iter(JsonLines(lines))
    with pytest.raises(ValueError, match=rf"lines.jsonl, line 3: .*{said}"):
        list(stream)


def test_coco_captions(tmp_path):
    write(tmp_path / "val" / "2.png", 9)
    file = tmp_path / "captions.json"
    content = {
        "images": [{"id": 2, "file_name": "2.png"}, {"id": 1, "file_name": "1.png"}, {"id": 3, "file_name": "3.png"}],
        "annotations": [
            {"id": 9, "image_id": 1, "caption": "a"},
            {"id": 8, "image_id": 2, "caption": "b"},
            {"id": 7, "image_id": 1, "caption": "c"},
            {"id": 6, "image_id": 77, "caption": "of an image left out"},
        ],
    }
    file.write_text(json.dumps(content))
    source = CocoCaptions(file, images=tmp_path / "val")
    assert [(s.id, s.references) for s in source] == [("2.png", ("b",)), ("1.png", ("a", "c")), ("3.png", ())]
    assert list(source) == list(source)
    assert len(source) == 3
    assert value_of(next(iter(source))) == 9


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Expecting"),
        ("[]", "list indices"),
        ('{"images": []}', "there is no 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": []}', "there is no 'file_name'"),
        ('{"images": [{"id": 1, "file_name": 2}], "annotations": []}', "file name is no string"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": 3}]}',
            r"'a' must be a string or a list of strings, got \[3\]",
        ),
    ],
)
def test_what_is_no_coco_file(tmp_path, content, said):
    file = tmp_path / "captions.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=rf"captions.json is not in the format of COCO captions, .*: .*{said}"):
        CocoCaptions(file)


# Archives


def pack(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_archives(tmp_path):
    first = [("./0.png", encoded(1)), ("./0.txt", b"a dog\n"), ("d/1.jpg", encoded(2)), ("d/1.cls", b"3"), (".x", b"")]
    second = [("0.json", json.dumps({"captions": ["a", "b"]}).encode()), ("0.WEBP", encoded(3)), ("1.txt", b"c")]
    source = WebDataset([pack(tmp_path / "a.tar", first), pack(tmp_path / "b.tar.gz", second, "w:gz")])
    samples = list(source)
    assert samples == list(source)
    assert [(s.id, s.references) for s in samples] == [
        ("a.tar/0", ("a dog",)), ("a.tar/d/1", None), ("b.tar.gz/0", ("a", "b")), ("b.tar.gz/1", ("c",))
    ]  # fmt: skip
    assert [value_of(sample) for sample in samples[:3]] == [1, 2, 3]
    with pytest.raises(UnreadableImageError, match=r"image 'b.tar.gz/1': it is None"):
        open_image(samples[3].image, samples[3].id)
    assert not isinstance(source, Sized)


def test_an_archive_is_read_as_far_as_it_is_asked_for(tmp_path):
    pack(tmp_path / "a.tar", [(f"{i}.png", encoded(i)) for i in range(200)])
    shard = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(shard[: len(shard) // 2])
    stream = iter(WebDataset(tmp_path / "a.tar"))
    assert ids(islice(stream, 50)) == [f"a.tar/{i}" for i in range(50)]
    with pytest.raises(OSError, match=r"cannot read .*a\.tar: "):
        list(stream)
    damaged = bytearray(shard)
    damaged[1024 * 10 : 1024 * 10 + 512] = b"?" * 512
    for content in (b"no archive" * 100, b"", shard[: 1024 * 10], shard[: 1024 * 10 + 100], damaged):
        (tmp_path / "b.tar").write_bytes(content)
        with pytest.raises(OSError, match=r"cannot read .*b\.tar: "):
            list(WebDataset([tmp_path / "b.tar"]))
    for end in (1500, 400):
        with gzip.open(tmp_path / "c.tar.gz", "wb") as file:
            file.write(shard)
        whole = (tmp_path / "c.tar.gz").read_bytes()
        (tmp_path / "c.tar.gz").write_bytes(whole[:end])
        assert end < len(whole)
        with pytest.raises(OSError, match=r"cannot read .*c\.tar\.gz: "):
            list(WebDataset([tmp_path / "c.tar.gz"]))


def test_an_archive_is_not_remembered(tmp_path):
    pack(tmp_path / "a.tar", ((f"{i}.png", b"") for i in range(3000)))
    peaks = []
    for n in (300, 3000):
        tracemalloc.start()
        assert sum(1 for _ in islice(WebDataset(tmp_path / "a.tar"), n)) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100_000, peaks


def test_dictionaries_in_the_manner_of_webdataset():
    entries = [
        {"__key__": "a", "__url__": "x.tar", "jpg": encoded(1, "JPEG"), "txt": "a dog"},
        {"__key__": "b", "png": Image.new("L", (2, 2), 5), "json": {"caption": "a cat"}},
        {"__key__": "c", "image.png": encoded(3), "json": b'{"caption": null}'},
    ]
    samples = list(WebDataset(entries))
    assert [(s.id, s.references) for s in samples] == [("a", ("a dog",)), ("b", ("a cat",)), ("c", None)]
    assert [value_of(sample) for sample in samples] == [1, 5, 3]
    two = [{"__key__": "a", "jpg": encoded(1), "mask.png": encoded(2)}]
    with pytest.raises(ValueError, match=r"sample 'a' has several images: choose one of 'jpg', 'mask\.png' \(image="):
        list(WebDataset(iter(two)))
    assert value_of(next(iter(WebDataset(two, image="mask.png")))) == 2
    with pytest.raises(ValueError, match=r"the captions of sample 'a' cannot be read: .*got int"):
        list(WebDataset([{"__key__": "a", "jpg": b"", "json": {"caption": 3}}]))
    with pytest.raises(ValueError, match="__key__"):
        list(WebDataset([{"jpg": b""}]))


# Datasets of the library


@pytest.fixture(scope="module")
def datasets():
    import datasets

    return datasets


def table(datasets, kind):
    images = [{"bytes": encoded(1), "path": "x.png"}, {"bytes": b"broken", "path": "y.png"}, None]
    columns = {"picture": images, "said": [["a", "b"], [], None], "name": [7, 8, 9], "other": [b"broken"] * 3}
    features = datasets.Features(
        picture=datasets.Image(),
        said=datasets.List(datasets.Value("string")),
        name=datasets.Value("int64"),
        other=datasets.Image(),
    )
    dataset = datasets.Dataset.from_dict(columns, features=features)
    if kind == "stream":
        return dataset.to_iterable_dataset()
    return dataset.with_format("torch") if kind == "formatted" else dataset


@pytest.mark.parametrize("kind", ["table", "stream", "formatted"])
def test_datasets(datasets, kind):
    dataset = table(datasets, kind)
    with pytest.raises(Exception, match=r"identify image"):  # as the library itself would have it
        list(dataset)
    source = HFDataset(dataset, "picture", references="said", id="name")
    samples = list(source)
    assert samples == list(source)
    assert [(s.id, s.references) for s in samples] == [("7", ("a", "b")), ("8", ()), ("9", ())]
    assert value_of(samples[0]) == 1
    ((_, good), (_, broken), (_, absent)) = next(opened([samples], 0))
    assert good.mode == "RGB"
    assert (broken.reason, absent.reason) == ("it is in no format that Pillow knows", "it is None")
    assert isinstance(source, Sized) == isinstance(dataset, datasets.Dataset)
    assert not isinstance(source, Sized) or len(source) == 3
    assert ids(as_samples(HFDataset(dataset, image="picture"))) == ["0", "1", "2"]


def test_a_dataset_with_a_transform_of_its_own(datasets):
    dataset = datasets.Dataset.from_dict({"n": [1, 2]})
    dataset.set_transform(lambda rows: {"n": rows["n"], "image": [np.full((2, 2), n, np.uint8) for n in rows["n"]]})
    with pytest.raises(ValueError, match="no column 'image', only 'n'"):
        HFDataset(dataset.with_format(None))
    assert [value_of(sample) for sample in HFDataset(dataset)] == [1, 2]


def test_a_stream_that_does_not_say_what_it_has(datasets):
    made = []

    def rows():
        for i in range(100):
            made.append(i)
            yield {"image": encoded(i), "text": "a dog"}

    source = HFDataset(datasets.IterableDataset.from_generator(rows), references="text")
    stream = as_samples(source)
    samples = list(islice(stream, 3))
    assert [(s.id, value_of(s), s.references) for s in samples] == [(str(i), i, ("a dog",)) for i in range(3)]
    assert len(made) < 10


def test_datasets_that_cannot_be_read(datasets):
    dataset = table(datasets, "table")
    for rows in (dataset, dataset.to_iterable_dataset(), datasets.DatasetDict(train=dataset)):
        with pytest.raises(
            TypeError, match=r"the rows of a .*Dataset.*: .*samples\.HFDataset\(dataset, image=\.\.\.\)"
        ):
            as_samples(rows)
    with pytest.raises(ValueError, match="no column 'image', only 'picture', 'said', 'name', 'other'"):
        HFDataset(dataset)
    with pytest.raises(ValueError, match="no column 'x'"):
        HFDataset(dataset, "picture", references="x")
    with pytest.raises(TypeError, match="one split, got several: choose one of 'train', 'test'"):
        HFDataset(datasets.DatasetDict(train=dataset, test=dataset))


# What a path leads to


def test_a_path_is_opened_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "images" / "0.png")
    (tmp_path / "a.jsonl").write_text('{"image": "0.png"}')
    (tmp_path / "a.json").write_text('{"images": [{"id": 1, "file_name": "0.png"}], "annotations": []}')
    for name in ("1.tar", "0.tar"):
        pack(tmp_path / name, [("x.png", encoded(0))])
    assert ids(open_source("images")) == ["0.png"]
    assert ids(open_source(tmp_path / "a.jsonl", images="images")) == ["0.png"]
    assert value_of(next(iter(open_source("a.json", images="images")))) == 0
    assert ids(open_source("1.tar")) == ["1.tar/x"]
    assert ids(open_source("*.tar")) == ["0.tar/x", "1.tar/x"]
    (tmp_path / "captions.jsonl").write_text('{"image": "0.png", "caption": "a dog"}')
    assert [s.references for s in open_source("images", references="captions.jsonl")] == [("a dog",)]


@pytest.mark.parametrize(
    ("path", "options", "error", "said"),
    [
        ("absent", {}, FileNotFoundError, "there is no directory absent; expected a directory of images, .*jsonl.*tar"),
        ("absent", {"references": "a.jsonl"}, FileNotFoundError, "there is no directory absent"),
        ("absent.jsonl", {}, FileNotFoundError, "there is no file absent.jsonl"),
        ("absent.json", {}, FileNotFoundError, "there is no file absent.json"),
        ("absent.tar", {}, FileNotFoundError, "there is no file absent.tar"),
        ("absent*.tar", {}, FileNotFoundError, r"no file matches absent\*.tar"),
        ("a.jsonl", {"images": "absent"}, FileNotFoundError, "there is no directory absent"),
        ("empty", {}, FileNotFoundError, r"there are no images \(.*\.jpg .*\) in empty"),
        (
            "a.jsonl",
            {"references": "a.jsonl"},
            ValueError,
            "references are for a directory of images, .*jsonl is none",
        ),
        ("images", {"images": "images"}, ValueError, "images is not"),
        ("images/0.png", {}, ValueError, "expected a directory of images, .* got images/0.png"),
        ("images", {"references": "absent.jsonl"}, FileNotFoundError, "there is no file absent.jsonl"),
    ],
)
def test_a_path_that_leads_nowhere(tmp_path, monkeypatch, path, options, error, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "images" / "0.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(error, match=said):
        open_source(path, **options)


# Opening in the background


class Counted:
    """Images that count how many of them were opened, and by whom."""

    def __init__(self):
        self.opened = []
        self.threads = set()
        self._lock = threading.Lock()

    def sample(self, i, delay=0.0):
        def load():
            time.sleep(delay)
            with self._lock:
                self.opened.append(i)
                self.threads.add(threading.current_thread())
            return Image.new("L", (2, 2), i)

        return Sample(load, str(i))

    def batches(self, n, size):
        for start in range(0, n, size):
            yield [self.sample(i) for i in range(start, min(start + size, n))]


def settled(counted, n):
    """Waits for what is under way, and gives what follows it a chance to be wrong."""
    until = time.monotonic() + 10
    while len(counted.opened) < n and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.02)
    return len(counted.opened)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers):
    counted = Counted()
    batches = list(opened(counted.batches(23, 4), workers))
    assert [len(batch) for batch in batches] == [4] * 5 + [3]
    assert [(s.id, image.getpixel((0, 0))[0]) for batch in batches for s, image in batch] == [
        (str(i), i) for i in range(23)
    ]
    assert (counted.threads == {threading.current_thread()}) == (workers == 0)
    assert not any(thread.is_alive() for thread in counted.threads - {threading.current_thread()})


def test_order_is_kept_however_long_an_image_takes():
    counted = Counted()
    batch = [counted.sample(i, delay=0.002 * (8 - i)) for i in range(8)]
    ((first, *_),) = [list(found) for found in opened([batch], 4)]
    assert first[0].id == "0"
    assert counted.opened != sorted(counted.opened)


def test_no_more_is_opened_than_the_next_two_batches():
    counted = Counted()
    taken = []
    stream = opened((taken.append(batch) or batch for batch in counted.batches(40, 4)), 2)
    for handed_on in range(1, 6):
        next(stream)
        assert len(taken) == handed_on + 2
        assert settled(counted, 4 * len(taken)) == 4 * len(taken)
    stream.close()
    assert not any(thread.is_alive() for thread in counted.threads)
    lazily = opened(counted.batches(40, 4), 0)
    before = len(counted.opened)
    next(lazily)
    assert len(counted.opened) == before + 4


def test_closing_early_drops_what_was_not_begun():
    counted = Counted()
    slow = ([counted.sample(8 * b + i, delay=0.02) for i in range(8)] for b in range(10))
    stream = opened(slow, 1)
    next(stream)
    stream.close()
    assert len(counted.opened) <= 8 + 2
    assert not any(thread.is_alive() for thread in counted.threads)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_are_handed_on_and_other_errors_raised(workers):
    good = Sample(Image.new("L", (2, 2)), "good")
    ((_, _), (sample, error)) = next(opened([[good, Sample("absent.png", "x")]], workers))
    assert (sample.id, error.reason) == ("x", "No such file or directory")
    assert str(error) == "cannot read image 'x' (absent.png): No such file or directory"
    assert error.__traceback__ is None

    def mistaken():
        raise KeyError("a mistake")

    stream = opened([[good], [Sample(mistaken, "y")], [good]], workers)
    next(stream)
    with pytest.raises(KeyError, match="a mistake"):
        next(stream)

    def ends():
        yield [good]
        yield [good]
        raise ValueError("line 3")

    stream = opened(ends(), workers)
    assert len(next(stream)) == len(next(stream)) == 1
    with pytest.raises(ValueError, match="line 3"):
        next(stream)
    with pytest.raises(ValueError, match="got -1"):
        next(opened([[good]], -1))


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_held_of_a_batch_that_was_handed_on(workers):
    counted = Counted()
    stream = opened(counted.batches(12, 4), workers)
    images = []
    for batch in stream:
        images.append([weakref.ref(image) for _, image in batch])
        del batch
        gc.collect()
        assert not any(image() is not None for batch in images for image in batch)
    assert len(images) == 3


def test_one_image_in_many_threads():
    """Pillow decodes a lazily opened image when it is first used, and does not guard against two at once."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    for _ in range(10):
        lazy = Image.open(io.BytesIO(buffer.getvalue()))
        (batch,) = opened([[Sample(lazy, str(i)) for i in range(8)]], 8)
        assert {image.getpixel((399, 399)) for _, image in batch} == {noise.getpixel((399, 399))}
