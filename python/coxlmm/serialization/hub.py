"""Dictionaries on the Hugging Face hub, through ``huggingface_hub``."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from coxlmm.atomic import set_aside
from coxlmm.dictionary import ConceptDictionary
from coxlmm.names import is_path
from coxlmm.serialization.card import REPOSITORY
from coxlmm.serialization.directory import CARD, CONFIG, IMAGES, TENSORS, holds_dictionary, save
from coxlmm.states import installed_version

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

_OF_THE_HUB = (".gitattributes",)  # what it puts itself into a repository that is made
_LOG_IN = "log in with `hf auth login`, or give a token"


def push(
    dictionary: ConceptDictionary,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> "CommitInfo":
    """Puts a dictionary into a repository of the hub, in one commit; one that is there is replaced.

    With it go the captions, the ids and the thumbnails of its samples: whoever may read the repository has them. There
    is a warning where ids are paths of this machine.

    Parameters
    ----------
    dictionary : ConceptDictionary
    repo_id : str
        "user/name", or "name" of your own; made if there is none.
    private : bool, optional
        Whether a repository that is made is private. Default: as its owner's settings say.
    token : str or bool, optional
        Default: that of ``hf auth login``, or of ``HF_TOKEN`` in the environment.
    commit_message : str, optional
    revision : str, optional
        Branch, made where there is none. Default: "main".
    create_pr : bool
        Whether to propose the commit to "main" instead.

    Returns
    -------
    huggingface_hub.CommitInfo
        With ``commit_url``, ``oid`` and, for a proposal, ``pr_url``.

    Raises
    ------
    FileExistsError
        If the repository holds something else, such as a model, or a README alone.
    PermissionError
        If the token, or its absence, does not permit it.
    ValueError
        If the name is none of a repository, or :func:`save` refuses the dictionary.
    OSError
        If the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    with TemporaryDirectory() as folder, _explained(repo_id, revision):
        directory = save(dictionary, Path(folder) / "dictionary")
        _warn_of_paths(dictionary)
        names = sorted(file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file())
        api = HfApi(token=token, library_name="coxlmm", library_version=installed_version("coxlmm"))
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not create_pr and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        there = api.list_repo_files(repo_id, revision=revision)
        _refuse_to_replace(api, repo_id, revision, there)
        # Not upload_folder, which makes several commits of many files: between two of them half would be there.
        return api.create_commit(
            repo_id,
            operations=[
                *(CommitOperationDelete(name) for name in there if fnmatch(name, IMAGES) and name not in names),
                *(CommitOperationAdd(name, directory / name) for name in names),
            ],
            commit_message=commit_message or f"Concepts of {dictionary.model_name}",
            revision=revision,
            create_pr=create_pr,
        )


def locate(path: str | os.PathLike[str], *, revision: str | None = None, token: str | bool | None = None) -> Path:
    """The local directory of a dictionary: ``path`` itself, or the copy of a repository of that name in the cache.

    Raises
    ------
    FileNotFoundError
        If there is no such directory, and no repository or revision that may be read.
    ValueError
        If a revision is given for a local directory.
    OSError
        If the hub cannot be reached, or refuses.
    """
    local, name = Path(path), os.fspath(path)
    if local.exists() or set_aside(local).exists() or not REPOSITORY.fullmatch(name):
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for a repository of the hub, and {name!r} is a local path")
        return local
    from huggingface_hub import snapshot_download

    with _explained(name, revision):
        found = snapshot_download(
            name,
            revision=revision,
            token=token,
            allow_patterns=[CONFIG, TENSORS, CARD, IMAGES],
            library_name="coxlmm",
            library_version=installed_version("coxlmm"),
        )
    if not (Path(found) / CONFIG).is_file():
        raise FileNotFoundError(f"the repository {name!r} of the hub holds no concept dictionary: it has no {CONFIG}")
    return Path(found)


def _warn_of_paths(dictionary: ConceptDictionary) -> None:
    paths = [name for name in dictionary.sample_ids if is_path(name)]
    if paths:
        warnings.warn(
            f"{len(paths)} sample ids are paths of this machine, such as {paths[0]!r}, which can be read in the "
            f"repository: give samples other names before extraction, or change dictionary.sample_ids",
            stacklevel=4,
        )


def _refuse_to_replace(api: "HfApi", repo_id: str, revision: str | None, there: list[str]) -> None:
    if CONFIG in there:
        own = Path(api.hf_hub_download(repo_id, CONFIG, revision=revision))
        if not holds_dictionary(own.parent):
            raise FileExistsError(f"{repo_id} holds something else: its {CONFIG} is not of a concept dictionary")
        return
    other = [name for name in there if name not in _OF_THE_HUB]
    if other:
        raise FileExistsError(
            f"{repo_id} holds something else, {', '.join(sorted(other)[:3])}, and no {CONFIG} of a concept dictionary: "
            f"choose another name, or take its files away first"
        )


@contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Says in one line, and what to do, what the hub says in many."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"the repository {repo_id!r} of the hub has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:  # gated ones, too
        raise FileNotFoundError(
            f"{repo_id!r} is no directory, nor a repository of the hub that may be used from here: if it is private, "
            f"{_LOG_IN}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise OSError(
            f"{repo_id!r} is no directory, and the hub cannot be asked for a repository of that name: "
            f"{error.__cause__ or error}"
        ) from error
    except errors.HTTPError as error:  # of the library below, whose errors of the network are no OSError
        response = getattr(error, "response", None)
        if response is not None and response.status_code in (401, 403):
            raise PermissionError(f"the hub does not permit this for {repo_id!r}: {_LOG_IN} that may") from error
        raise OSError(f"the hub cannot be reached, or refuses {repo_id!r}: {error}") from error
    except RuntimeError as error:  # of an upload of a large file
        raise OSError(f"the hub did not take all of {repo_id!r}: {error}: {error.__cause__}") from error
