"""Adam in one pass over weights and moments, or Keras' own where that is not possible."""

import warnings

import keras
import tensorflow as tf


def make_adam(learning_rate, beta_1: float, beta_2: float, epsilon: float) -> keras.optimizers.Adam:
    """Adam (arXiv 1412.6980): FusedAdam, or keras.optimizers.Adam if this Keras lacks a name that FusedAdam needs.

    Both have the same variables, so that a checkpoint of one restores into the other.

    Args:
      learning_rate: a float, or a keras LearningRateSchedule.
    """
    kind = FusedAdam
    if missing := missing_keras_names():
        kind = keras.optimizers.Adam
        warnings.warn(
            f"Keras {keras.__version__} has no Adam.{', Adam.'.join(missing)}: training uses Keras' own, slower Adam; "
            "update tf_pix2pix/cpu/adam.py",
            RuntimeWarning,
            stacklevel=2,
        )
    return kind(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def missing_keras_names() -> list[str]:
    """The attributes of Adam that FusedAdam uses or overrides and that this version of Keras lacks."""
    adam = keras.optimizers.Adam()
    adam.build([keras.Variable([0.0])])
    return [
        name for name in ("update_step", "_get_variable_index", "_momentums", "_velocities") if not hasattr(adam, name)
    ]


@keras.saving.register_keras_serializable("tf_pix2pix")
class FusedAdam(keras.optimizers.Adam):
    """keras.optimizers.Adam with the same variables and the same arithmetic (arXiv 1412.6980, end of section 2).

    Keras' own passes over the weights and the moments about ten times, a third of a training step on a CPU.
    """

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        steps = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, steps),
            beta2_power=tf.pow(self.beta_2, steps),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
