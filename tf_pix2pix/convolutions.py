"""The 4x4 convolutions of the paper's networks: the same sums, in the order that a CPU is fastest with.

One map and what belongs to it: `convolve` makes a small picture of a large one, `convolve_transposed` is its adjoint,
and `kernel_gradient` the derivative of both by their kernel. The gradients of each are the other two, so that all can be
differentiated any number of times. Each chooses, when it is traced, between TensorFlow's own operation and a matrix
product over the patches under the kernel:

- TensorFlow's operations rearrange the kernel at every call; the product copies each pixel into 4 (stride 2) or 16
  patches. The product is the faster one where the patches are no larger than the kernel: in the deep layers.
- A kernel that makes a single channel of hundreds is a product too, of pixels, before they are gathered.
- On GPUs, and in other types than float32, TensorFlow's operations are always taken.

Large pictures are [n, h, w, c], small ones [n, h', w', d], kernels [4, 4, c, d], as Keras keeps them for Conv2D (c -> d)
and for Conv2DTranspose (d -> c) alike. At stride 2 the large picture has a border of one pixel of zeros (Keras' "same",
h' = ceil(h / 2); one zero more after an odd side), at stride 1 none ("valid", h' = h - 3).
"""

import tensorflow as tf

KERNEL = 4  # its height and width
PADDINGS = {1: "valid", 2: "same"}  # by stride
_LARGE_KERNEL = 2**20  # values. A picture whose size is unknown is taken to be smaller than so large a kernel


def convolve(large: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """[n, h, w, c], [4, 4, c, d] -> [n, h', w', d], what keras.layers.Conv2D computes."""

    @tf.custom_gradient
    def function(large, kernel):
        def gradient(small):
            return convolve_transposed(small, kernel, stride, _sides(large)), kernel_gradient(large, small, stride)

        small_sides = _small_sides(large, stride)
        if _is_narrow(kernel, stride):
            return _gather(tf.matmul(_rows(large), _narrow_matrix(kernel)), _sides(large), kernel.shape[3]), gradient
        if not _product_is_faster(large.shape[0], small_sides, kernel, rows_per_filter=stride == 1 and 2 or 1):
            return tf.nn.conv2d(large, kernel, stride, PADDINGS[stride].upper()), gradient
        small = tf.matmul(_patches(large, stride), _matrix(kernel))
        return tf.reshape(small, [-1, *small_sides, kernel.shape[3]]), gradient

    return function(large, kernel)


def convolve_transposed(small: tf.Tensor, kernel: tf.Tensor, stride: int, sides=None) -> tf.Tensor:
    """[n, h', w', d], [4, 4, c, d] -> [n, h, w, c], what keras.layers.Conv2DTranspose computes.

    Args:
      sides: (h, w). None: twice the small sides, at stride 2.
    """
    sides = sides or [2 * side for side in _sides(small)]

    @tf.custom_gradient
    def function(small, kernel):
        def gradient(large):
            return convolve(large, kernel, stride), kernel_gradient(large, small, stride)

        if _is_narrow(kernel, stride):
            large = tf.matmul(_scattered(small), _narrow_matrix(kernel), transpose_b=True)
            return tf.reshape(large, [-1, *sides, kernel.shape[2]]), gradient
        if stride == 2 and _product_is_faster(small.shape[0], _sides(small), kernel):
            patches = tf.matmul(_rows(small), _matrix(kernel), transpose_b=True)
            return _fold(patches, _sides(small), sides), gradient
        shape = tf.stack([tf.shape(small)[0], *sides, kernel.shape[2]])
        return tf.nn.conv2d_transpose(small, kernel, shape, stride, PADDINGS[stride].upper()), gradient

    return function(small, kernel)


def kernel_gradient(large: tf.Tensor, small: tf.Tensor, stride: int) -> tf.Tensor:
    """[n, h, w, c], [n, h', w', d] -> [4, 4, c, d], the derivative of sum(convolve(large, kernel) * small)."""
    shape = [KERNEL, KERNEL, large.shape[3], small.shape[3]]

    @tf.custom_gradient
    def function(large, small):
        def gradient(kernel):
            return convolve_transposed(small, kernel, stride, _sides(large)), convolve(large, kernel, stride)

        if _is_narrow(tf.TensorSpec(shape), stride):
            kernel = tf.matmul(_rows(large), _scattered(small), transpose_a=True)  # [c, 4 * 4 * d]
            return tf.transpose(tf.reshape(kernel, [shape[2], KERNEL, KERNEL, shape[3]]), [1, 2, 0, 3]), gradient
        if _product_is_faster(
            small.shape[0], _sides(small), tf.TensorSpec(shape), rows_per_filter=stride == 1 and 4 or 1
        ):
            kernel = tf.matmul(_patches(large, stride), _rows(small), transpose_a=True)
            return tf.reshape(kernel, shape), gradient
        kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=large,
            filter_sizes=shape,
            out_backprop=small,
            strides=[1, stride, stride, 1],
            padding=PADDINGS[stride].upper(),
        )
        return kernel, gradient

    return function(large, small)


def _product_is_faster(n, small_sides, kernel, rows_per_filter=1) -> bool:
    if kernel.dtype != tf.float32 or tf.config.list_logical_devices("GPU"):
        return False
    if n is None or not all(isinstance(side, int) for side in small_sides):
        return kernel.shape.num_elements() >= _LARGE_KERNEL
    return n * small_sides[0] * small_sides[1] <= rows_per_filter * kernel.shape[3]


def _is_narrow(kernel, stride) -> bool:
    return (
        stride == 1
        and kernel.shape[3] == 1
        and kernel.dtype == tf.float32
        and not tf.config.list_logical_devices("GPU")
    )


def _sides(picture):
    return [known or tf.shape(picture)[1 + axis] for axis, known in enumerate(picture.shape[1:3])]


def _small_sides(large, stride):
    return [(side + 1) // 2 if stride == 2 else side - 3 for side in _sides(large)]


def _rows(picture):
    return tf.reshape(picture, [-1, picture.shape[3]])


def _matrix(kernel):
    return tf.reshape(kernel, [-1, kernel.shape[3]])


def _narrow_matrix(kernel):
    return tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [kernel.shape[2], -1])


def _patches(large, stride):
    """[n, h, w, c] -> [n * h' * w', 4 * 4 * c]: what lies under the kernel, in the kernel's order."""
    h, w = _small_sides(large, stride)
    if stride == 1:
        parts = [large[:, i : i + h, j : j + w] for i in range(KERNEL) for j in range(KERNEL)]
    else:
        odd = [side % 2 for side in _sides(large)]
        large = tf.pad(large, [[0, 0], [1, 1 + odd[0]], [1, 1 + odd[1]], [0, 0]])
        # Rows in twos, columns in twos: [n, h' + 1, 2, w' + 1, 2 * c]; no pixel moves.
        pairs = tf.reshape(large, [-1, h + 1, 2, w + 1, 2 * large.shape[3]])
        parts = [pairs[:, a : a + h, row, b : b + w] for a in (0, 1) for row in (0, 1) for b in (0, 1)]
    return _rows(tf.concat(parts, axis=-1))


def _fold(patches, small_sides, sides):
    """The adjoint of `_patches` at stride 2: patches that overlap are added. -> [n, *sides, c]."""
    h, w = small_sides
    pairs = patches.shape[1] // 8  # 2 * c
    patches = tf.reshape(patches, [-1, h, w, 2, 2, 2, pairs])  # the third and the fifth: which pair of rows, of columns
    borders = [[0, 0], [0, 0]]
    added = tf.add_n(
        [tf.pad(patches[:, :, :, a, :, b], [[0, 0], [a, 1 - a], [b, 1 - b], *borders]) for a in (0, 1) for b in (0, 1)]
    )
    large = tf.nn.depth_to_space(tf.reshape(added, [-1, h + 1, w + 1, 2 * pairs]), 2)
    return large[:, 1 : 1 + sides[0], 1 : 1 + sides[1]]


def _gather(spread, sides, d):
    """[n * h * w, 4 * 4 * d], each pixel times each place of the kernel -> [n, h - 3, w - 3, d], added."""
    h, w = (side - 3 for side in sides)
    spread = tf.reshape(spread, [-1, *sides, KERNEL * KERNEL, d])
    return tf.add_n([spread[:, i : i + h, j : j + w, KERNEL * i + j] for i in range(KERNEL) for j in range(KERNEL)])


def _scattered(small):
    """The adjoint of `_gather`: [n, h - 3, w - 3, d] -> [n * h * w, 4 * 4 * d]."""
    parts = [tf.pad(small, [[0, 0], [i, 3 - i], [j, 3 - j], [0, 0]]) for i in range(KERNEL) for j in range(KERNEL)]
    return _rows(tf.concat(parts, axis=-1))
