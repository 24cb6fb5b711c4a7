"""Records of fits."""

from gsparse.train import MaskHistory


def test_times_are_not_printed():
    history = MaskHistory(num_epochs=2, train_seconds=[0.1, 0.2], eval_seconds=[0.3])
    assert "seconds" not in repr(history)
    assert "num_epochs=2" in repr(history)
