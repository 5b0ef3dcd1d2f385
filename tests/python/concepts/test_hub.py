"""A dictionary on the hub and back, through ``huggingface_hub`` as it is, which talks to a hub of the tests.

That library reads where the hub is when it is imported, so what is tested runs in a process of its own.
"""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from concepts.hub import TOKEN, running_hub

from coxlmm import ConceptDictionary
from coxlmm.grounding import Word

# Runs code, or the program, for whoever asks, and answers with what was printed, or with the error that ended it.
_CLIENT = """
import contextlib, io, json, os, sys
from typer.testing import CliRunner
from coxlmm import ConceptDictionary
from coxlmm.cli import app

for line in sys.stdin:
    folder, token, code = json.loads(line)
    os.chdir(folder)
    os.environ.pop("HF_TOKEN", None)
    os.environ.update({"HF_TOKEN": token} if token else {})
    printed = io.StringIO()
    try:
        if isinstance(code, list):
            answer = CliRunner().invoke(app, code).output
        else:
            with contextlib.redirect_stdout(printed):
                exec(code, {"read": ConceptDictionary.from_pretrained})
            answer = printed.getvalue()
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer.strip()), flush=True)
"""


@contextmanager
def client(url, home):
    settings = {
        "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "PROXY" not in k.upper()}
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT], env=clean | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask(folder, code, token=TOKEN):
            process.stdin.write(json.dumps([str(folder), token, code]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A hub, somebody who uses it, and that person's cache."""
    home = tmp_path_factory.mktemp("home")
    with running_hub() as hub, client(hub.url, home) as ask:
        yield hub, ask, home


@pytest.fixture
def hub(shared):
    shared[0].repositories.clear()
    shared[0].requests.clear()
    return shared[0]


@pytest.fixture
def run(shared, tmp_path):
    return lambda code, token=TOKEN: shared[1](tmp_path, code, token)


@pytest.fixture
def saved(dictionary, tmp_path):
    return dictionary.save_pretrained(tmp_path / "saved")


def files(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_what_is_pushed_comes_back_to_the_byte(hub, run, saved, tmp_path):
    run("print(read('saved').push_to_hub('me/dogs', private=True, commit_message='All dogs').oid)")
    repository = hub.repositories["me/dogs"]
    assert repository.private
    # In one commit: at no time half of it is there.
    assert repository.messages == ["initial commit", "All dogs"]
    there = repository.files("main")
    assert {name: data for name, data in there.items() if name != ".gitattributes"} == files(saved)
    there["pytorch_model.bin"] = there["images/evil.pkl"] = b"not a part of a dictionary"
    assert run("read('me/dogs').save_pretrained('back'); print('done')") == "done"
    assert files(tmp_path / "back") == files(saved)
    assert not [request for request in hub.requests if request.endswith((".bin", ".pkl"))]


def test_without_a_hub_there_is_what_was_read_before(hub, run, shared, saved, tmp_path):
    assert run("read('saved').push_to_hub('me/kept'); print(read('me/kept').n_concepts)") == "4"
    with client("http://127.0.0.1:1", shared[2]) as ask:
        assert ask(tmp_path, "print(read('me/kept').n_concepts)") == "4"
        message = "OSError: 'me/none' is no directory, and the hub cannot be asked for a repository of that name: "
        assert ask(tmp_path, "read('me/none')").startswith(message)
        assert ask(tmp_path, ["compare", "me/none", "saved"]).startswith("error: 'me/none' is no directory")
        message = "OSError: the hub cannot be reached, or refuses 'me/dogs': "
        assert ask(tmp_path, "read('saved').push_to_hub('me/dogs')").startswith(message)


def test_a_second_push_replaces_all_of_the_first(hub, run, dictionary, saved, tmp_path):
    first = run("print(read('saved').push_to_hub('me/dogs').oid)")
    dictionary.images = [hits[:1] for hits in dictionary.images]
    dictionary.words[0][0] = Word("second", 1.0)
    dictionary.save_pretrained(tmp_path / "fewer")
    second = run("print(read('fewer').push_to_hub('me/dogs').oid)")
    repository = hub.repositories["me/dogs"]
    assert len(repository.files(first)) > len(repository.files(second))
    assert set(repository.files("main")) == {*files(tmp_path / "fewer"), ".gitattributes"}
    words = run(f"print(*(read('me/dogs', revision=r).words[0][0].text for r in ('{first}', '{second}', 'main')))")
    assert words == "cat0 second second"


def test_branches_and_proposals_leave_main_as_it_is(hub, run, saved):
    assert run("print(read('saved').push_to_hub('me/dogs', revision='try').pr_url)") == "None"
    repository = hub.repositories["me/dogs"]
    assert set(repository.files("main")) == {".gitattributes"}
    assert "config.json" in repository.files("try")
    printed = run(["push", "saved", "me/dogs", "--pull-request", "--message", "Please"])
    assert printed == f"{hub.url}/me/dogs/discussions/1"
    assert set(repository.files("main")) == {".gitattributes"}
    assert "config.json" in repository.files("refs/pr/1")
    assert repository.messages[-1] == "Please"
    assert run("print(read('me/dogs', revision='refs/pr/1').n_concepts)") == "4"
    assert "has no revision 'other'" in run("read('me/dogs', revision='other')")
    assert "'me/dogs' of the hub holds no concept dictionary" in run("read('me/dogs')")


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.gguf", "README.md", "images/00000.webp", "dictionary.safetensors"],
)
def test_what_is_no_dictionary_is_not_replaced(hub, run, saved, name):
    run("print(read('saved').push_to_hub('me/model').oid)")
    repository = hub.repositories["me/model"]
    before = {
        ".gitattributes": b"", "README.md": b"years of work", name: json.dumps({"model_type": "llava"}).encode()
    }  # fmt: skip
    repository.commit("main", before, "a model")
    assert "FileExistsError: me/model holds something else" in run("read('saved').push_to_hub('me/model')")
    assert repository.files("main") == before


def test_the_program_takes_names_of_repositories(hub, run, saved):
    printed = run(["push", "saved", "dogs", "--private"])
    sha = hub.repositories["me/dogs"].branches["main"]
    assert printed == f"{hub.url}/me/dogs/commit/{sha}"
    assert hub.repositories["me/dogs"].private
    compared = json.loads(run(["compare", "me/dogs", "saved", "--json"]))
    assert compared["mean"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("code", "token", "message"),
    [
        ("read('me/none')", TOKEN, "FileNotFoundError: 'me/none' is no directory, nor a repository of the hub"),
        ("read('me/secret')", None, "if it is private, log in with `hf auth login`, or give a token"),
        ("read('me/secret', token='hf_wrong')", None, "if it is private, log in with `hf auth login`"),
        ("read('saved').push_to_hub('me/dogs')", "hf_wrong", "PermissionError: the hub does not permit this for 'me/d"),
        ("read('saved').push_to_hub('a b/../c')", TOKEN, "Error: .*'a b/../c'"),
        ("read('saved', revision='main')", TOKEN, "ValueError: revision='main' is for a repository of the hub"),
        ("read('folder/none')", TOKEN, "FileNotFoundError: 'folder/none' is no directory, nor a repository"),
        ("read('folder/none/deeper')", TOKEN, "FileNotFoundError: no concept dictionary at .*folder/none/deeper"),
    ],
)
def test_what_does_not_work_is_said_in_a_line(hub, run, saved, code, token, message):
    run("read('saved').push_to_hub('me/secret', private=True)")
    error = run(code, token)
    assert re.search(message, error), error


def test_paths_of_the_machine_are_warned_of(hub, run, saved):
    code = """
import warnings
d = read('saved')
d.sample_ids[7:9] = {names}
with warnings.catch_warnings(record=True) as caught:
    d.push_to_hub('me/dogs')
print(*(w.message for w in caught if w.category is UserWarning))
"""
    for path in ("/home/me/dog.png", "../me/dog.png", "~/dog.png", "C:\\me\\dog.png", "file:///home/me/dog.png"):
        printed = run(code.format(names=[path] * 2))
        assert printed.startswith(f"2 sample ids are paths of this machine, such as {path!r}, which can be read")
    assert run(code.format(names=["photos/dog.png", "..dog.png"])) == ""


def test_a_push_that_fails_half_way_changes_nothing(hub, run, saved, monkeypatch):
    run("read('saved').push_to_hub('me/dogs')")
    before = dict(hub.repositories["me/dogs"].files("main"))
    monkeypatch.setattr(hub, "is_full", True)
    code = "d = read('saved'); d.codes[0] = 7; d.captions[0] = 'new'; d.push_to_hub('me/dogs')"
    assert run(code).startswith("OSError: the hub did not take all of 'me/dogs': ")
    assert hub.repositories["me/dogs"].files("main") == before


def test_nothing_is_pushed_of_what_cannot_be_saved(hub, run, saved):
    code = "d = read('saved'); d.captions.pop(); d.push_to_hub('me/dogs')"
    assert run(code).startswith("ValueError: it has 59 captions")
    assert not hub.requests


def test_a_directory_goes_before_a_repository(dictionary, tmp_path, monkeypatch):
    dictionary.save_pretrained(tmp_path / "me" / "dogs")
    monkeypatch.chdir(tmp_path)
    assert ConceptDictionary.from_pretrained("me/dogs").n_concepts == 4
