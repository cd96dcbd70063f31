from pathlib import Path

import pytest
import tensorflow as tf

from tf_pix2pix import checkpoints
from tf_pix2pix.errors import InputError


def state(value):
    return tf.train.Checkpoint(a=tf.Variable(value), b=tf.Variable([value, value]))


def test_saved_is_restored(tmp_path):
    path = checkpoints.save(tmp_path, "step", 7, state(3.0))
    fresh = state(0.0)
    checkpoints.restore(path, fresh)
    assert (float(fresh.a), fresh.b.numpy().tolist()) == (3.0, [3.0, 3.0])


def test_the_last_ones_are_kept_of_each_kind(tmp_path):
    for step in (2, 10, 9):
        checkpoints.save(tmp_path, "step", step, state(1.0))
    for step in (4, 8):
        checkpoints.save(tmp_path, "best", step, state(1.0))
    assert checkpoints.steps(tmp_path, "step") == [2, 9, 10]
    checkpoints.keep_last(tmp_path, "step", 2)
    checkpoints.keep_last(tmp_path, "best", 1)
    assert checkpoints.steps(tmp_path, "step") == [9, 10]
    assert checkpoints.steps(tmp_path, "best") == [8]
    assert checkpoints.steps(tmp_path / "nowhere", "step") == []


def test_a_failed_save_leaves_what_was_there(tmp_path):
    checkpoints.save(tmp_path, "step", 1, state(1.0))

    class Failing:
        def write(self, path):
            Path(path).write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(tmp_path, "step", 2, Failing())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_saved_step_is_replaced(tmp_path):
    checkpoints.save(tmp_path, "step", 1, state(1.0))
    path = checkpoints.save(tmp_path, "step", 1, state(2.0))
    fresh = state(0.0)
    checkpoints.restore(path, fresh)
    assert float(fresh.a) == 2.0


def test_what_a_user_put_beside_is_not_taken_for_one(tmp_path):
    checkpoints.save(tmp_path, "step", 3, state(1.0))
    (tmp_path / "step-00000003 (copy)").mkdir()
    (tmp_path / "step-best").mkdir()
    assert checkpoints.steps(tmp_path, "step") == [3]


def test_what_a_kill_left_is_removed(tmp_path):
    checkpoints.save(tmp_path, "best", 5, state(1.0))
    checkpoints.save(tmp_path, "best", 15, state(1.0))
    (tmp_path / ".partial-step-00000020").mkdir()
    checkpoints.forget_after(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["best-00000005"]


def test_nothing_is_restored_quietly(tmp_path):
    path = checkpoints.save(tmp_path, "step", 1, state(1.0))
    more = tf.train.Checkpoint(a=tf.Variable(0.0), b=tf.Variable([0.0, 0.0]), c=tf.Variable(0.0))
    less = tf.train.Checkpoint(a=tf.Variable(0.0))
    for partly in (True, False):
        with pytest.raises(InputError, match="step-00000001 cannot be restored"):
            checkpoints.restore(path, more, partly=partly)
    with pytest.raises(InputError, match="cannot be restored"):
        checkpoints.restore(path, less)
    checkpoints.restore(path, less, partly=True)
    assert float(less.a) == 1.0


@pytest.mark.parametrize("file", ["checkpoint.index", "checkpoint.data-00000-of-00001"])
def test_a_damaged_checkpoint_is_named(tmp_path, file):
    path = checkpoints.save(tmp_path, "step", 1, state(1.0))
    whole = (path / file).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        (path / file).write_bytes(damaged)
        with pytest.raises(InputError, match="step-00000001 cannot be restored .*remove it to go on"):
            checkpoints.restore(path, state(0.0))
    (path / file).unlink()
    with pytest.raises(InputError, match="step-00000001 cannot be restored"):
        checkpoints.restore(path, state(0.0))
