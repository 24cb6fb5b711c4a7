"""Every card is complete and can be found by its names."""

import inspect
import re

import pytest
import torch_geometric.datasets

from gsparse.data import card, names, split_name
from gsparse.data.cards import cards_folder, read_card

CARDS = [card(name) for name in names()]


@pytest.mark.parametrize("entry", CARDS, ids=lambda entry: entry.name)
class TestCard:
    def test_says_what_it_must(self, entry):
        for text in (entry.description, entry.licence, entry.source, entry.reference):
            assert text.strip()
        assert re.search(
            r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/)", entry.reference
        )
        assert entry.metric in ("accuracy", "roc_auc", "f1_micro", "none")
        assert (entry.metric == "none") == (not entry.splits)

    def test_splits_are_spelled_as_in_rows(self, entry):
        assert all(split_name(kind) == kind for kind in entry.splits)
        assert entry.default_split in (entry.splits or ("",))

    def test_its_class_takes_its_arguments(self, entry):
        if entry.kind == "pyg":
            cls = getattr(torch_geometric.datasets, entry.pyg_class)
            inspect.signature(cls.__init__).bind(None, "root", **entry.kwargs)
            assert entry.raw.startswith(entry.root)
            assert entry.url

    def test_a_reader_that_unpickles_has_hashes(self, entry):
        """Without any, no copy put there by hand could ever be read."""
        reads_pickle = entry.pyg_class in ("Planetoid", "GitHub", "Twitch")
        assert entry.unpickles == reads_pickle
        if entry.unpickles:
            known = [
                variant for variant in entry.variants if all(variant.sha256.values())
            ]
            assert known

    def test_hashes_are_hashes(self, entry):
        for variant in entry.variants:
            assert set(variant.sha256) == set(entry.files)
            for digest in variant.sha256.values():
                assert re.fullmatch(r"([0-9a-f]{64})?", digest)


def test_every_file_is_a_card():
    assert len(list(cards_folder().glob("*.toml"))) == len(CARDS)


@pytest.mark.parametrize("name", ["PubMed", "pubmed", "Pub-Med", " PUB_MED "])
def test_spelling_does_not_matter(name):
    assert card(name) is card("PubMed")


def test_alias():
    assert card("coauthor physics").name == "Physics"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pubmedd", r"\(got 'pubmedd'\); did you mean PubMed\?"),
        ("tolokrs", r"did you mean tolokers\?"),
        ("zzzzzz", r"known: \['Actor'"),
    ],
)
def test_unknown_name(name, message):
    with pytest.raises(ValueError, match=message):
        card(name)


@pytest.mark.parametrize(
    "text", ["name = 'x'", "[counts]\nnum_nodes = 3\n", "colour = 1\n[counts]"]
)
def test_not_a_card(tmp_path, text):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ValueError, match=r"bad.toml is not a card"):
        read_card(tmp_path / "bad.toml")
