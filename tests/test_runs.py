import numpy as np
import pytest
import tensorflow as tf
from conftest import random_picture

from tf_pix2pix import checkpoints, images, runs
from tf_pix2pix.errors import InputError
from tf_pix2pix.training.step import build_state


def test_metrics_are_lines_of_json(tmp_path):
    for step in range(3):
        runs.append_metrics(tmp_path, {"step": step, "l1": step / 3})
    assert runs.read_metrics(tmp_path) == [{"step": step, "l1": step / 3} for step in range(3)]
    assert runs.read_metrics(tmp_path / "nowhere") == []


def test_the_sample_grid_is_a_png_with_a_row_per_picture(tmp_path):
    rows = [tuple(random_picture(10 * row + column, 16, 16) for column in range(3)) for row in range(2)]
    path = runs.write_sample_grid(tmp_path, 12, rows)
    assert path == tmp_path / "samples" / "step_00000012.png"
    np.testing.assert_array_equal(
        images.decode(path.read_bytes()), images.sample_grid(["input", "output", "target"], rows)
    )


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} is no run directory: {tmp_path}/config.json: No such file"):
        runs.restore_generator(tmp_path)


def test_a_config_that_is_no_text_is_named(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=f"{tmp_path}/config.json: "):
        runs.read_config(tmp_path)


def test_what_trained_in_mixed_precision_is_restored_in_float32(tmp_path, changed):
    config = changed(precision="mixed_bfloat16", input_channels=3, output_channels=3)
    runs.write_config(tmp_path, config)
    state = build_state(config, 1)
    checkpoints.save(tmp_path / "checkpoints", "step", 1, state.checkpoint())
    generator = runs.restore_generator(tmp_path, "latest")
    assert {layer.compute_dtype for layer in generator.layers} == {"float32"}
    for restored, trained in zip(generator.trainable_variables, state.generator.trainable_variables, strict=True):
        np.testing.assert_array_equal(restored, trained)


def test_the_moving_average_is_what_is_restored(tmp_path, changed):
    config = changed(ema_decay=0.9, input_channels=3, output_channels=3)
    runs.write_config(tmp_path, config)
    state = build_state(config, 1)
    for variable in state.ema_generator.trainable_variables:
        variable.assign(variable + 0.5)
    checkpoints.save(tmp_path / "checkpoints", "step", 1, state.checkpoint())
    generator = runs.restore_generator(tmp_path, "latest")
    for restored, average in zip(generator.trainable_variables, state.ema_generator.trainable_variables, strict=True):
        np.testing.assert_array_equal(restored, average)


def test_checkpoints_are_found_by_name_or_step(tmp_path):
    with pytest.raises(InputError, match="has no checkpoint best; it has none"):
        runs.find_checkpoint(tmp_path, "best")
    for name in ("step-00000003", "step-00000012"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert runs.find_checkpoint(tmp_path, "best") == runs.find_checkpoint(tmp_path, "latest")  # nothing was evaluated
    for name in ("best-00000002", "best-00000010"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    for given, name in (("latest", "step-00000012"), ("best", "best-00000010"), ("3", "step-00000003")):
        assert runs.find_checkpoint(tmp_path, given) == (tmp_path / "checkpoints" / name, int(name[5:]))
    assert runs.find_checkpoint(tmp_path, 3) == runs.find_checkpoint(tmp_path, "3")


def test_examples_come_back_in_their_order(tmp_path):
    pairs = [(random_picture(number, 4, 4), random_picture(100 + number, 4, 4, 1)) for number in range(12)]
    (tmp_path / "examples" / "train.partial" / "left").mkdir(parents=True)  # by a kill
    runs.write_examples(tmp_path, "train", iter(pairs))
    assert [path.name for path in (tmp_path / "examples").iterdir()] == ["train"]
    assert len(list((tmp_path / "examples" / "train").iterdir())) == 24
    for read, written in zip(runs.read_examples(tmp_path, "train"), pairs, strict=True):
        np.testing.assert_array_equal(read[0], written[0])
        np.testing.assert_array_equal(read[1], written[1])
    target = tmp_path / "examples" / "train" / "03_target.png"
    target.unlink()
    with pytest.raises(InputError, match=f"{target}: .*No such file.*; remove {tmp_path}/examples and give the"):
        runs.read_examples(tmp_path, "train")


def test_examples_are_all_there_or_none(tmp_path):
    def failing():
        yield random_picture(0, 4, 4), random_picture(1, 4, 4)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runs.write_examples(tmp_path, "train", failing())
    assert not runs.has_examples(tmp_path, "train")


def test_events_are_written_where_tensorboard_is_installed(tmp_path):
    pytest.importorskip("tensorboard", reason="no TensorBoard: pip install 'tf_pix2pix[tensorboard]'")
    write = runs.summary_writer(tmp_path)
    write(3, scalars={"val_l1": 0.25})
    write(4, images={"samples": np.stack([random_picture(0, 8, 8)] * 2)})
    (file,) = (tmp_path / "logs").iterdir()
    values = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            values[event.step, value.tag] = tf.make_ndarray(value.tensor)
    assert values[3, "val_l1"] == 0.25
    width, height, *pictures = values[4, "samples"]
    assert (int(width), int(height)) == (8, 8)
    np.testing.assert_array_equal(images.decode(pictures[1]), random_picture(0, 8, 8))


def test_without_tensorboard_it_is_said_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: None)
    runs.summary_writer(tmp_path)(3, scalars={"val_l1": 0.25})
    assert "pip install 'tf_pix2pix[tensorboard]'" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
