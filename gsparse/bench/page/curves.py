"""The curves of a section, named and numbered alike in all of its plots."""

from dataclasses import dataclass

from gsparse.bench.page.content import CONTROL, Entry, Section
from gsparse.bench.tables.table import mean_and_deviation


@dataclass(frozen=True)
class Curve:
    """Entries of one method at several sparsities."""

    name: str
    number: int
    """Decides colour and marker."""
    entries: list[Entry]

    @property
    def is_control(self) -> bool:
        """Whether it shows random edges, which are drawn dashed."""
        return self.entries[0].line.method == CONTROL


def curves(section: Section) -> list[Curve]:
    """Return the curves of all tested entries but baselines, in the order of names.

    Names lose their letters where no two curves are confused.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in section.entries:
        if not entry.is_baseline and entry.line.test_mean is not None:
            groups.setdefault(entry.line.name, []).append(entry)
    plain = [found[0].line.plain_name for found in groups.values()]
    names = [
        short if plain.count(short) == 1 else full
        for full, short in zip(groups, plain, strict=True)
    ]
    ordered = [
        sorted(found, key=lambda it: section.removed(it.line))
        for found in groups.values()
    ]
    pairs = zip(names, ordered, strict=True)
    return [Curve(name, i, found) for i, (name, found) in enumerate(pairs)]


def describe(entry: Entry) -> str:
    """Return one line of text about an entry, for hovering."""
    line = entry.line
    removed = f"{100 * line.sparsity:.1f} % of edges removed"
    if line.weight_sparsity is not None:
        removed += f", {100 * line.weight_sparsity:.3g} % of weights"
    test = mean_and_deviation(line.test_mean or 0.0, line.test_std)
    return f"{line.name}: {removed}; test {test} ({len(entry.points)} seeds)"
