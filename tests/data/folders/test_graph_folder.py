"""Graph folders are read in blocks, and refused if they are not whole."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
import torch

from gsparse.data import convert_graph, open_graph
from gsparse.data.folders.array_file import ArrayReader, ArrayWriter, npy_head
from gsparse.data.folders.header import checksum, index_dtype
from tests.data.folders.messy import messy_graph, summed


@pytest.fixture
def folder(tmp_path):
    return convert_graph(messy_graph(70841, weighted=True), tmp_path / "g")


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_blocks_join_to_the_whole(folder, size):
    blocks = [*folder.blocks(size)]
    assert max(block.row.numel() for block in blocks) <= size
    row, col, weight = map(torch.cat, zip(*blocks, strict=True))
    (whole,) = folder.blocks()
    assert row.equal(whole.row)
    assert col.equal(whole.col)
    assert weight.equal(whole.weight)
    assert row.dtype == col.dtype == torch.long


def test_numpy_reads_the_files(folder):
    indptr, indices = (
        np.load(folder.path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("indptr", "indices")
    )
    assert indices.dtype == np.int32
    assert np.array_equal(indptr, folder.indptr)
    found = {
        (u, int(v))
        for u in range(folder.num_nodes)
        for v in indices[indptr[u] : indptr[u + 1]]
    }
    assert found == {*summed(folder.data())}


@pytest.mark.parametrize("num_nodes", [0, 1, 4])
def test_no_edges(tmp_path, num_nodes):
    data = messy_graph(1)
    data.edge_index = data.edge_index[:, :0]
    data.num_nodes = num_nodes
    folder = convert_graph(data, tmp_path / "g")
    assert (folder.num_nodes, folder.num_pairs, folder.num_loops) == (num_nodes, 0, 0)
    assert not [*folder.blocks()]
    assert folder.data().edge_index.shape == (2, 0)
    assert folder.indptr.tolist() == [0] * (num_nodes + 1)


def test_ids_are_small_where_they_fit():
    assert index_dtype(2**31) == np.int32
    assert index_dtype(2**31 + 1) == np.int64


def test_reading_in_blocks_needs_memory_for_a_block(tmp_path):
    """Not more than 64 bytes for every edge of a block, however many there are."""
    data = messy_graph(9203, num_nodes=2000, num_pairs=400_000, copies=False)
    folder = convert_graph(data, tmp_path / "g")
    assert folder.num_pairs > 20 * 10_000
    tracemalloc.start()
    for block in folder.blocks(10_000):
        assert block.row.numel() <= 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 10_000


class TestFaults:
    @pytest.mark.parametrize("name", ["indptr.npy", "indices.npy", "weight.npy"])
    def test_a_truncated_file(self, folder, name):
        path = folder.path / name
        path.write_bytes(path.read_bytes()[:-1])
        self._refuses(folder, rf"{name} is truncated \(got .* bytes, expected")

    def test_a_file_that_is_too_long(self, folder):
        with (folder.path / "indices.npy").open("ab") as file:
            file.write(b"0")
        self._refuses(folder, "is too long")

    def test_a_missing_file(self, folder):
        (folder.path / "weight.npy").unlink()
        self._refuses(folder, "is missing; convert the graph again")

    @pytest.mark.parametrize("name", ["indptr.npy", "indices.npy", "weight.npy"])
    @pytest.mark.parametrize("place", [10, -3])
    def test_a_changed_byte_is_found_by_its_checksum(self, folder, name, place):
        path = folder.path / name
        content = bytearray(path.read_bytes())
        content[place] ^= 4
        path.write_bytes(content)
        open_graph(folder.path)
        with pytest.raises(ValueError, match=rf"{name} is damaged \(its checksum"):
            open_graph(folder.path, verify=True)

    def test_a_newer_version(self, folder):
        self._edit(folder, version=2)
        self._refuses(folder, "has version 2, but this gsparse reads versions up to 1")

    def test_a_changed_header(self, folder):
        self._edit(folder, num_nodes=61)
        self._refuses(folder, r"header.json is damaged \(its checksum differs\)")

    def test_another_header(self, folder):
        (folder.path / "header.json").write_text("[]")
        self._refuses(folder, "must be the header of a gsparse graph folder")
        (folder.path / "header.json").write_text('{"format"')
        self._refuses(folder, "header.json is damaged")

    def test_lengths_must_fit_the_sizes(self, folder):
        self._edit(folder, sign=True, num_nodes=61)
        self._refuses(folder, "must have the sizes that its header states")

    def test_a_half_written_folder(self, folder):
        (folder.path / "header.json").unlink()
        self._refuses(folder, "it was not written to its end")

    def test_what_is_not_a_graph_folder(self, tmp_path, folder):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            open_graph(tmp_path / "none")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"it has no header\.json"):
            open_graph(tmp_path / "empty")
        with pytest.raises(ValueError, match="`gsparse convert` makes a folder"):
            open_graph(folder.path / "header.json")

    def test_a_file_that_shrinks_while_it_is_read(self, folder):
        blocks = folder.blocks(5)
        next(blocks)
        (folder.path / "indices.npy").write_bytes(b"0" * 200)
        with pytest.raises(ValueError, match="it ended while it was read"):
            list(blocks)

    def _edit(self, folder, sign=False, **changes):
        path = folder.path / "header.json"
        fields = json.loads(path.read_text()) | changes
        if sign:
            del fields["checksum"]
            fields["checksum"] = checksum(fields)
        path.write_text(json.dumps(fields))

    def _refuses(self, folder, text):
        with pytest.raises(ValueError, match=text):
            open_graph(folder.path)


def test_a_block_must_have_a_size(folder):
    with pytest.raises(ValueError, match=r"'size' must be positive \(got 0\)"):
        next(folder.blocks(0))


def test_repr(folder):
    text = f"GraphFolder({str(folder.path)!r}, num_nodes=60, num_pairs="
    assert repr(folder).startswith(text)
    assert repr(folder).endswith("weighted)")


def test_a_moved_folder_opens(folder, tmp_path):
    shutil.move(folder.path, tmp_path / "other")
    assert open_graph(tmp_path / "other", verify=True).num_pairs == folder.num_pairs


@pytest.mark.parametrize("length", [0, 1, 10**18])
def test_the_head_has_one_length(length):
    assert len(npy_head("<f4", length)) == 128


def test_arrays_are_written_in_blocks(tmp_path):
    writer = ArrayWriter(tmp_path / "a.npy", "<i8")
    for i in range(4):
        writer.write(np.arange(i))
    writer.finish()
    assert np.load(tmp_path / "a.npy").tolist() == [0, 0, 1, 0, 1, 2]
    with ArrayReader(tmp_path / "a.npy", "<i8") as reader:
        assert reader.read(2, 5).tolist() == [1, 0, 1]
