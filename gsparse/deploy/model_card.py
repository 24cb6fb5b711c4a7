"""Model cards: the description in a model file, and the page written next to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

TEMPLATE = "model_card.md"
OURS = "library_name: gsparse"
"""The line that marks a page written by gsparse."""

_LOAD = """```python
from gsparse.deploy.model_file import load_weights

model = ...  # the layers and sizes that the model had when it was saved
load_weights("$file", into=model)
```"""
_LIMITATIONS = (
    "The scores come from one training on one split. The file contains only weights: "
    "the code of the model is needed to load them.",
)


@dataclass(frozen=True)
class ModelCard:
    """Description of a pruned model; every field is optional.

    Args:
        title: Title of one line.
        description: Short description of the model.
        dataset: Name of the training data.
        split: Name of the split.
        method: How the model was pruned, such as ``repr(pruner)``.
        scores: Numbers by name, such as ``{"test accuracy": 0.79}``.
        settings: All other settings that are needed to reproduce the model.
        load: How to load the model, in Markdown; ``$file`` is the name of the file.
        limitations: Uses that are not recommended, and open questions.

    Raises:
        TypeError: If a score is not a number.
    """

    title: str = "A sparse model"
    description: str = "A graph neural network with fewer weights."
    dataset: str | None = None
    split: str | None = None
    method: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    load: str = _LOAD
    limitations: tuple[str, ...] = _LIMITATIONS

    def __post_init__(self) -> None:
        for name, value in self.scores.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"score {name!r} must be a number (got {value!r})")

    def as_record(self) -> dict[str, Any]:
        """Return the fields as stored in the header of the file."""
        return {key: value for key, value in asdict(self).items() if key != "load"}


def card_text(
    card: ModelCard, header: Mapping[str, Any], file: str, num_bytes: int
) -> str:
    """Return the text of the page, from the template of the package.

    Args:
        card: The model card.
        header: The header of the file.
        file: Name of the file.
        num_bytes: Size of the file.
    """
    template = files("gsparse.deploy").joinpath(TEMPLATE).read_text(encoding="utf-8")
    made = {
        "Data set": card.dataset,
        "Split": card.split,
        "Pruned by": card.method,
        **card.settings,
        "gsparse": header["version"],
    }
    weights = header["weights"]
    left, total = weights["num_kept"], weights["num_weights"]
    numbers = {
        "Weights stored": f"{left:,} of {total:,}",
        "Sparsity": f"{1 - left / max(total, 1):.2%}",
        "File": f"{num_bytes:,} bytes",
        **{name: f"{value:.4g}" for name, value in card.scores.items()},
    }
    return Template(template).substitute(
        title=card.title,
        description=card.description,
        made=_items({k: v for k, v in made.items() if v is not None}),
        numbers=_table(numbers),
        load=card.load.replace("$file", file),
        limitations="\n".join(f"- {line}" for line in card.limitations)
        or "- none known",
    )


def check_place(path: Path) -> None:
    """Refuse to overwrite a page that was not written by gsparse.

    Raises:
        ValueError: If there is such a page.
    """
    if path.exists() and OURS not in path.read_text(errors="replace").splitlines():
        raise ValueError(
            f"{path} must be a model card of gsparse or not exist, so that no other "
            "page is lost; choose another folder, or omit 'card'"
        )


def _items(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {_text(value)}" for name, value in values.items())


def _table(values: Mapping[str, str]) -> str:
    lines = [f"| {_text(name)} | {_text(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---:|", *lines])


def _text(value: Any) -> str:  # noqa: ANN401 (anything that prints)
    """Return a value in one line, with escaped table separators."""
    return " ".join(str(value).split()).replace("|", "\\|")
