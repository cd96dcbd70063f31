from pathlib import Path

import pytest
import tensorflow as tf

from tf_pix2pix import checkpoints
from tf_pix2pix.errors import InputError


def state(value):
    return tf.train.Checkpoint(a=tf.Variable(value), b=tf.Variable([value, value]))


def test_a_saved_state_is_restored_and_can_be_replaced(tmp_path):
    for value in (3.0, 2.0):
        path = checkpoints.save(tmp_path, "step", 7, state(value))
        fresh = state(0.0)
        checkpoints.restore(path, fresh)
        assert (float(fresh.a), fresh.b.numpy().tolist()) == (value, [value, value])


def test_the_last_checkpoints_of_each_kind_are_kept(tmp_path):
    for kind, step in (("step", 2), ("step", 10), ("step", 9), ("best", 4), ("best", 8)):
        (tmp_path / f"{kind}-{step:08d}").mkdir()
    (tmp_path / "step-00000003 (copy)").mkdir()  # by a user
    (tmp_path / "step-best").mkdir()
    assert checkpoints.steps(tmp_path, "step") == [2, 9, 10]
    checkpoints.keep_last(tmp_path, "step", 2)
    checkpoints.keep_last(tmp_path, "best", 1)
    assert checkpoints.steps(tmp_path, "step") == [9, 10]
    assert checkpoints.steps(tmp_path, "best") == [8]
    assert checkpoints.steps(tmp_path / "nowhere", "step") == []


def test_a_failed_save_leaves_older_checkpoints_alone(tmp_path):
    class Failing:
        def write(self, path):
            Path(path).write_text("half")
            raise OSError("disk full")

    path = checkpoints.save(tmp_path, "step", 1, state(1.0))
    for step in (1, 2):
        with pytest.raises(OSError, match="disk full"):
            checkpoints.save(tmp_path, "step", step, Failing())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    checkpoints.restore(path, state(0.0))


def test_remains_of_a_kill_are_removed(tmp_path):
    for name in ("best-00000005", "best-00000015", ".partial-step-00000020"):
        (tmp_path / name).mkdir()
    checkpoints.forget_after(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["best-00000005"]


def test_a_partial_match_is_refused(tmp_path):
    path = checkpoints.save(tmp_path, "step", 1, state(1.0))
    more = tf.train.Checkpoint(a=tf.Variable(0.0), b=tf.Variable([0.0, 0.0]), c=tf.Variable(0.0))
    less = tf.train.Checkpoint(a=tf.Variable(0.0))
    for checkpoint, partly in ((more, True), (more, False), (less, False)):
        with pytest.raises(InputError, match="step-00000001: damaged"):
            checkpoints.restore(path, checkpoint, partly=partly)
    checkpoints.restore(path, less, partly=True)
    assert float(less.a) == 1.0


@pytest.mark.parametrize("file", ["checkpoint.index", "checkpoint.data-00000-of-00001"])
def test_a_damaged_checkpoint_is_named(tmp_path, file):
    path = checkpoints.save(tmp_path, "step", 1, state(1.0))
    whole = (path / file).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], None):
        (path / file).write_bytes(damaged) if damaged is not None else (path / file).unlink()
        with pytest.raises(InputError, match="step-00000001: damaged .*; remove it to use the previous checkpoint"):
            checkpoints.restore(path, state(0.0))
