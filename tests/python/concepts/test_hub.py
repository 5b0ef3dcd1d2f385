"""A dictionary on the hub and back, through ``huggingface_hub`` as it is, which talks to a hub of the tests.

That library reads where the hub is when it is imported, so what is tested runs in a process of its own.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from concepts.hub import TOKEN, running_hub

from coxlmm import ConceptDictionary
from coxlmm.grounding import Word


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def run(hub, tmp_path):
    """Runs Python code, or the program; returns what it printed, or the error that ended it."""

    def run(*arguments, token=TOKEN, home="home"):
        settings = {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / home), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "PROXY" not in k.upper()}
        environment = clean | settings | ({"HF_TOKEN": token} if token else {})
        code = arguments if arguments[0] == "-c" else ("-c", _PROLOGUE + arguments[0])
        found = subprocess.run([sys.executable, *code], env=environment, cwd=tmp_path, capture_output=True, text=True)
        return found.stdout.strip() if found.returncode == 0 else found.stderr.strip().splitlines()[-1]

    return run


_PROLOGUE = "from coxlmm import ConceptDictionary\nread = ConceptDictionary.from_pretrained\n"


@pytest.fixture
def saved(dictionary, tmp_path):
    return dictionary.save_pretrained(tmp_path / "saved")


def files(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def program(*arguments):
    return ("-c", "import sys; from coxlmm.cli import app; app(prog_name='coxlmm')", *arguments)


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
    # From the cache, with nothing to ask.
    hub.repositories.clear()
    assert run("import os; os.environ['HF_HUB_OFFLINE'] = '1'\nprint(read('me/dogs').n_concepts)") == "4"


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
    printed = run(*program("push", "saved", "me/dogs", "--pull-request", "--message", "Please"))
    assert printed == f"{hub.url}/me/dogs/discussions/1"
    assert set(repository.files("main")) == {".gitattributes"}
    assert "config.json" in repository.files("refs/pr/1")
    assert repository.messages[-1] == "Please"
    assert run("print(read('me/dogs', revision='refs/pr/1').n_concepts)") == "4"
    assert "has no revision 'other'" in run("read('me/dogs', revision='other')")
    assert "'me/dogs' of the hub holds no concept dictionary" in run("read('me/dogs')")


def test_what_is_no_dictionary_is_not_replaced(hub, run, saved):
    run("print(read('saved').push_to_hub('me/model').oid)")
    repository = hub.repositories["me/model"]
    before = {"config.json": json.dumps({"model_type": "llava"}).encode(), "README.md": b"years of work"}
    repository.commit("main", before, "a model")
    assert "FileExistsError: me/model holds something else" in run("read('saved').push_to_hub('me/model')")
    assert repository.files("main") == before


def test_the_program_takes_names_of_repositories(hub, run, saved):
    printed = run(*program("push", "saved", "dogs", "--private"))
    sha = hub.repositories["me/dogs"].branches["main"]
    assert printed == f"{hub.url}/me/dogs/commit/{sha}"
    assert hub.repositories["me/dogs"].private
    compared = json.loads(run(*program("compare", "me/dogs", "saved", "--json")))
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
    error = run(code, token=token, home="other")
    assert re.search(message, error), error


def test_a_hub_that_cannot_be_reached_is_said_in_a_line(hub, run, saved):
    hub.url = "http://127.0.0.1:1"
    assert "OSError: the hub cannot be reached, or refuses 'me/dogs'" in run("read('saved').push_to_hub('me/dogs')")
    assert "OSError: 'me/dogs' is no directory, and the hub cannot be asked" in run("read('me/dogs')")
    assert run(*program("compare", "me/dogs", "saved")).startswith("error: 'me/dogs' is no directory, and the hub")


def test_nothing_is_pushed_of_what_cannot_be_saved(hub, dictionary):
    dictionary.captions.pop()
    with pytest.raises(ValueError, match="59 captions"):
        dictionary.push_to_hub("me/dogs", token=TOKEN)
    assert not hub.requests


def test_a_directory_goes_before_a_repository(dictionary, tmp_path, monkeypatch):
    dictionary.save_pretrained(tmp_path / "me" / "dogs")
    monkeypatch.chdir(tmp_path)
    assert ConceptDictionary.from_pretrained("me/dogs").n_concepts == 4
