"""Checks of the settings of AutoPrune."""


def check_settings(
    sparsity: float | None, penalty: float | None, lr: float, average: int
) -> None:
    """Refuse settings out of range, and both or none of the two budgets."""
    if (sparsity is None) == (penalty is None):
        raise ValueError(
            f"exactly one of 'sparsity' and 'penalty' must be given "
            f"(got {sparsity} and {penalty})"
        )
    if penalty is not None and not 0 <= penalty < float("inf"):
        raise ValueError(f"'penalty' must be finite and at least 0 (got {penalty})")
    if not 0 < lr < float("inf"):
        raise ValueError(f"'lr' must be finite and positive (got {lr})")
    if average < 1:
        raise ValueError(f"'average' must be at least 1 step (got {average})")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the known ones."""
    if value not in known:
        raise ValueError(
            f"{name!r} must be one of {', '.join(map(repr, known))} (got {value!r})"
        )
