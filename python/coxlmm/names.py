"""What may be told of where something is: names of repositories and files, and no folders of this machine."""

import os
import re
from pathlib import PureWindowsPath

# /home/me, ~/me, ./here, ../there, C:\Users\me, \\server\share, file:///home/me
_PATH = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|$)|[A-Za-z]:[/\\]|file:", re.IGNORECASE)


def is_path(name: str) -> bool:
    """Whether it can only be a path of some machine, as it is written, and no name of a repository or a sample."""
    return _PATH.match(name) is not None


def is_local(name: str) -> bool:
    """Whether it is a path: as it is written, or because something is there."""
    return is_path(name) or os.path.exists(name)


def public_name(name: str) -> str:
    """The last part of what is a path, anything else as it is, such as the name of a repository."""
    return last_part(name) if is_local(name) else name


def last_part(name: str) -> str:
    """Of a path of any machine; of one that ends in dots, "." or "models/..", that of the directory it leads to."""
    # Backslashes separate where a path is of Windows; elsewhere they may be a part of a name.
    if re.match(r"\\|[A-Za-z]:[/\\]", name):
        return PureWindowsPath(name).name
    path = os.path.normpath(name)
    return os.path.basename(os.path.abspath(path) if os.path.basename(path) in (".", "..") else path)
