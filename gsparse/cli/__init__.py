"""The ``gsparse`` command; every subcommand is one call into the package."""

# This module loads without typer, to print which extra is missing. Commands import
# their modules themselves, so that `gsparse --help` does not load torch.
from __future__ import annotations

import logging
import os
import sys
import warnings

from gsparse.cli.output import stop

try:
    import typer
except ModuleNotFoundError:
    typer = None  # type: ignore[assignment]

MISSING = "the gsparse command needs its extra: pip install 'gsparse-gnn[cli]'"
STOPPED = 130  # exit code after Ctrl-C
BUSY = 0.5  # processes that ran in the last minute
EXPECTED = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    RuntimeError,
    MemoryError,
)


def main(args: list[str] | None = None) -> None:
    """Run the command line; invalid input ends with a one-line message and exit code 2.

    Args:
        args: Arguments after ``gsparse``; None uses those of the process.
    """
    if typer is None:
        stop(MISSING, 2)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    _quiet()
    _wait_passively()
    try:
        code = _app()(args, standalone_mode=False, prog_name="gsparse")
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None  # the reader of the output has closed it
    except Exception as error:
        usage = getattr(error, "format_message", None)  # of typer's usage errors
        if usage is None and not isinstance(error, EXPECTED):
            raise
        if "GSPARSE_DEBUG" in os.environ:
            raise
        text = usage() if usage else str(error) or type(error).__name__
        if not text:  # `gsparse` without arguments has printed its help
            raise SystemExit(2) from None
        stop(f"error: {' '.join(text.split())}", 2)
    if code == STOPPED:  # newer versions of typer return it, without an exception
        stop("stopped", STOPPED)
    raise SystemExit(code if isinstance(code, int) else 0)


def _app() -> typer.Typer:
    from gsparse import __version__
    from gsparse.cli import experiments, files, folders, inspect, lists

    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    commands = (
        experiments.bench,
        experiments.reproduce,
        inspect.inspect,
        files.sparsify,
        folders.convert,
        folders.estimate,
        files.prune,
        experiments.report,
        lists.datasets,
        lists.methods,
        files.warmup,
    )
    for command in commands:
        app.command()(command)

    def print_version(wanted: bool) -> None:
        if wanted:
            print(f"gsparse {__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        version: bool = typer.Option(
            False,
            "--version",
            help="Print the version.",
            callback=print_version,
            is_eager=True,
        ),
    ) -> None:
        """Fewer edges, same accuracy, measured speed."""

    return app


def _wait_passively() -> None:
    """Let threads of OpenMP sleep while they wait, if other processes are running.

    Beside one, threads that spin make the steps of small models many times slower; on
    idle cores, threads that sleep make them somewhat slower. OpenMP reads the variable
    when torch is imported, and worker processes inherit it. Nothing is changed where
    the user has set it.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load >= BUSY:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _quiet() -> None:
    """Hide torch's warnings about beta features, in worker processes too."""
    for start in ("Sparse CSR tensor support", "Sparse invariant checks"):
        warnings.filterwarnings("ignore", start)
        rule = f"ignore:{start}"
        rules = os.environ.get("PYTHONWARNINGS", "")
        if rule not in rules:
            os.environ["PYTHONWARNINGS"] = f"{rules},{rule}".strip(",")
