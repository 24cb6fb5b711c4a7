"""An edge table of Spark is cut to the same edges as the graph in memory."""

import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import complete, convert_graph, star
from gsparse.deploy import sparsify_folder
from gsparse.edges import (
    Pairs,
    keep_top,
    pair_uniform,
    priority_sample,
    tie_breaker,
)
from gsparse.transforms import (
    DSpar,
    EffectiveResistance,
    KNeighbor,
    LocalDegree,
    RandomEdge,
)
from gsparse.transforms.sampled import degree
from tests.data.folders.messy import messy_graph

pyspark = pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
if shutil.which("java") is None:
    pytest.skip("Java is not installed", allow_module_level=True)

from pyspark.errors import SparkRuntimeException  # noqa: E402 (may be missing)
from pyspark.sql import SparkSession  # noqa: E402

from gsparse.distributed.spark import (  # noqa: E402
    find_cut,
    importances,
    pair_hash,
    sparsify,
)
from gsparse.distributed.spark.ends import add_degrees  # noqa: E402
from gsparse.distributed.spark.pair_hash import with_uniform  # noqa: E402

ROOT = Path(__file__).parent.parent.parent
EDGE, WEIGHTED = "row bigint, col bigint", "row bigint, col bigint, weight double"


@pytest.fixture(scope="module")
def spark():
    settings = {
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.shuffle.partitions": 2,
        "spark.default.parallelism": 2,
        "spark.sql.adaptive.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        # Expressions are interpreted: compiling them takes most of the time of a test.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def configure(spark):
    """Change settings of the session until the end of the test."""
    before = {}

    def change(**settings):
        for name, value in settings.items():
            key = "spark.sql." + name.replace("__", ".")
            before[key] = spark.conf.get(key)
            spark.conf.set(key, value)

    yield change
    for key, value in before.items():
        spark.conf.set(key, value)


def table_of(spark, graph):
    """Return the entries of a graph as a table in random order."""
    rows = [tuple(it) for it in graph.edge_index.t().tolist()]
    weight = graph.get("edge_weight")
    if weight is not None:
        rows = [(*it, w) for it, w in zip(rows, weight.tolist(), strict=True)]
    random.Random(50101).shuffle(rows)
    return spark.createDataFrame(rows, EDGE if weight is None else WEIGHTED)


def rows_of(table):
    """Return {(u, v): weight} of a table."""
    rows = table.collect()
    found = {(row[0], row[1]): row[2] if len(row) == 3 else None for row in rows}
    assert len(found) == len(rows)
    return found


def entries(data):
    """Return {(u, v): weight} of a graph without parallel edges."""
    weight = data.get("edge_weight")
    values = [None] * data.num_edges if weight is None else weight.tolist()
    found = dict(zip(map(tuple, data.edge_index.t().tolist()), values, strict=True))
    assert len(found) == data.num_edges
    return found


def graph_of(kind):
    graph = messy_graph(46091, weighted=kind == "weighted", copies=kind != "plain")
    if kind == "weighted":  # sums that depend on their order, and weights of 0
        graph.edge_weight = graph.edge_weight**12 / 3
        assert (graph.edge_weight == 0).any()
    if kind == "plain":
        graph.edge_index = graph.edge_index.unique(dim=1)
    return graph


def check(spark, tmp_path, graph, transform, **options):
    """Compare the edges and weights of all three engines; return those kept."""
    path = tmp_path / f"{len([*tmp_path.iterdir()])}"
    path.mkdir()
    folder = convert_graph(graph, path / "g")
    found = rows_of(sparsify(table_of(spark, graph), transform, **options))
    assert found == entries(transform(folder.data()))
    cut = sparsify_folder(folder, path / "cut", transform)
    assert found == entries(cut.data())
    return found


CASES = [
    ("plain", RandomEdge(0.3, seed=71993)),
    ("plain", DSpar(0.9, seed=20011)),
    ("plain", LocalDegree(0.3)),
    ("plain", KNeighbor(0.6, seed=71993)),
    ("plain", DSpar(0.97, seed=7)),
    ("counted", RandomEdge(0.9, seed=-5)),
    ("counted", DSpar(0.3, reweight=False, seed=2**62)),
    ("counted", KNeighbor(k=2, seed=4)),
    ("weighted", RandomEdge(0.0, seed=3)),
    ("weighted", DSpar(0.3, seed=71993)),
    ("weighted", LocalDegree(0.9)),
    ("weighted", KNeighbor(0.3, seed=8887)),
]


@pytest.mark.parametrize(("kind", "transform"), CASES, ids=str)
def test_all_engines_keep_the_same_edges(spark, tmp_path, kind, transform):
    found = check(spark, tmp_path, graph_of(kind), transform)
    assert len(found) > 7  # the self-loops


@pytest.mark.parametrize(
    ("transform", "ansi"),
    [
        (DSpar(0.7, seed=60293), "true"),
        (LocalDegree(0.7), "false"),
        (KNeighbor(0.7, seed=60293), "false"),
    ],
    ids=repr,
)
def test_compiled_plans_do_the_same(spark, configure, tmp_path, transform, ansi):
    configure(
        codegen__wholeStage="true",
        codegen__factoryMode="FALLBACK",
        adaptive__enabled="true",
        ansi__enabled=ansi,
        ansi__enforceReservedKeywords=ansi,
        caseSensitive=ansi,
    )
    check(spark, tmp_path, graph_of("weighted"), transform)


@pytest.mark.parametrize("ansi", ["true", "false"])
def test_the_hash_is_equal_in_every_bit(spark, configure, ansi):
    configure(
        codegen__wholeStage="true", codegen__factoryMode="FALLBACK", ansi__enabled=ansi
    )
    draw = torch.Generator().manual_seed(13007)
    u, v = torch.randint(-(2**62), 2**62, (2, 3000), generator=draw)
    ends = [0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, -(2**63)]
    corners = torch.tensor([(a, b) for a in ends for b in ends]).t()
    u, v = torch.cat([torch.stack([u, v]), corners], dim=1)
    table = spark.createDataFrame(
        [*zip(u.tolist(), v.tolist(), strict=True)], "u bigint, v bigint"
    )
    numbers = [(7, 0), (-(2**63), 1), (2**63 - 1, 2)]
    for place, (seed, stream) in enumerate(numbers):
        table = with_uniform(table, f"x{place}", seed, stream)
    found = torch.tensor([row[2:] for row in table.collect()], dtype=torch.float64)
    for place, (seed, stream) in enumerate(numbers):
        expected = pair_uniform(Pairs(u, v, u[:0], 0), seed, stream)
        assert found[:, place].equal(expected)


def test_the_hash_is_not_copied_into_conditions(spark, monkeypatch):
    """A short hash, because the copies of all steps would never end."""
    monkeypatch.setattr(pair_hash._Hashing, "mix", lambda self: self._xor_shift(30))
    table = spark.range(3).selectExpr("id AS u", "id AS v")
    table = with_uniform(table, "x", 5).where("x > 0.1D AND x < 0.9D AND x != 0.5D")
    plan = table._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("shiftleft") == 2  # the two sums


@pytest.mark.parametrize(
    "transform",
    [LocalDegree(0.37), KNeighbor(0.61, seed=5), DSpar(0.37, seed=5)],
    ids=repr,
)
def test_ties_of_a_regular_graph(spark, tmp_path, transform):
    found = check(spark, tmp_path, complete(9), transform)
    assert len(found) == 2 * (36 - round(transform.sparsity * 36))


@pytest.mark.parametrize("small", [False, True])
def test_scores_of_zero_are_decided_by_the_order(spark, monkeypatch, tmp_path, small):
    """The budget ends among edges of weight 0 at one node."""
    if small:
        monkeypatch.setattr(find_cut, "BINS", 4)
        monkeypatch.setattr(find_cut, "HOLD", 1)
    graph = complete(9)
    low = graph.edge_index.min(dim=0).values
    graph.edge_weight = (low > 4).float()
    found = check(spark, tmp_path, graph, DSpar(1 - 19 / 36, seed=99023))
    zeros = sorted(edge for edge in found if edge[0] < edge[1] and edge[0] <= 4)
    assert len(zeros) == 13
    assert zeros[-1] == (1, 6)


def test_other_ids_than_numbers_from_zero(spark):
    """The hash is one of the ids; degrees are those of the numbered nodes."""
    graph = messy_graph(99023, copies=False)
    ends = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]]
    ends = ends.unique(dim=1)
    ids = torch.randint(-(2**62), 2**62, (60,)).sort().values
    rows = [(a, b) for u, v in ids[ends].t().tolist() for a, b in ((u, v), (v, u))]
    table = spark.createDataFrame(rows, EDGE)
    pairs = Pairs(*ids[ends], ends[0][:0], 60)

    uniform = pair_uniform(pairs, 2**61)
    keep = keep_top(uniform, 0.4, tie_breaker(pairs))
    found = rows_of(sparsify(table, RandomEdge(0.4, seed=2**61)))
    kept = {tuple(it) for it in ids[ends][:, keep].t().tolist()}
    assert {edge for edge in found if edge[0] < edge[1]} == kept

    inverse = 1 / torch.bincount(ends.flatten(), minlength=60).double()
    importance = inverse[ends[0]] + inverse[ends[1]]
    keep, factor = priority_sample(importance, 0.4, pairs, 77)
    found = rows_of(sparsify(table, DSpar(0.4, seed=77)))
    values = zip(
        *ids[ends][:, keep].tolist(), factor[keep].float().tolist(), strict=True
    )
    expected = {(u, v): w for u, v, w in values}
    assert {it: w for it, w in found.items() if it[0] < it[1]} == expected


@pytest.mark.parametrize(
    ("num_rows", "transform"),
    [
        (0, RandomEdge(0.9, seed=3)),
        (0, DSpar(0.9, seed=3)),
        (0, KNeighbor(k=1)),
        (1, DSpar(0.9, seed=3)),
        (1, LocalDegree(0.9)),
    ],
    ids=str,
)
def test_tables_without_pairs(spark, num_rows, transform):
    table = spark.createDataFrame([(4, 4)][:num_rows], "row int, col int")
    out = sparsify(table, transform)
    weighted = isinstance(transform, DSpar)
    expected = [("row", "int"), ("col", "int"), ("weight", "float")]
    assert out.dtypes == expected[: 3 if weighted else 2]
    assert rows_of(out) == ({(4, 4): 1.0 if weighted else None} if num_rows else {})


def test_a_budget_of_no_edges(spark, tmp_path):
    graph = Data(edge_index=torch.tensor([[0, 1, 2], [1, 0, 2]]), num_nodes=3)
    for transform in (DSpar(0.9, seed=3), LocalDegree(0.9)):
        assert {*check(spark, tmp_path, graph, transform)} == {(2, 2)}


def test_edges_listed_once(spark, tmp_path):
    """Copies in one direction count, and edges listed twice do not count twice."""
    rows = [(0, 1, 1), (1, 0, 1), (3, 1, 2), (3, 1, 4), (0, 3, 8), (2, 2, 3)]
    table = spark.createDataFrame(rows, "row smallint, col int, weight int")
    out = sparsify(table, RandomEdge(0, seed=1), symmetrize=True)
    assert out.dtypes == [("row", "bigint"), ("col", "bigint"), ("weight", "float")]
    half = {(0, 1): 1.0, (1, 3): 6.0, (0, 3): 8.0}
    both = half | {(v, u): w for (u, v), w in half.items()} | {(2, 2): 3.0}
    assert rows_of(out) == both


def test_copies_are_added_in_ascending_order(spark, tmp_path):
    """In descending order the small ones vanish, and the sum rounds down."""
    rows = [(0, 1), (1, 0), (2, 3), (3, 2), (3, 2), (2, 3), (4, 4)]
    graph = Data(edge_index=torch.tensor(rows * 4).t(), num_nodes=5)
    weights = [2.0**24, 1.0, 2.0**-29, 2.0**-29]
    graph.edge_weight = torch.tensor(weights).repeat_interleave(len(rows))
    found = check(spark, tmp_path, graph, LocalDegree(0.0))
    assert found[1, 0] == found[4, 4] == 2**24 + 2
    assert found[2, 3] == 2**25 + 4


def test_weights_are_rounded_before_they_are_added(spark):
    """2^24 + 1 is not in float32; three of it would be rounded up, 3 * 2^24 is not."""
    table = spark.createDataFrame([(0, 0, 2.0**24 + 1)] * 3, WEIGHTED)
    assert rows_of(sparsify(table, RandomEdge(0.5, seed=3))) == {(0, 0): 3.0 * 2**24}


def test_degrees_are_equal_in_every_bit(spark):
    draw = torch.Generator().manual_seed(46091)
    ends = torch.randint(12, (2, 900), generator=draw).sort(dim=0).values
    ends = ends[:, ends[0] < ends[1]].unique(dim=1)
    weight = torch.rand(ends.size(1), generator=draw).double() ** 20
    rows = [*zip(*ends.tolist(), weight.tolist(), strict=True)]
    random.Random(3).shuffle(rows)
    found = add_degrees(spark.createDataFrame(rows, "u bigint, v bigint, w double"))
    expected = degree(Pairs(*ends, ends[0][:0], 12), weight)
    in_other_order = degree(Pairs(*ends.flip(0), ends[0][:0], 12), weight)
    assert not in_other_order.equal(expected)
    assert dict(found.collect()) == dict(enumerate(expected.tolist()))


def test_scores_of_local_degree_are_equal_in_every_bit(spark):
    """Java's logarithms of 3, 48 and others differ from torch's in the last bit."""
    draw = torch.Generator().manual_seed(72019)
    ends = (torch.rand(2, 1500, generator=draw) ** 2 * 90).long().sort(dim=0).values
    ends = ends[:, ends[0] < ends[1]].unique(dim=1)
    rows = [*zip(*ends.tolist(), strict=True)]
    table = importances.local_degree_scores(
        spark.createDataFrame(rows, "u bigint, v bigint")
    )
    found = {(row.u, row.v): row.score for row in table.collect()}
    pairs = Pairs(*ends, ends[0][:0], 90)
    expected = LocalDegree(0.5).pair_importance(Data(), pairs, None)
    assert found == dict(zip(rows, expected.tolist(), strict=True))


def test_the_guide_runs_as_it_is_printed(spark, tmp_path):
    page = (ROOT / "docs" / "scale.md").read_text()
    (code,) = re.findall(
        r"```python\n(from gsparse.distributed.+?)```", page, re.DOTALL
    )
    graph = graph_of("plain")
    for name in ("edges", "sparse"):  # the JVM stays in its own working directory
        code = code.replace(f'"{name}"', f'"{tmp_path / name}"')
    table_of(spark, graph).write.parquet(f"{tmp_path}/edges")
    exec(code, {"spark": spark})
    found = rows_of(spark.read.parquet(f"{tmp_path}/sparse"))
    folder = convert_graph(graph, tmp_path / "g")
    assert found == entries(DSpar(sparsity=0.9, seed=7)(folder.data()))


def test_a_seed_is_drawn_once(spark):
    table = table_of(spark, messy_graph(6011))
    torch.manual_seed(40009)
    out = sparsify(table, RandomEdge(0.5))
    first = rows_of(out)
    assert rows_of(out) == first
    assert rows_of(sparsify(table, RandomEdge(0.5))) != first
    torch.manual_seed(40009)
    assert rows_of(sparsify(table, RandomEdge(0.5))) == first


def test_tables_are_released_and_no_python_runs(spark):
    table = table_of(spark, graph_of("weighted")).persist()
    assert table.storageLevel.useMemory
    out = sparsify(table, KNeighbor(0.5, seed=12)).where("row > 3 AND weight > 0")
    assert table.storageLevel.useMemory
    plan = out._jdf.queryExecution().executedPlan().toString()
    assert plan.count("InMemoryRelation") == plan.count("Scan ExistingRDD") > 0
    assert "Python" not in plan
    table.unpersist()
    assert spark._jsparkSession.sharedState().cacheManager().isEmpty()


@pytest.mark.parametrize("hold", [1, 1000])
@pytest.mark.parametrize("kind", ["heavy", "ties", "narrow", "ids"])
def test_a_rank_by_its_definition(spark, monkeypatch, kind, hold):
    monkeypatch.setattr(find_cut, "BINS", 16)
    monkeypatch.setattr(find_cut, "HOLD", hold)
    draw = random.Random(81761)
    numbers = {
        "heavy": [0.0] * 30 + [draw.random() ** -5 for _ in range(300)] + [5e-324],
        "ties": [draw.randint(0, 6) / 3 for _ in range(300)],
        "narrow": [1 + draw.randint(0, 9) * 2.0**-52 for _ in range(100)],
        "ids": [
            -(2**63),
            2**63 - 1,
            *(draw.randint(-(2**62), 2**62) for _ in range(99)),
        ],
    }[kind]
    kind = "bigint" if kind == "ids" else "double"
    table = spark.createDataFrame([(it,) for it in numbers], f"x {kind}").persist()
    ordered = sorted(numbers, reverse=True)
    for rank in (0, 41, len(numbers) - 1):
        value, num_above, num_equal = find_cut.find_rank(table, rank)
        assert value == ordered[rank]
        assert num_above == sum(it > value for it in numbers)
        assert num_equal == numbers.count(value)
    table.unpersist()


class TestRefusals:
    """Each case has one clear error."""

    @pytest.mark.parametrize(
        ("rows", "columns", "text"),
        [
            (
                [(0, 1)],
                "src bigint, dst bigint",
                r"must have the columns 'row' and 'co.*\(got 'src', 'dst'\)",
            ),
            (
                [(0, 1, 2)],
                "row bigint, col bigint, time bigint",
                r"\(got 'row', 'col', 'time'\)",
            ),
            (
                [(0, 1, 2)],
                "row bigint, col bigint, col bigint",
                r"\(got 'row', 'col', 'col'\)",
            ),
            ([(0,)], "row bigint", r"\(got 'row'\)"),
            (
                [(0, 1), (1, None)],
                EDGE,
                r"two ids and a weight in every row \(1 rows have a NULL",
            ),
            ([(0, 1, 1.0), (1, 0, None)], WEIGHTED, r"\(1 rows have a NULL\)"),
            (
                [(0, 1, float("nan"))],
                WEIGHTED,
                r"finite in float32 and not negative \(got nan\)",
            ),
            ([(0, 0, float("inf"))], WEIGHTED, r"\(got inf\)"),
            ([(0, 1, 1e300)], WEIGHTED, r"\(got inf\)"),
            ([(0, 1, -0.5)], WEIGHTED, r"\(got -0.5\)"),
            (
                [(0, 1), (1, 0), (3, 2)],
                EDGE,
                r"\(got \(3, 2\) without \(2, 3\)\); use symmetrize=True",
            ),
            ([(2, 3)], EDGE, r"\(got \(2, 3\) without \(3, 2\)\)"),
            (
                [(0, 1), (0, 1), (1, 0)],
                EDGE,
                r"\(got 2 for \(0, 1\) and 1 for \(1, 0\)\)",
            ),
            (
                [(0, 1, 1.0), (1, 0, 2.0)],
                WEIGHTED,
                r"\(got 1 for \(0, 1\) and 2 for \(1, 0\)\)",
            ),
            ([(0, 0, 3e38), (0, 0, 3e38)], WEIGHTED, "add up to infinity"),
        ],
    )
    def test_tables_that_are_no_undirected_graph(self, spark, rows, columns, text):
        table = spark.createDataFrame(rows, columns)
        with pytest.raises(ValueError, match=text):
            sparsify(table, RandomEdge(0.5, seed=3))
        assert spark._jsparkSession.sharedState().cacheManager().isEmpty()

    @pytest.mark.parametrize(
        ("row", "columns", "text"),
        [
            (
                ("a", "b"),
                "row string, col string",
                r"'row' must hold integer .*\(got string\)",
            ),
            (
                (0, 1.0),
                "row bigint, col double",
                r"'col' must hold integer .*\(got double\)",
            ),
            (
                (0, 1, "x"),
                "row int, col int, weight string",
                r"'weight' must hold .*\(got string\)",
            ),
        ],
    )
    def test_columns_of_other_types(self, spark, row, columns, text):
        table = spark.createDataFrame([row], columns)
        with pytest.raises(TypeError, match=text):
            sparsify(table, RandomEdge(0.5, seed=3))

    @pytest.mark.parametrize(
        ("transform", "text"),
        [
            (EffectiveResistance(0.5), "EffectiveResistance needs the whole graph"),
            (DSpar(epsilon=0.5), "DSpar with epsilon=0.5 needs the whole graph"),
            (DSpar(0.5, connected=True), "DSpar with connected=True needs the whole"),
            (type("Own", (DSpar,), {})(0.5), "Own needs the whole graph"),
        ],
    )
    def test_methods_that_need_the_graph_in_memory(self, spark, transform, text):
        table = spark.createDataFrame([(0, 1)], EDGE)
        with pytest.raises(ValueError, match=text):
            sparsify(table, transform)

    def test_what_is_no_transform_or_table(self, spark):
        table = spark.createDataFrame([(0, 1)], EDGE)
        with pytest.raises(TypeError, match=r"edge sparsifier \(got str\)"):
            sparsify(table, "RandomEdge")
        with pytest.raises(TypeError, match=r"must be a Spark DataFrame \(got Data\)"):
            sparsify(star(3), RandomEdge(0.5))
        stream = spark.readStream.format("rate").load()
        with pytest.raises(ValueError, match=r"read twice \(got a stream\)"):
            sparsify(stream, RandomEdge(0.5))

    def test_logarithms_that_decide_by_their_last_bit(self, spark, monkeypatch):
        table = table_of(spark, graph_of("weighted"))
        monkeypatch.setattr(importances, "_CLOSE", 0.01)
        with pytest.raises(
            ValueError, match=r"the last bit of a log.*\(got seed=8887\)"
        ):
            sparsify(table, KNeighbor(0.3, seed=8887))

    def test_more_logarithms_than_fit(self, spark, monkeypatch):
        monkeypatch.setattr(importances, "MOST_LOGARITHMS", 3)
        with pytest.raises(ValueError, match="at most 3 different ranks and degrees"):
            sparsify(table_of(spark, messy_graph(6011)), LocalDegree(0.3))

    def test_new_weights_that_are_infinite(self, spark):
        graph = complete(6)
        graph.edge_weight = torch.full((30,), 3.4e38)
        out = sparsify(table_of(spark, graph), DSpar(0.5, seed=5))
        with pytest.raises(SparkRuntimeException, match="a new weight is infinite"):
            out.collect()
