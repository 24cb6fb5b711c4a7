"""Run the command in the process of a test."""

import pytest

from gsparse import cli


def run(capsys, *args):
    """Exit code, standard output and standard error of one command."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err
