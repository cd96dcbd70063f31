"""Adam and its learning rate (paper, section 3.3)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_pix2pix")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Constant for the first half of total_steps, then linear to zero."""

    def __init__(self, learning_rate: float, total_steps: int):
        self.learning_rate, self.total_steps = learning_rate, total_steps

    def __call__(self, step):
        left = 1.0 - tf.cast(step, tf.float32) / self.total_steps
        return self.learning_rate * tf.clip_by_value(2.0 * left, 0.0, 1.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable("tf_pix2pix")
class FusedAdam(keras.optimizers.Adam):
    """keras.optimizers.Adam, with its variables and its arithmetic (arXiv 1412.6980, end of section 2), in one pass.

    Keras' own goes over the weights and the moments about ten times, which on a CPU is a third of a training step.
    """

    def update_step(self, gradient, variable, learning_rate):
        number = self._get_variable_index(variable)
        steps = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(self.beta_1, steps),
            beta2_power=tf.pow(self.beta_2, steps),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
