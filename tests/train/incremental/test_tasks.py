"""Sequences of tasks: nodes and labels of each, and refusals."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import planted_partition, split
from gsparse.train.incremental.tasks import (
    MASKS,
    binary_tasks,
    class_tasks,
    graph_tasks,
)

DATA = split(planted_partition(500, num_classes=7, seed=20771), "random", seed=20771)
DATA.y[:3] = -1
for name in MASKS:
    DATA[name][:3] = False


class TestClassTasks:
    @pytest.mark.parametrize("num_tasks", [1, 2, 3])
    def test_every_class_comes_once(self, num_tasks):
        tasks = class_tasks(DATA, num_tasks, seed=5531)
        classes = [task.classes.tolist() for task in tasks]
        assert sorted(label for part in classes for label in part) == list(range(7))
        sizes = [len(part) for part in classes]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 2

    def test_labels_are_numbered_anew_and_masks_hold_the_task_alone(self):
        for task in class_tasks(DATA, 3, seed=94603):
            known = task.y >= 0
            assert task.classes[task.y[known]].equal(DATA.y[known])
            assert (~torch.isin(DATA.y[~known], task.classes)).all()
            for name in MASKS:
                inside = torch.isin(DATA.y, task.classes)
                assert task[name].equal(DATA[name] & inside)

    def test_the_graph_is_shared_and_not_written_to(self):
        before = DATA.y.clone()
        for task in class_tasks(DATA, 3):
            assert task.x is DATA.x
            assert task.edge_index is DATA.edge_index
        assert DATA.y.equal(before)
        assert "classes" not in DATA

    def test_the_seed_decides(self):
        drawn = [
            tuple(tuple(t.classes.tolist()) for t in class_tasks(DATA, 3, seed))
            for seed in (11, 11, 12, 13, 14)
        ]
        assert drawn[0] == drawn[1]
        assert len(set(drawn)) > 2

    @pytest.mark.parametrize("num_tasks", [0, 4])
    def test_refuses_tasks_of_one_class(self, num_tasks):
        text = rf"two classes for each task, 3 tasks of 7 .*got {num_tasks}\); binary"
        with pytest.raises(ValueError, match=text):
            class_tasks(DATA, num_tasks)


class TestBinaryTasks:
    def test_as_many_of_the_class_as_of_the_rest(self):
        tasks = binary_tasks(DATA, 5, seed=38011)
        assert len({int(task.classes) for task in tasks}) == 5
        for task in tasks:
            for name in MASKS:
                mask = task[name]
                assert not (mask & ~DATA[name]).any()
                assert task.y[mask].double().mean() == 0.5
                ours = DATA[name] & (DATA.y == task.classes)
                assert (mask & (task.y == 1)).equal(ours)

    def test_labels_say_whether_it_is_the_class(self):
        for task in binary_tasks(DATA, 2, seed=6):
            known = DATA.y >= 0
            assert task.y[known].bool().equal(DATA.y[known] == task.classes)
            assert (task.y[~known] == -1).all()

    def test_a_class_larger_than_the_rest_is_cut_to_it(self):
        y = torch.tensor([0] * 6 + [1] * 2)
        mask = torch.ones(8, dtype=torch.bool)
        data = Data(x=torch.ones(8, 1), y=y, **dict.fromkeys(MASKS, mask))
        for task in binary_tasks(data, 2):
            assert task.y[task.train_mask].tolist().count(1) == 2
            assert int(task.train_mask.sum()) == 4

    def test_the_seed_decides(self):
        first, second, other = (binary_tasks(DATA, 3, seed) for seed in (3, 3, 4))
        for a, b in zip(first, second, strict=True):
            assert a.train_mask.equal(b.train_mask)
        assert not all(
            a.train_mask.equal(b.train_mask) for a, b in zip(first, other, strict=True)
        )

    @pytest.mark.parametrize("num_tasks", [0, 8])
    def test_refuses_more_tasks_than_classes(self, num_tasks):
        with pytest.raises(ValueError, match=rf"from 1 to .*, 7 \(got {num_tasks}\)"):
            binary_tasks(DATA, num_tasks)


class TestGraphTasks:
    def test_one_task_for_each_graph(self):
        other = split(planted_partition(300, num_classes=3, seed=2), "random")
        tasks = graph_tasks([DATA, other])
        assert [len(task.classes) for task in tasks] == [7, 3]
        assert tasks[1].y is other.y

    def test_refusals(self):
        with pytest.raises(ValueError, match="'graphs' must not be empty"):
            graph_tasks([])
        other = split(planted_partition(300, num_classes=3, seed=2), "random")
        other.x = torch.ones(300, 5)
        text = rf"must share their features \(got \[{DATA.x.size(1)}, 5\]"
        with pytest.raises(ValueError, match=text):
            graph_tasks([DATA, other])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"val_mask": None}, r"'data' must have 'val_mask' \(got"),
        ({"y": torch.ones(500)}, r"'y' must hold one class number per node"),
        (
            {"train_mask": DATA.train_mask & (DATA.y != 2)},
            r"'train_mask' must have nodes of every class \(got none of \[2\]\)",
        ),
    ],
)
def test_refused_graphs(change, text):
    data = DATA.clone()
    for key, value in change.items():
        data[key] = value
    for make in (class_tasks, binary_tasks):
        with pytest.raises(ValueError, match=text):
            make(data, 2)
