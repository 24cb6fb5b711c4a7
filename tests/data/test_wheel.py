"""The wheel works outside of the checkout, with its cards."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ["gsparse", "datasets", "pyproject.toml", "README.md", "LICENSE"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel built from a copy of the sources, unpacked in an empty folder."""
    pytest.importorskip("setuptools", "77", reason="the build needs setuptools 77")
    base = tmp_path_factory.mktemp("wheel")
    (base / "source").mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("raw", "__pycache__")
            shutil.copytree(ROOT / name, base / "source" / name, ignore=ignore)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, base / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    command += ["--no-build-isolation", "--wheel-dir", str(base), str(base / "source")]
    subprocess.run(command, check=True, cwd=base, capture_output=True)
    (wheel,) = base.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(base / "site")
    return base / "site"


def test_cards_are_in_the_wheel(installed):
    packed = {path.name for path in (installed / "gsparse/data/cards").iterdir()}
    cards = {path.name for path in (ROOT / "datasets").glob("*.toml")}
    assert packed == {*cards, "digits.csv.gz"}
    assert (installed / "gsparse" / "py.typed").is_file()
    assert (installed / "gsparse/deploy/model_card.md").is_file()


def test_every_room_is_in_the_wheel(installed):
    rooms = {p.parent.relative_to(ROOT) for p in ROOT.glob("gsparse/**/*.py")}
    packed = {
        p.parent.relative_to(installed) for p in installed.glob("gsparse/**/*.py")
    }
    assert packed == rooms


def test_wheel_loads_digits_elsewhere(installed, tmp_path):
    script = (
        "import gsparse\n"
        "from gsparse.data import load, names\n"
        "from gsparse.data.places import download_root\n"
        "print(gsparse.__file__, download_root(), len(names()))\n"
        "print(load('digits').num_nodes)"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed), "GSPARSE_OFFLINE": "1"}
    environment["GSPARSE_CACHE"] = str(tmp_path / "cache")
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    file, root, number, num_nodes = result.stdout.split()
    assert Path(file).is_relative_to(installed)
    assert Path(root) == tmp_path / "cache" / "raw"
    assert int(number) == len(list((ROOT / "datasets").glob("*.toml")))
    assert num_nodes == "1797"
