"""The learning rate's schedule (paper, section 3.3)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_pix2pix")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate for the first half of total_steps, then linear decay to zero."""

    def __init__(self, learning_rate: float, total_steps: int):
        self.learning_rate, self.total_steps = learning_rate, total_steps

    def __call__(self, step):
        left = 1.0 - tf.cast(step, tf.float32) / self.total_steps
        return self.learning_rate * tf.clip_by_value(2.0 * left, 0.0, 1.0)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "total_steps": self.total_steps}
