"""Instance normalization (arXiv 1607.08022, eq. 2): the plain form, and a form twice as fast on a CPU.

Images are [n, h, w, c], scale and offset float32 [c]. Each channel of each image is normalized over its own pixels.
"""

import tensorflow as tf


def normalize(images: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor:
    """float32 [n, h, w, c] -> the same shape: (image - mean) / sqrt(variance + epsilon) * scale + offset."""
    mean, variance = tf.nn.moments(images, axes=[1, 2], keepdims=True)
    return tf.nn.batch_normalization(images, mean, variance, offset, scale, epsilon)


def normalize_fused(images: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor:
    """`normalize` by fused batch normalization of one image at a time. n must be known when TensorFlow traces it."""
    normalized = [_normalize_one(image, scale, offset, epsilon) for image in tf.split(images, images.shape[0])]
    return tf.concat(normalized, axis=0)


def _normalize_one(x, scale, offset, epsilon):
    """`normalize` of one image [1, h, w, c].

    TensorFlow's second derivative of fused batch normalization is wrong: it changes the gradient penalty by a tenth.
    The second derivative here is that of `normalize`.
    """

    @tf.custom_gradient
    def function(x, scale, offset):
        options = dict(epsilon=epsilon, is_training=True)
        fused = tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=[], variance=[], **options)

        @tf.custom_gradient
        def gradient(upstream, x, scale):
            spaces = {f"reserve_space_{number}": getattr(fused, f"reserve_space_{number}") for number in (1, 2, 3)}
            first = tf.raw_ops.FusedBatchNormGradV3(y_backprop=upstream, x=x, scale=scale, **spaces, **options)

            def second(*upstreams):
                with tf.GradientTape() as outer:
                    outer.watch([upstream, x, scale])
                    with tf.GradientTape() as inner:
                        inner.watch([x, scale, offset])
                        y = normalize(x, scale, offset, epsilon)
                    gradients = inner.gradient(y, [x, scale, offset], upstream)
                return outer.gradient(gradients, [upstream, x, scale], list(upstreams))

            return (first.x_backprop, first.scale_backprop, first.offset_backprop), second

        return fused.y, lambda upstream: gradient(upstream, x, scale)

    return function(x, scale, offset)
