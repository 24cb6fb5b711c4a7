"""The real data sets, if available; ``load`` checks every count."""

import pytest
import torch

from gsparse.data import card, names

SLOW = {"BlogCatalog", "Computers", "cornell5", "CS", "GitHub", "ogbl-ddi", "Physics"}
STAGED = [
    name if name not in SLOW else pytest.param(name, marks=pytest.mark.slow)
    for name in names()
    if card(name).kind != "embedded"
]


@pytest.mark.parametrize("name", STAGED)
def test_counts_and_masks(real, name):
    data = real(name, sparse_features=True)
    if not card(name).splits:
        return
    masks = torch.stack([data[f"{part}_mask"] for part in ("train", "val", "test")])
    assert (masks.sum(dim=0) <= 1).all()
    assert (masks.sum(dim=1) > 0).all()
    if data.y.dim() == 1:
        assert (data.y[masks.any(dim=0)] >= 0).all()


def test_public_split_of_pubmed(real):
    data = real("PubMed")
    masks = [data[f"{part}_mask"] for part in ("train", "val", "test")]
    assert [int(mask.sum()) for mask in masks] == [60, 500, 1000]
    assert data.y[data.train_mask].bincount().tolist() == [20, 20, 20]
    torch.testing.assert_close(data.x.sum(dim=1), torch.ones(data.num_nodes))


def test_sparse_features_are_the_dense_ones(real):
    dense, sparse = real("Cora"), real("Cora", sparse_features=True)
    assert sparse.x.layout == torch.sparse_csr
    assert sparse.x.to_dense().equal(dense.x)


def test_seed_picks_one_of_ten_given_splits(real):
    first, again, other = (real("Texas", seed=seed) for seed in (0, 10, 1))
    assert first.train_mask.equal(again.train_mask)
    assert not first.train_mask.equal(other.train_mask)


def test_unlabelled_students_are_in_no_mask(real):
    data = real("reed98")
    unknown = data.y == -1
    assert int(unknown.sum()) == 97
    masks = data.train_mask | data.val_mask | data.test_mask
    assert masks.equal(~unknown)


def test_other_edition_of_the_features(real):
    data = real("Twitch-EN")
    if data.variant == "musae":
        assert data.x.size(1) == 3170
        assert set(data.x.unique().tolist()) == {0.0, 1.0}
    else:
        assert data.x.size(1) == 128
