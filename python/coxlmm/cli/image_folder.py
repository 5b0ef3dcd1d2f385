"""Images and reference captions as they lie on disk."""

import json
from pathlib import Path

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_NAMES, _CAPTIONS = ("file_name", "image"), ("caption", "text")


def find_images(directory: Path) -> list[Path]:
    """The images in ``directory`` and below, sorted by path.

    Raises
    ------
    FileNotFoundError
        If there is no such directory, or no image in it.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"there is no directory {directory}")
    files = sorted(file for file in directory.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise FileNotFoundError(f"there are no images ({' '.join(sorted(SUFFIXES))}) in {directory}")
    return files


def read_references(file: Path, names: list[str]) -> list[str]:
    """The reference captions of the images called ``names``.

    Parameters
    ----------
    file : path
        JSON lines, each an object with the image's path below the directory ("file_name" or "image") and a caption
        ("caption" or "text"). An image may have several lines: its captions are then searched together.
    names : list of str

    Raises
    ------
    ValueError
        If a line is something else (with its number), or an image has no caption.
    """
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            name, caption = _read_line(line, f"{file}, line {number}")
            captions.setdefault(name, []).append(caption)
    missing = [name for name in names if name not in captions]
    if missing:
        raise ValueError(f"{file} has no caption for {len(missing)} of {len(names)} images, {missing[0]!r} among them")
    return ["\n".join(captions[name]) for name in names]


def _read_line(line: str, where: str) -> tuple[str, str]:
    try:
        entry = json.loads(line)
        name = next(entry[key] for key in _NAMES if key in entry)
        caption = next(entry[key] for key in _CAPTIONS if key in entry)
    except (json.JSONDecodeError, StopIteration, TypeError) as error:
        raise ValueError(f'{where}: expected {{"file_name": "...", "caption": "..."}}, got {line[:100]!r}') from error
    if not isinstance(name, str) or not isinstance(caption, str):
        raise ValueError(f"{where}: the file name and the caption must be strings, got {line[:100]!r}")
    return name, caption
