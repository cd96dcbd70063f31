import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.cpu.adam import FusedAdam, make_adam, missing_keras_names
from tf_pix2pix.training.optimizers import LinearDecay


def test_fused_adam_equals_keras_own():
    """Weights and moments, to float32 rounding, over steps with gradients of all sizes."""
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 4, 3, 5), (7,))]
    trained = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        variables = [keras.Variable(value) for value in start]
        adam = kind(LinearDecay(1e-2, 20), beta_1=0.5, beta_2=0.999, epsilon=1e-8)
        adam.build(variables)
        draw = np.random.default_rng(1)
        apply = tf.function(adam.apply)
        for step in range(20):
            gradients = [draw.standard_normal(value.shape) * 10.0 ** (step % 5 - 4) for value in start]
            apply([tf.constant(gradient, tf.float32) for gradient in gradients])
        trained.append([variable.numpy() for variable in (*variables, *adam.variables)])
    assert np.abs(trained[0][0] - start[0]).max() > 0.05  # it has moved
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_one_adam_restores_into_the_other(tmp_path):
    def make(kind, value):
        weight = keras.Variable([value, value], name="weight")
        adam = kind(1e-3)
        adam.build([weight])
        adam.apply([tf.constant([value, -value])])
        return adam, tf.train.Checkpoint(adam=adam)

    for one, other in ((FusedAdam, keras.optimizers.Adam), (keras.optimizers.Adam, FusedAdam)):
        (saved, checkpoint), (restored, target) = make(one, 1.0), make(other, 2.0)
        target.restore(checkpoint.save(tmp_path / "adam")).assert_consumed()
        for expected, found in zip(saved.variables, restored.variables, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_keras_has_the_private_names_that_fused_adam_uses():
    assert missing_keras_names() == [], (
        f"Keras {keras.__version__} lacks names of Adam that cpu/adam.py uses, so training falls back to Keras' own, "
        "slower Adam; adapt FusedAdam to this Keras"
    )
    adam = make_adam(LinearDecay(0.2, 100), 0.5, 0.99, epsilon=1e-8)
    assert (type(adam), adam.beta_1, adam.beta_2, adam.epsilon) == (FusedAdam, 0.5, 0.99, 1e-8)
    assert float(adam.learning_rate) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["_get_variable_index", "_momentums", "_velocities"])
def test_without_a_private_name_adam_is_keras_own(monkeypatch, name):
    if name == "_get_variable_index":
        owner = next(kind for kind in keras.optimizers.Adam.__mro__ if name in vars(kind))
        monkeypatch.delattr(owner, name)
    else:
        build = keras.optimizers.Adam.build
        monkeypatch.setattr(keras.optimizers.Adam, "build", lambda adam, to: (build(adam, to), delattr(adam, name)))
    with pytest.warns(RuntimeWarning, match=f"has no Adam.{name}: training uses Keras' own"):
        adam = make_adam(1e-3, 0.5, 0.999, epsilon=1e-8)
    assert type(adam) is keras.optimizers.Adam
    assert adam.beta_1 == 0.5
