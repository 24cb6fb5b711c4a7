"""Lists of edges: lines are edges, and named columns are attributes."""

import gzip

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import read_graph, write_graph

PATH = [[0, 1], [1, 2]]


def read(tmp_path, name, text, **options):
    content = text if isinstance(text, bytes) else text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return read_graph(path, **options)


@pytest.mark.parametrize(
    ("name", "text", "edges", "weights"),
    [
        ("g.csv", "0,1\n1,2", PATH, None),
        ("g.csv", "0,1,\n1,2,\n", PATH, None),
        ("g.csv", '"0","1"\n"1","2"\n', PATH, None),
        ("g.csv", " 0 , 1 \r\n\r\n 1 , 2 \r\n", PATH, None),
        ("g.csv", "0;1\n1;2\n", PATH, None),
        ("g.csv", "0\t1\n1\t2\n", PATH, None),
        ("g.csv", "0 1\n1 2\n", PATH, None),
        ("g.txt", "0, 1\n1, 2\n", PATH, None),
        ("g.txt", "0 1\r1 2\r", PATH, None),
        ("g.txt", "0 1 # a note\n  % another\n1 2\n", PATH, None),
        ("g.txt", "0.000e+00 1.000e+00\n1.000e+00 2.000e+00\n", PATH, None),
        ("g.txt", "from to weight\n0 1 0.5\n1 2 7\n", PATH, [0.5, 7]),
        ("g.csv", "target,source\n1,0\n2,1\n", PATH, None),
        ("g.csv", "weight,source,target\n0.5,0,1\n7,1,2\n", PATH, [0.5, 7]),
        ("g.csv", ",source,target\n0,0,1\n1,1,2\n", PATH, None),
        ("g.csv", "Unnamed: 0,src,dst,Weight\n0,0,1,3\n1,1,2,4\n", PATH, [3, 4]),
        ("g.csv", "src,dst,timestamp\n0,1,1082040961\n1,2,5\n", PATH, None),
        ("g.csv", "u,v,note\n0,1,a\n1,2,\n", PATH, None),
        ("g.csv", "paper,cites\n0,1\n1,2\n", PATH, None),
        ("g.csv", "Target ID,person\n1,0\n2,1\n", PATH, None),
        ("g.csv", "FromNodeId,ToNodeId\n", [], None),
        ("g.txt", "0 1 5\n1 2 3\n", PATH, [5, 3]),
        ("g.txt", "0 1 1073741824.0\n1 2 1073741824.0\n", PATH, [2.0**30] * 2),
        ("g.tsv.gz", "0\t1\n1\t2\n", PATH, None),
    ],
)
def test_forms(tmp_path, name, text, edges, weights):
    data = read(tmp_path, name, text)
    assert data.edge_index.t().tolist() == edges
    found = data.get("edge_weight")
    assert (None if found is None else found.tolist()) == weights


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_costs_no_edge(tmp_path, encoding):
    for start in ("", "source,target\n"):
        data = read(tmp_path, "g.csv", f"{start}0,1\n1,2\n".encode(encoding))
        assert data.edge_index.t().tolist() == PATH


@pytest.mark.parametrize("mark", [b"\xfe\xff", b"\xff\xfe"])
def test_both_orders_of_bytes(tmp_path, mark):
    order = "utf-16-be" if mark == b"\xfe\xff" else "utf-16-le"
    data = read(tmp_path, "g.txt", mark + "0 1\n1 2\n".encode(order))
    assert data.edge_index.t().tolist() == PATH


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", "-1,2\n0,1\n", r"non-negative integers \(got '-1'\)"),
        ("g.txt", "-1 2\n", r"non-negative integers \(got '-1'\); use relabel=True"),
        ("g.csv", ",7\n0,1\n", r"non-negative integers \(got ''\)"),
        ("g.csv", ",0,1\n0,5,6\n", r"non-negative integers \(got ''\)"),
        ("g.txt", "inf 1\n", r"non-negative integers \(got 'inf'\)"),
        ("g.txt", "0 1\nnan 1\n", r"non-negative integers \(got 'nan'\)"),
        ("g.txt", "0.5 1\n", r"non-negative integers \(got '0.5'\)"),
        ("g.txt", "1e16 1\n", r"non-negative integers \(got '1e16'\)"),
        ("g.txt", "1_0 1\n", r"non-negative integers \(got '1_0'\)"),
        ("g.txt", "9223372036854775808 1\n", r"\(got '9223372036854775808'\)"),
        (
            "g.csv",
            "ann,bob\n",
            r"non-negative integers \(got 'ann'\); .*\(--relabel\)",
        ),
        ("g.csv", "ann,bob\nbob,cem\n", r"non-negative integers \(got 'bob'\)"),
        ("g.csv", "0,1\n1,2,3\n", "must have 2 columns in every line"),
        ("g.csv", "source,target,note\n0,1,a\n1,2\n", "must have 3 columns in every"),
        ("g.csv", "0,1,2,3\n", "2 or 3 columns .* a first line that names them"),
        ("g.csv", "a,b,c\n0,1,2\n", "must name one column 'source', one 'target'"),
        ("g.csv", "source,from,target\n0,1,2\n", "must name one column 'source'"),
        ("g.csv", "source,target,weight,w\n0,1,2,3\n", "at most one 'weight'"),
        ("g.csv", "0;1;0,5\n", "one delimiter .got commas and semicolons"),
        ("g.txt", "0 1 {}\n", r"in braces .*write_edgelist\(\.\.\., data=False\)"),
        ("g.txt", "0 1 heavy\n", r"weight column \(got 'heavy'\)"),
        ("g.txt", "0 1 1+2j\n", r"weight column \(got '1\+2j'\)"),
        ("g.csv", "source,target,weight\n0,1,\n", r"weight column \(got ''\)"),
        ("g.txt", "0 1 nan\n", r"'edge_weight' .* must be finite \(got nan"),
        ("g.txt", "0 1 1e99\n", r"'edge_weight' .* must be finite \(got inf"),
        ("g.txt", "0 1 1082040999\n1 0 1082040961\n", "a weight or a time"),
        ("g.txt", "0 1 0\n1 0 75\n0 2 69459254\n", "a weight or a time"),
        ("g.csv", '"0,1\n', "must be a table"),
        ("g.txt", b"0 1\n\0 2\n", "must be text"),
        ("g.txt", "0 1\n".encode("utf-16-le"), "must be text"),
        ("g.txt", b"\xff\xfe0", "must be utf-16-le text"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        read(tmp_path, name, text)
    assert "g." in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_ids_of_64_bits_are_kept_apart(tmp_path):
    ids = [2**53, 2**53 + 1, 2**63 - 1]
    text = f"{ids[0]} {ids[1]}\n{ids[1]} {ids[2]}\n"
    data = read(tmp_path, "g.txt", text, relabel=True)
    assert data.node_label.tolist() == ids
    assert data.edge_index.t().tolist() == PATH


def test_ids_far_beyond_the_edges_need_relabel_or_the_number_of_nodes(tmp_path):
    assert read(tmp_path, "g.txt", "9999999 1\n").num_nodes == 10_000_000
    with pytest.raises(ValueError, match=r"below 10,000,000 with 1 edges .*--relabel"):
        read(tmp_path, "g.txt", "10000000 1\n")
    data = read(tmp_path, "g.txt", "# nodes: 10000002\n10000000 1\n")
    assert data.num_nodes == 10_000_002
    # A count of the nodes that occur says nothing of ids beyond it.
    assert read(tmp_path, "g.txt", "# nodes: 2\n7 1\n").num_nodes == 8


@pytest.mark.parametrize("digits", [11, 16, 5000])
def test_more_nodes_than_memory(tmp_path, digits):
    with pytest.raises(
        ValueError, match=r"at most 3,037,000,499 nodes|fit into memory"
    ):
        read(tmp_path, "g.txt", f"# nodes: 1{'0' * digits}\n0 1\n")


@pytest.mark.parametrize(
    ("name", "text", "edges", "labels"),
    [
        ("g.csv", "bob,ann\nann,cem\n", [[1, 0], [0, 2]], ["ann", "bob", "cem"]),
        ("g.csv", "source,target\nb,a\n", [[1, 0]], ["a", "b"]),
        ("g.csv", "x,y\n-5,10\n10,9\n", [[0, 2], [2, 1]], [-5, 9, 10]),
        ("g.csv", "x,y\n07,7\n", [[0, 1]], ["07", "7"]),
        ("g.csv", "source,target\n9,10.0\n10,11.0\n", [[0, 1], [1, 2]], [9, 10, 11]),
        ("g.csv", "source,target\n1.0,1.1\n", [[0, 1]], ["1.0", "1.1"]),
        ("g.txt", "9 10\n", [[0, 1]], [9, 10]),
        ("g.txt", "a9 a10\n", [[1, 0]], ["a10", "a9"]),
        ("g.txt", "007 7\n", [[0, 1]], ["007", "7"]),
        ("g.txt", "7 +7\n", [[1, 0]], ["+7", "7"]),
        ("g.txt", "18446744073709551615 1\n", [[1, 0]], ["1", "18446744073709551615"]),
        ("g.txt", "C# C\n# a comment\n", [[1, 0]], ["C", "C#"]),
        ("g.txt", '"New York" Paris\n', [[0, 1]], ["New York", "Paris"]),
        ("g.csv", '"#a","b, c"\n', [[0, 1]], ["#a", "b, c"]),
        ("g.tsv", "São Paulo\tb, c; d\n", [[0, 1]], ["São Paulo", "b, c; d"]),
        ("g.csv", "7,ann\nann,8\n", [[0, 2], [2, 1]], ["7", "8", "ann"]),
        ("g.csv", "", [], []),
    ],
)
def test_relabel(tmp_path, name, text, edges, labels):
    data = read(tmp_path, name, text, relabel=True)
    assert data.edge_index.t().tolist() == edges
    found = data.get("node_label")
    if isinstance(found, torch.Tensor):
        found = found.tolist()
    assert (found or []) == labels
    assert data.num_nodes == len(labels)


def test_labels_of_no_nodes(tmp_path):
    for text in ("", "# nodes: 3\n", "source,target\n"):
        data = read(tmp_path, "g.csv", text, relabel=True)
        assert data.node_label.tolist() == []
        assert data.num_nodes == 0


def test_relabel_keeps_weights(tmp_path):
    data = read(tmp_path, "g.csv", "a,b,weight\nx,y,0.5\n", relabel=True)
    assert data.edge_weight.tolist() == [0.5]
    assert read(tmp_path, "g.txt", "8 5 2\n", relabel=True).edge_weight.tolist() == [2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.csv", "source,target\nsource,x\n", "use names of columns as nodes"),
        ("g.csv", "#a,#b\n", "quotes around a node that starts with # or %"),
        ("g.txt", "a,1 b,2\n", "one delimiter between names"),
        ("g.csv", "New York\n", "one delimiter between names"),
        ("g.csv", "a,b\nb,\n", "must name two nodes in every line"),
        ("g.csv", '"a\tb",c\n', "without tabs and line breaks"),
        ("g.csv", "gene1,gene2\nTP53,ATM\n", "must say whether its first line is an"),
        ("g.csv", "(0, 1)\n(1, 2)\n", "without brackets or arrows"),
        ("g.txt", "0 -> 1\n1 -> 2\n", "without brackets or arrows"),
        ("g.txt", "a b {'weight': 2}\n", r"in braces .* data=\['weight'\]"),
        ("g.csv", "a,knows,b\n", r"weight column \(got 'b'\)"),
        ("g.csv", b"\xe9,b\n", "must be UTF-8 text"),
    ],
)
def test_labels_that_are_not_certain_are_refused(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, name, text, relabel=True)


def test_a_csv_states_its_nodes_only_where_the_ids_do_not(tmp_path):
    edge_index = torch.tensor([[0, 1], [1, 0]])
    write_graph(Data(edge_index=edge_index, num_nodes=2), tmp_path / "g.csv")
    assert (tmp_path / "g.csv").read_text() == "0,1\n1,0\n"
    write_graph(Data(edge_index=edge_index, num_nodes=10), tmp_path / "g.csv")
    assert (tmp_path / "g.csv").read_text() == "# nodes: 10\n0,1\n1,0\n"
    assert read_graph(tmp_path / "g.csv").num_nodes == 10


def test_fast_and_careful_readers_agree(tmp_path):
    """A comment in the middle takes the reader that goes line by line."""
    rng = np.random.default_rng(90289)
    ends, weights = rng.integers(0, 99, (50, 2)).tolist(), rng.random(50).tolist()
    rows = [f"{u} {v} {w!r}" for (u, v), w in zip(ends, weights, strict=True)]
    fast = read(tmp_path, "g.txt", "\n".join(rows))
    slow = read(tmp_path, "g.txt", "\n".join([*rows[:20], "% here", *rows[20:]]))
    assert fast.edge_index.equal(slow.edge_index)
    assert fast.edge_weight.equal(slow.edge_weight)
