"""Opening images: every kind becomes RGB as it is to be seen, and what cannot be read says why."""

import io
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageDraw

from coxlmm.images import UnreadableImageError, image_size, open_image

ORIENTATION = 0x0112


def picture(size=(7, 5), seed=0):
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(image, name=0):
    opened = open_image(image, name)
    assert opened.mode == "RGB"
    return np.asarray(opened)


def reason(image, name=0):
    with pytest.raises(UnreadableImageError) as caught:
        open_image(image, name)
    assert str(caught.value) == f"cannot read {caught.value.name}: {caught.value.reason}"
    return caught.value.reason


# What is handed in


def test_one_picture_in_every_form(tmp_path):
    image = picture()
    expected = np.asarray(image)
    content = encode(image)
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    tensor = torch.from_numpy(expected.copy())
    forms = {
        "path": path,
        "string": str(path),
        "bytes": content,
        "bytearray": bytearray(content),
        "undecoded": {"bytes": content, "path": "elsewhere.png"},
        "undecoded, on disk": {"bytes": None, "path": str(path)},
        "PIL": image,
        "lazy PIL": Image.open(path),
        "callable": lambda: path,
        "array": expected,
        "channels first": expected.transpose(2, 0, 1),
        "floats to 1": expected / 255,
        "floats to 255": expected.astype(np.float32),
        "integers": expected.astype(np.int64),
        "16 bits": expected.astype(np.uint16) * 257,
        "tensor": tensor.permute(2, 0, 1),
        "tensor, channels last": tensor,
        "bfloat16": (tensor.permute(2, 0, 1) // 2 * 2).bfloat16(),
        "with gradient": (tensor.permute(2, 0, 1) / 255).requires_grad_(),
    }
    for name, form in forms.items():
        np.testing.assert_array_equal(pixels(form), expected // 2 * 2 if name == "bfloat16" else expected, name)
        assert image_size(form) == (None if name == "callable" else (7, 5)), name


def test_arrays_of_one_and_four_channels():
    gray = np.arange(20, dtype=np.uint8).reshape(4, 5)
    expected = np.repeat(gray[..., None], 3, axis=2)
    for form in (gray, gray[..., None], gray[None], torch.from_numpy(gray)[None]):
        np.testing.assert_array_equal(pixels(form), expected)
    np.testing.assert_array_equal(pixels(gray > 9), np.where(expected > 9, 255, 0))
    rgba = np.zeros((4, 5, 4), np.uint8)
    rgba[:2, :, 3] = 255
    np.testing.assert_array_equal(pixels(rgba)[:, 0, 0], [0, 0, 255, 255])
    # Of two readings, the usual one of its library.
    assert image_size(np.zeros((3, 8, 4), np.uint8)) == (8, 3)
    assert image_size(torch.zeros(3, 8, 4)) == (4, 8)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "it is None"),
        (3, "int is no kind of image"),
        ({"url": "x"}, '"bytes".*"path"'),
        (lambda: None, "it is None"),
        (lambda: len, "something to call"),
        (np.zeros((2, 3, 4, 3)), r"\(2, 3, 4, 3\)"),
        (np.zeros((5, 6, 7)), r"\(5, 6, 7\)"),
        (np.zeros((0, 4, 3)), "no pixels"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.array([["a", "b"]]), "of numbers, got <U1"),
        (np.array([[-2.1, 2.5]]), "from -2.1 to 2.5.*leave normalising to the processor"),
    ],
)
def test_what_is_no_image_says_what_it_is(image, said):
    with pytest.raises(UnreadableImageError, match=f"^cannot read image 4: .*{said}"):
        open_image(image, 4)
    assert image_size(image) in (None, (4, 0), (4, 4), (2, 1))


def test_a_mistake_in_a_callable_is_not_taken_for_a_broken_image(tmp_path):
    with pytest.raises(KeyError):
        open_image(lambda: {}["absent"], 0)
    assert "No such file" in reason(lambda: Image.open(tmp_path / "absent.png"))
    (tmp_path / "text.jpg").write_text("text")
    assert "text.jpg" in reason(lambda: Image.open(tmp_path / "text.jpg"))


# Modes


def test_gray_and_bits_and_palettes():
    gray = picture().convert("L")
    expected = np.repeat(np.asarray(gray)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(gray), expected)
    np.testing.assert_array_equal(pixels(encode(gray)), expected)
    bits = gray.convert("1")
    np.testing.assert_array_equal(pixels(encode(bits)), np.asarray(bits)[..., None].repeat(3, 2) * np.uint8(255))
    colors = picture().quantize(8)
    np.testing.assert_array_equal(pixels(encode(colors)), np.asarray(colors.convert("RGB")))


def test_more_than_8_bits_are_scaled_rather_than_clipped():
    deep = np.linspace(0, 65535, 35).round().astype(np.uint16).reshape(5, 7)
    expected = np.repeat(np.rint(deep / 257)[..., None], 3, axis=2)
    for form in (
        encode(Image.fromarray(deep)),
        encode(Image.fromarray(deep), "TIFF"),
        Image.fromarray(deep.astype(np.int32)),
        Image.frombytes("I;16B", (7, 5), deep.astype(">u2").tobytes()),
    ):
        np.testing.assert_array_equal(pixels(form), expected)
    byte = np.arange(35, dtype=np.uint8).reshape(5, 7)
    for mode in ("I", "F"):
        np.testing.assert_array_equal(pixels(Image.fromarray(byte).convert(mode))[..., 0], byte)
    np.testing.assert_array_equal(pixels(Image.fromarray(byte / np.float32(255)))[..., 1], byte)
    # Heights in metres, say.
    heights = Image.fromarray(np.array([[-400, 0, 8600]], np.float32))
    np.testing.assert_array_equal(pixels(encode(heights, "TIFF"))[0, :, 2], [0, 11, 255])
    small = Image.fromarray(np.array([[-0.5, -0.25, 0]], np.float32))
    np.testing.assert_array_equal(pixels(small)[0, :, 0], [0, 128, 255])
    np.testing.assert_array_equal(pixels(Image.fromarray(np.full((1, 2), -0.5, np.float32))), 0)


def test_transparency_lies_on_white():
    rgba = picture().convert("RGBA")
    np.testing.assert_array_equal(pixels(rgba), np.asarray(picture()))  # opaque: as it was
    alpha = Image.new("L", rgba.size, 255)
    ImageDraw.Draw(alpha).rectangle((0, 0, 2, 9), fill=0)
    rgba.putalpha(alpha)
    expected = np.array(picture())
    expected[:, :3] = 255
    for form in (rgba, encode(rgba), encode(rgba, "WEBP", lossless=True), rgba.convert("RGBa")):
        np.testing.assert_array_equal(pixels(form), expected)
    half = Image.new("LA", (2, 2), (0, 128))
    for form in (half, half.convert("La")):
        np.testing.assert_array_equal(pixels(form), 127)
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    np.testing.assert_array_equal(pixels(encode(palette, transparency=0))[0], [[255, 255, 255], [40, 50, 60]])
    np.testing.assert_array_equal(pixels(encode(palette, "GIF", transparency=1))[0], [[10, 20, 30], [255, 255, 255]])
    colorkey = encode(Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)), transparency=(1, 2, 3))
    np.testing.assert_array_equal(pixels(colorkey)[0], [[255, 255, 255], [4, 5, 6]])


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_print_colors(format):
    """Pillow writes a JPEG of CMYK inverted and marked as Adobe's, as Photoshop does, and reads it back so."""
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    content = encode(red, format, **({"quality": 95} if format == "JPEG" else {}))
    assert format != "JPEG" or b"Adobe" in content
    np.testing.assert_allclose(pixels(content).mean(axis=(0, 1)), [255, 0, 0], atol=4)
    assert pixels(red).mean(axis=(0, 1)).tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB"])
def test_other_color_spaces(mode):
    gray = Image.new("RGB", (4, 4), (128, 128, 128))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        other = ImageCms.profileToProfile(gray, srgb, lab, outputMode="LAB")
    else:
        other = gray.convert(mode)
    np.testing.assert_allclose(pixels(other), 128, atol=2)


# Frames and orientation


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(format):
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(content)).n_frames == 3
    np.testing.assert_array_equal(pixels(content), np.asarray(frames[0]))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(format, orientation):
    # Undoes what the orientation says: these are their own inverses, but for the quarter turns.
    stored_as = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste("red", (0, 0, 16, 8))
    upright.paste("blue", (16, 0, 32, 8))
    stored = upright.transpose(stored_as[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    content = encode(stored, format, exif=exif, **options)
    np.testing.assert_allclose(pixels(content), np.asarray(upright), atol=3)
    handed_in = Image.open(io.BytesIO(content))
    assert image_size(handed_in) == image_size(content) == (32, 16)
    np.testing.assert_allclose(pixels(handed_in), np.asarray(upright), atol=3)
    assert pixels(open_image(content, 0)).shape == (16, 32, 3)  # not turned twice


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_data_leave_the_picture(format):
    content = encode(picture((16, 8)), format, exif=b"Exif\0\0garbage that is no directory")
    assert pixels(content).shape == (8, 16, 3)
    assert image_size(content) == (16, 8)


# Broken files


def test_broken_files_say_why(tmp_path):
    content = encode(picture((64, 64)))
    files = {
        "absent.png": (None, "no such file"),
        "empty.png": (b"", "it is empty"),
        "text.jpg": (b"a caption, not an image", "no format that pillow knows"),
        "truncated.png": (content[: len(content) // 2], "truncated"),
        "truncated.jpg": (encode(picture((64, 64)), "JPEG")[:-400], "truncated"),
        "head.png": (content[:20], "truncated"),
        "wrong.png": (content[:60] + bytes(200) + content[260:], "broken"),
    }
    for name, (data, said) in files.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
            assert said in reason(data).lower()
        assert said in reason(path).lower()
        with pytest.raises(UnreadableImageError, match=rf"^cannot read image 3 \(.*{name}\): "):
            open_image(str(path), 3)
        with pytest.raises(UnreadableImageError, match=rf"^cannot read image 'a dog' \(.*{name}\): "):
            open_image({"bytes": data, "path": str(path)}, "a dog")
    with pytest.raises(UnreadableImageError, match=rf"^cannot read image '{tmp_path}': Is a directory"):
        open_image(tmp_path, str(tmp_path))
    assert image_size(tmp_path) is image_size(tmp_path / "absent.png") is image_size(tmp_path / "text.jpg") is None
    assert image_size(tmp_path / "truncated.png") == (64, 64)  # its head says so


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_a_decoder_raises_is_a_broken_image():
    """Flipped bits: no decoder may end a long run with an error of its own."""
    rng = np.random.default_rng(0)
    broken = 0
    for format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "TGA", "PPM"):
        content = encode(picture((20, 20)), format)
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(4):
                damaged[rng.integers(len(damaged))] = rng.integers(256)
            image_size(bytes(damaged))
            try:
                open_image(bytes(damaged), 0)
            except UnreadableImageError:
                broken += 1
    assert broken > 50


def test_an_unknown_error_of_a_decoder(monkeypatch):
    lazy = Image.open(io.BytesIO(encode(picture())))
    monkeypatch.setattr(lazy, "load", lambda: [][0])
    assert reason(lazy) == "IndexError: list index out of range"
    monkeypatch.setattr(lazy, "load", lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):  # says nothing of the image
        open_image(lazy, 0)


def test_errors_travel_between_processes():
    error = UnreadableImageError("image 3 (a.png)", "it is empty")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.name, copy.reason) == ("cannot read image 3 (a.png): it is empty", error.name, error.reason)


def test_huge_images_are_opened_or_say_what_to_do(monkeypatch):
    content = encode(picture((30, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    said = reason(content)
    assert "900 pixels" in said
    assert "PIL.Image.MAX_IMAGE_PIXELS (now 400)" in said
    assert image_size(content) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert pixels(content).shape == (30, 30, 3)


def test_pillow_does_not_warn_of_large_images_unless_told_to():
    code = (
        "import io\nfrom PIL import Image\nfrom coxlmm.images import open_image\nb = io.BytesIO()\n"
        "Image.new('L', (25, 20)).save(b, 'PNG')\nImage.MAX_IMAGE_PIXELS = 400\nopen_image(b.getvalue(), 0)"
    )
    for options, n_warnings in (([], 0), (["-W", "always::RuntimeWarning"], 1)):
        done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.count("DecompressionBombWarning") == n_warnings
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
        assert "DecompressionBombWarning" in reason(encode(Image.new("L", (25, 20))))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "CMYK", "I;16", "F"])
def test_one_pixel(mode):
    assert pixels(Image.new(mode, (1, 1))).shape == (1, 1, 3)


# Sizes


def test_a_size_is_known_without_decoding(tmp_path, monkeypatch):
    for format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        path = tmp_path / f"picture.{format.lower()}"
        picture((30, 20)).save(path)
        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "load", lambda self: pytest.fail(f"{self.format} decoded"))
            for plugin in {type(Image.open(path))}:
                patch.setattr(plugin, "load", lambda self: pytest.fail(f"{self.format} decoded"))
            assert image_size(path) == image_size(path.read_bytes()) == (30, 20), format


def test_the_image_handed_in_is_left_alone():
    rgba = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    open_image(rgba, 0)
    assert (rgba.mode, rgba.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 0))
    rgb = picture()
    open_image(rgb, 0).paste("white", (0, 0, 7, 5))
    np.testing.assert_array_equal(np.asarray(rgb), np.asarray(picture()))
