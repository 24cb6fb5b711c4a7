"""Training by Lightning follows the protocol of pruners and masks."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.loader import DataLoader

from gsparse import train
from gsparse.data import planted_partition, split
from gsparse.nn import KEdge
from gsparse.prune import (
    AutoPrune,
    GradualThreshold,
    Magnitude,
    ProbMask,
    Pruner,
    WeightPruner,
)
from gsparse.prune.schedule import CubicSchedule

STEPS = 12
DATA = split(planted_partition(60, num_classes=3, seed=7), "60-20-20", seed=7)


@pytest.fixture(autouse=True)
def pl():
    """Lightning, or a skipped test."""
    name = "lightning.pytorch"
    return pytest.importorskip(name, reason="the extra 'lightning' is not installed")


@pytest.fixture
def module(pl):
    torch.manual_seed(45817)
    return make_module(pl, train.GCN(DATA.num_features, 8, 3, dropout=0.0))


def make_module(pl, model):
    class Net(pl.LightningModule):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def training_step(self, data, index):
            out = self.model(data.x, data.edge_index)
            return cross_entropy(out[data.train_mask], data.y[data.train_mask])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.05)

    return Net(model)


def fit(pl, module, *parts, steps=STEPS, checkpoint=None, **options):
    callback = train.SparsityCallback(*parts)
    trainer = pl.Trainer(
        max_epochs=steps,
        callbacks=[callback],
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    graphs = [DATA] * options.get("accumulate_grad_batches", 1)
    batches = DataLoader(graphs, generator=torch.Generator())  # not the global one
    trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=False)
    return trainer


def bare_loop(model, part, steps=STEPS, samples=1):
    """The loop that the callback stands for."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(samples):
            out = model(DATA.x, DATA.edge_index)
            mask = DATA.train_mask
            loss = cross_entropy(out[mask], DATA.y[mask]) + part.penalty()
            (loss / samples).backward()
        optimizer.step()
        if isinstance(part, WeightPruner):
            part.step()
    if isinstance(part, WeightPruner):
        part.finalize()


PRUNERS = {
    "gradual": lambda m: GradualThreshold(m, sparsity=0.8, num_steps=8),
    "schedule": lambda m: Pruner(
        m, Magnitude(), sparsity=0.8, schedule=CubicSchedule(0, 8)
    ),
    "at once": lambda m: Pruner(m, Magnitude(), sparsity=0.8),
    "not ended": lambda m: GradualThreshold(m, sparsity=0.8, num_steps=100),
    "AutoPrune": lambda m: AutoPrune(m, sparsity=0.8, num_steps=12),
    "ProbMask": lambda m: ProbMask(m, sparsity=0.8, num_steps=10, seed=3),
}


@pytest.mark.parametrize("make", PRUNERS.values(), ids=PRUNERS)
def test_lightning_and_the_bare_loop_agree(pl, module, make):
    model = copy.deepcopy(module.model)
    pruner, other = make(module.model), make(model)
    samples = pruner.num_samples
    torch.manual_seed(5)
    fit(pl, module, pruner, accumulate_grad_batches=samples)
    torch.manual_seed(5)
    bare_loop(model, other, samples=samples)
    assert pruner.report() == other.report()
    assert pruner.report().sparsity == pytest.approx(0.8, abs=0.02)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(module.model.state_dict()[name], value)


def test_a_mask_that_is_learned(pl, module):
    masked = KEdge(module.model, DATA.num_features, 0.6, ramp=8, seed=11)
    other = copy.deepcopy(masked)
    module = make_module(pl, masked)
    torch.manual_seed(3)
    fit(pl, module, masked)
    torch.manual_seed(3)
    bare_loop(other, other)
    assert int(masked.num_steps) == STEPS
    for name, value in other.state_dict().items():
        torch.testing.assert_close(masked.state_dict()[name], value)


def test_gradients_over_several_batches(pl, module):
    """The penalty is averaged like the loss, and a step follows each optimiser step."""
    model = copy.deepcopy(module.model)
    steps = []
    pruner, other = (PRUNERS["gradual"](it) for it in (module.model, model))
    pruner.penalty = lambda: (
        0.1 * sum(it.square().sum() for it in module.model.parameters())
    )
    other.penalty = lambda: 0.1 * sum(it.square().sum() for it in model.parameters())
    pruner_step, pruner.step = pruner.step, lambda: (steps.append(1), pruner_step())
    fit(pl, module, pruner, accumulate_grad_batches=3)
    bare_loop(model, other, samples=3)
    assert len(steps) == STEPS
    for name, value in model.state_dict().items():
        torch.testing.assert_close(module.model.state_dict()[name], value)


def test_samples_must_be_batches(pl, module):
    pruner = PRUNERS["gradual"](module.model)
    pruner.num_samples = 2
    with pytest.raises(ValueError, match=r"must be 2, the number of samples .*got 1"):
        fit(pl, module, pruner)


def test_a_run_goes_on_from_a_checkpoint(pl, module, tmp_path):
    start = copy.deepcopy(module.model.state_dict())
    pruner = PRUNERS["gradual"](module.model)
    trainer = fit(pl, module, pruner, steps=STEPS)
    whole = copy.deepcopy(module.model.state_dict())

    def fresh():
        model = train.GCN(DATA.num_features, 8, 3, dropout=0.0)
        model.load_state_dict(start)
        return make_module(pl, model)

    first = fresh()
    pruner = PRUNERS["gradual"](first.model)
    pruner.finalize = lambda: None  # interrupted
    trainer = fit(pl, first, pruner, steps=2)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert not pruner.done
    second = fresh()
    pruner = PRUNERS["gradual"](second.model)
    fit(pl, second, pruner, checkpoint=tmp_path / "run.ckpt")
    for name, value in whole.items():
        torch.testing.assert_close(second.model.state_dict()[name], value)
    callback = train.SparsityCallback(pruner, pruner)
    with pytest.raises(ValueError, match=r"the 2 pruners of this callback \(got 1\)"):
        callback.load_state_dict({"pruners": [{}]})


def test_what_does_not_belong_is_refused(pl, module):
    other = PRUNERS["gradual"](train.GCN(4, 4, 2))
    with pytest.raises(
        ValueError, match=r"belong to a part of the module .*another GCN"
    ):
        fit(pl, module, other)
    with pytest.raises(TypeError, match=r"\(got Magnitude\); for a criterion give"):
        train.SparsityCallback(Magnitude())
    with pytest.raises(ValueError, match=r"a pruner or a mask \(got none\)"):
        train.SparsityCallback()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match=r"'automatic_optimization' must be True"):
        fit(pl, module, PRUNERS["gradual"](module.model))


def test_copies(pl, module):
    callback = train.SparsityCallback(PRUNERS["gradual"](module.model))
    assert isinstance(callback, pl.Callback)
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert isinstance(other, pl.Callback)
        assert type(other) is type(callback)
        assert str(other) == str(callback)


def test_a_repr_names_the_parts(pl, module):
    pruner = Pruner(module.model, Magnitude(), sparsity=0.5)
    mask = KEdge(module.model, DATA.num_features, 0.6)
    assert repr(train.SparsityCallback(pruner, mask)) == (
        f"SparsityCallback({pruner!r}, KEdge)"
    )


def test_lightning_is_imported_for_the_callback_only():
    code = (
        "import sys, gsparse.train as t; print('lightning' in sys.modules)\n"
        "sys.modules['lightning'] = None\n"
        "try:\n    t.SparsityCallback(1)\nexcept ImportError as it:\n    print(it)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, *rest = done.stdout.splitlines()
    assert first == "False", done.stderr
    assert "pip install 'gsparse-gnn[lightning]'" in "\n".join(rest), done.stderr
