"""The README's blocks run and compile as they stand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def block(language: str, number: int = 0, of: int = 1) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == of, f"{len(blocks)} blocks of {language} in the README, where the tests know of {of}"
    return blocks[number]


def eigen() -> Path:
    """Eigen's headers: the system's, or those of the wheel that the build uses."""
    places = [Path("/usr/include/eigen3"), *(Path(p) / "cmeel.prefix/include/eigen3" for p in sys.path)]
    return next((p for p in places if (p / "Eigen" / "Core").is_file()), None) or pytest.skip("no Eigen headers here")


def test_the_python_lines_run_as_they_stand(demo_model_cache, tmp_path):
    program = f"{block('python', 0, of=3)}\n{block('python', 1, of=3)}\nprint(concepts)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=demo_model_cache, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"^\d+ \d+% \['", run.stdout, re.MULTILINE)) == 10, run.stdout
    assert "dog" in run.stdout
    assert "n_concepts=40" in run.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_lines_about_large_states_run_as_they_stand(tmp_path):
    run = subprocess.run([sys.executable, "-c", block("python", 2, of=3)], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "(10,)" in run.stdout
    assert "instruction_set" in run.stdout


def test_the_cpp_lines_compile_and_run_as_they_stand(tmp_path):
    compiler = shutil.which("g++") or pytest.skip("no g++ here")
    source, program = tmp_path / "readme.cpp", tmp_path / "readme"
    source.write_text(block("cpp"))
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'include'}",
        f"-isystem{eigen()}",
    ]
    subprocess.run([*command, str(source), "-o", str(program), "-pthread"], check=True)
    run = subprocess.run([program], capture_output=True, text=True, check=True)
    objective, passes = re.fullmatch(r"objective ([\d.]+) after (\d+) passes\n", run.stdout).groups()
    assert float(objective) > 0
    assert int(passes) > 0
