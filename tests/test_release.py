"""Version, changelog and citation are those of one release."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_one_version_everywhere():
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', project, flags=re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    number, date = re.findall(r"^## \[([\d.]+)\] - ([\d-]+)$", changes, re.MULTILINE)[0]
    assert f"\nversion: {version}\n" in citation
    assert f"\ndate-released: {date}\n" in f"{citation}\n"
    assert number == version
