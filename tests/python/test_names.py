"""What is told of where something is: names, and no folders of a machine."""

import pytest

from coxlmm.names import is_local, is_path, public_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/llava", "llava"),
        ("/home/me/llava/", "llava"),
        ("./models/secret/llava", "llava"),
        ("../secret/llava", "llava"),
        ("~/secret/llava", "llava"),
        ("C:\\Users\\me\\llava", "llava"),
        ("d:/me/llava", "llava"),
        ("\\\\server\\me\\llava", "llava"),
        ("file:///home/me/llava", "llava"),
    ],
)
def test_of_a_path_the_last_part_is_told(path, name):
    assert is_path(path)
    assert public_name(path) == name


@pytest.mark.parametrize("name", ["owner/model", "model", "owner/model.v2", ".hidden.png", "..png", "a:b", "filed/x"])
def test_names_are_told_as_they_are(name):
    assert not is_path(name)
    assert public_name(name) == name


def test_what_is_there_is_a_path_however_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "models" / "llava").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_path("models/llava")
    assert is_local("models/llava")
    assert public_name("models/llava") == "llava"
    monkeypatch.chdir("models/llava")
    assert public_name(".") == "llava"
    assert public_name("..") == "models"
