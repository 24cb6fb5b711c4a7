"""Learned masks in an experiment produce one graph."""

import pytest

from gsparse.bench import Config, Workspace
from gsparse.bench.experiment.masks import fit_learned
from gsparse.nn.by_name import learned_masks


@pytest.mark.parametrize("teacher", ["edges", "none"])
@pytest.mark.parametrize("method", learned_masks())
def test_every_mask_leaves_one_graph(method, teacher):
    config = Config(
        "digits", "random-5-30", "gcn", method, 0.8, epochs=2, teacher=teacher
    )
    workspace = Workspace()
    data = workspace.graphs(config, 3).fit
    dense = workspace.dense(config, 3) if teacher == "edges" else None
    found = fit_learned(config, 3, data, dense)
    assert found.cut.num_edges == pytest.approx(0.2 * data.num_edges, abs=1)
    assert found.cut.is_undirected()
    assert found.history.num_epochs == 2
