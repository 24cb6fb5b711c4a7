"""Puts the cards of ``datasets/`` into the wheel, as ``gsparse/data/cards``.

All the rest of the build is described in ``pyproject.toml``. An editable install reads
the cards where they are.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARDS = sorted(Path("datasets").glob("*.toml"))


class BuildWithCards(build_py):
    """Copies the cards after the modules."""

    def _copies(self) -> dict[Path, Path]:
        target = Path(self.build_lib) / "gsparse" / "data" / "cards"
        return {path: target / path.name for path in CARDS}

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for source, target in self._copies().items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copies = [] if self.editable_mode else map(str, self._copies().values())
        return [*super().get_outputs(include_bytecode), *copies]


setup(cmdclass={"build_py": BuildWithCards})
