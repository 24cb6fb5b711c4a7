"""Features and the command in rows."""

import importlib.util
import subprocess
import sys

import torch

from gsparse.bench.experiment.facts import command_line, commit, fingerprint, versions


def features(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(30, 20, generator=generator)
    return x * (x > 0.8)


def test_fingerprint_does_not_depend_on_the_layout():
    x = features(48611)
    stored_zero = torch.sparse_csr_tensor(
        torch.tensor([0, 2, 3]),
        torch.tensor([0, 1, 1]),
        torch.tensor([0.0, 2.0, 3.0]),
        (2, 2),
    )
    assert fingerprint(x) == fingerprint(x.to_sparse_csr())
    assert fingerprint(stored_zero) == fingerprint(stored_zero.to_dense())


def test_fingerprint_sees_every_change():
    x = features(48611)
    changed = x.clone()
    changed[x > 0] *= 1 + 1e-6
    wider = torch.cat([x, torch.zeros(30, 1)], dim=1)
    marks = {fingerprint(it) for it in (x, changed, wider, x.roll(1, 0), x.roll(1, 1))}
    assert len(marks) == 5


def test_command_can_be_pasted_and_names_no_folder(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/where/gsparse", "bench", "a b"])
    assert command_line() == "gsparse bench 'a b'"
    spec = importlib.util.find_spec("gsparse.bench.contests.__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    expected = "python -m gsparse.bench.contests bench 'a b'"
    assert command_line() == expected


def test_versions_name_torch():
    assert f"torch=={torch.__version__}" in versions()


def test_commit_of_a_checkout_says_whether_the_package_changed(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", *who, "-C", str(tmp_path), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def now():
        return commit.__wrapped__(tmp_path)  # without the cache

    assert now() is None
    (tmp_path / "gsparse").mkdir()
    (tmp_path / "gsparse" / "a.py").write_text("x = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    found = git("rev-parse", "HEAD")[:12]
    (tmp_path / "rows.jsonl").write_text("outside the package\n")
    assert now() == found
    (tmp_path / "gsparse" / "a.py").write_text("x = 2\n")
    assert now() == found + "+"
