"""The 4x4 convolutions of the paper's networks: the same sums, in the order that a CPU is fastest with.

One map and what belongs to it: `convolve` makes a small picture of a large one, `convolve_transposed` is its adjoint,
and `kernel_gradient` the derivative of both by their kernel. The gradients of each are made of the other two, so that
all can be differentiated any number of times. When they are traced, they choose by shape:

- At stride 2, a product with the patches under the kernel, which holds each pixel in 4 of them, where all patches are
  no larger than the kernel: TensorFlow's own convolution rearranges the kernel at every call.
- At stride 1, the two halves of a single picture at once: oneDNN shares out a batch better than a picture.
- Where a single channel comes out, or 4 at most at stride 2: the pixels' products with the kernel, added in place.
- TensorFlow's own convolution otherwise, and always on GPUs and in other types than float32.

Large pictures are [n, h, w, c], small ones [n, h', w', d], kernels [4, 4, c, d], as Keras keeps them for Conv2D, from c
to d channels, and for Conv2DTranspose, from d to c. At stride 2 the large picture has a border of one pixel of zeros
(Keras' "same": h' = ceil(h / 2), one zero more after an odd side), at stride 1 none ("valid": h' = h - 3).
"""

import tensorflow as tf

KERNEL = 4  # its height and width
PADDINGS = {1: "valid", 2: "same"}  # by stride
FEW = 4  # channels
LARGE_KERNEL = 2**20  # values; a picture of unknown size is taken to be smaller than a kernel that is larger


def convolve(large: tf.Tensor, kernel: tf.Tensor, stride: int, fast_gradient: bool = True) -> tf.Tensor:
    """[n, h, w, c], [4, 4, c, d] -> [n, h', w', d], what keras.layers.Conv2D computes.

    Args:
      fast_gradient: False: TensorFlow derives it. A SavedModel cannot hold ours.
    """
    if not fast_gradient:
        return _convolve(large, kernel, stride)

    @tf.custom_gradient
    def function(large, kernel):
        def gradient(small):
            return convolve_transposed(small, kernel, stride, _sides(large)), kernel_gradient(large, small, stride)

        return _convolve(large, kernel, stride), gradient

    return function(large, kernel)


def _convolve(large, kernel, stride):
    sides, d = [_small_side(side, stride) for side in _sides(large)], kernel.shape[3]
    if on_cpu(kernel) and stride == 1 and d == 1:
        return _gathered(tf.matmul(_rows(large), _by_channel(kernel)), _sides(large))
    if on_cpu(kernel) and stride == 2 and _patches_are_fewer(large.shape[0], sides, kernel.shape):
        return tf.reshape(tf.matmul(_patches(large), _rows(kernel)), [-1, *sides, d])
    if on_cpu(kernel) and stride == 1 and large.shape[0] == 1 and isinstance(sides[0], int) and sides[0] > 1:
        half = (sides[0] + 1) // 2
        halves = tf.concat([large[:, : half + KERNEL - 1], large[:, sides[0] - half :]], axis=0)
        top, bottom = tf.split(tf.nn.conv2d(halves, kernel, 1, "VALID"), 2)
        return tf.concat([top, bottom[:, 2 * half - sides[0] :]], axis=1)
    return tf.nn.conv2d(large, kernel, stride, PADDINGS[stride].upper())


def convolve_transposed(
    small: tf.Tensor, kernel: tf.Tensor, stride: int, sides=None, fast_gradient: bool = True
) -> tf.Tensor:
    """[n, h', w', d], [4, 4, c, d] -> [n, h, w, c], what keras.layers.Conv2DTranspose computes.

    Args:
      sides: (h, w), ints or scalar tensors. None: twice the small sides, at stride 2.
      fast_gradient: as of `convolve`.
    """
    sides = sides or [2 * side for side in _sides(small)]
    if not fast_gradient:
        return _convolve_transposed(small, kernel, stride, sides)

    @tf.custom_gradient
    def function(small, kernel):
        def gradient(large):
            return convolve(large, kernel, stride), kernel_gradient(large, small, stride)

        return _convolve_transposed(small, kernel, stride, sides), gradient

    return function(small, kernel)


def _convolve_transposed(small, kernel, stride, sides):
    c, d = kernel.shape[2:]
    if on_cpu(kernel) and stride == 1 and d == 1:
        return tf.reshape(tf.matmul(_scattered(small), _by_channel(kernel), transpose_b=True), [-1, *sides, c])
    if on_cpu(kernel) and stride == 2 and c <= FEW:
        return convolve_interleaved(small, interleaved_kernel(kernel))[:, : sides[0], : sides[1]]
    if on_cpu(kernel) and stride == 2 and _patches_are_fewer(small.shape[0], _sides(small), kernel.shape):
        return _folded(tf.matmul(_rows(small), _rows(kernel), transpose_b=True), _sides(small), sides)
    return tf.nn.conv2d_transpose(
        small, kernel, tf.stack([tf.shape(small)[0], *sides, c]), stride, PADDINGS[stride].upper()
    )


def kernel_gradient(large: tf.Tensor, small: tf.Tensor, stride: int) -> tf.Tensor:
    """[n, h, w, c], [n, h', w', d] -> [4, 4, c, d], the derivative of sum(convolve(large, kernel) * small)."""

    @tf.custom_gradient
    def function(large, small):
        def gradient(kernel):
            return convolve_transposed(small, kernel, stride, _sides(large)), convolve(large, kernel, stride)

        return _kernel_gradient(large, small, stride), gradient

    return function(large, small)


def _kernel_gradient(large, small, stride):
    shape = [KERNEL, KERNEL, large.shape[3], small.shape[3]]
    if on_cpu(small) and stride == 1 and shape[3] == 1:
        by_channel = tf.matmul(_rows(large), _scattered(small), transpose_a=True)
        return tf.transpose(tf.reshape(by_channel, [shape[2], KERNEL, KERNEL, 1]), [1, 2, 0, 3])
    if on_cpu(small) and stride == 2 and _patches_are_fewer(small.shape[0], _sides(small), shape):
        return tf.reshape(tf.matmul(_patches(large), _rows(small), transpose_a=True), shape)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large,
        filter_sizes=shape,
        out_backprop=small,
        strides=[1, stride, stride, 1],
        padding=PADDINGS[stride].upper(),
    )


def interleaved_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """[4, 4, c, d] -> [2, 2, d, 4 * c], the kernel of `convolve_interleaved`."""
    c, d = kernel.shape[2:]
    # Row 2 a + p of the large kernel takes a small picture's row to row p of the pair that is 1 - a rows on.
    parts = tf.reshape(kernel, [2, 2, 2, 2, c, d])[::-1, :, ::-1]  # 1 - a, p, 1 - b, q
    return tf.reshape(tf.transpose(parts, [0, 2, 5, 1, 3, 4]), [2, 2, d, 4 * c])


def convolve_interleaved(small: tf.Tensor, kernel: tf.Tensor, products: bool = False) -> tf.Tensor:
    """convolve_transposed at stride 2 to twice the small sides, as a convolution of stride 1 and interleaving.

    [n, h, w, d], [2, 2, d, 4 * c] -> [n, 2 h, 2 w, c].

    Args:
      products: a matrix product for each place of the kernel, which needs no rearranged kernel.
    """
    if products:
        sides, places = _sides(small), tf.reshape(kernel, [4, *kernel.shape[2:]])
        moved = []
        for place, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            product = tf.reshape(tf.matmul(_rows(small), places[place]), [-1, *sides, kernel.shape[3]])
            moved.append(tf.pad(product, [[0, 0], [1 - i, i], [1 - j, j], [0, 0]]))
        phases = tf.add_n(moved)
    else:
        phases = tf.nn.conv2d(small, kernel, 1, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.nn.depth_to_space(phases, 2)[:, 1:-1, 1:-1]


def on_cpu(tensor: tf.Tensor) -> bool:
    """Whether the forms that are fast on a CPU are to be taken for it."""
    return tensor.dtype == tf.float32 and not tf.config.list_logical_devices("GPU")


def _patches_are_fewer(n, small_sides, kernel_shape) -> bool:
    """Whether the patches under a kernel are no larger, together, than the kernel."""
    c, d = kernel_shape[2:]
    if n is None or not all(isinstance(side, int) for side in small_sides):
        return KERNEL * KERNEL * c * d > LARGE_KERNEL
    return n * small_sides[0] * small_sides[1] <= d


def _sides(picture):
    return [known or tf.shape(picture)[axis] for axis, known in enumerate(picture.shape[1:3], start=1)]


def _small_side(side, stride):
    return (side + 1) // 2 if stride == 2 else side - 3


def _rows(tensor):
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def _patches(large):
    """[n, h, w, c] -> [n * h' * w', 4 * 4 * c]: what lies under the kernel at stride 2, in the kernel's order."""
    h, w = (_small_side(side, 2) for side in _sides(large))
    borders = [[1, 1 + side % 2] for side in _sides(large)]
    # Rows in pairs and columns in pairs, [n, h' + 1, 2, w' + 1, 2 * c]; no pixel moves.
    pairs = tf.reshape(tf.pad(large, [[0, 0], *borders, [0, 0]]), [-1, h + 1, 2, w + 1, 2 * large.shape[3]])
    return _rows(tf.concat([pairs[:, a : a + h, p, b : b + w] for a in (0, 1) for p in (0, 1) for b in (0, 1)], -1))


def _folded(patches, small_sides, sides):
    """The adjoint of `_patches`, which adds what overlaps: -> [n, *sides, c]."""
    h, w = small_sides
    c = patches.shape[1] // KERNEL**2
    parts = tf.reshape(patches, [-1, h, w, 2, 2, 2, 2 * c])  # which pair of rows, which of them, which pair of columns
    overlapping = [
        tf.pad(parts[:, :, :, a, :, b], [[0, 0], [a, 1 - a], [b, 1 - b], [0, 0], [0, 0]])
        for a in (0, 1)
        for b in (0, 1)
    ]
    large = tf.nn.depth_to_space(tf.reshape(tf.add_n(overlapping), [-1, h + 1, w + 1, 4 * c]), 2)
    return large[:, 1 : 1 + sides[0], 1 : 1 + sides[1]]


def _by_channel(kernel):
    """[4, 4, c, 1] -> [c, 4 * 4]."""
    return tf.transpose(tf.reshape(kernel, [KERNEL * KERNEL, kernel.shape[2]]))


def _gathered(products, sides):
    """[n * h * w, 4 * 4], each pixel times the kernel -> [n, h - 3, w - 3, 1]: what belongs together is added."""
    h, w = (_small_side(side, 1) for side in sides)
    products = tf.reshape(products, [-1, *sides, KERNEL * KERNEL])
    places = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    return tf.add_n([products[:, i : i + h, j : j + w, k : k + 1] for k, (i, j) in enumerate(places)])


def _scattered(small):
    """The adjoint of `_gathered`: [n, h - 3, w - 3, 1] -> [n * h * w, 4 * 4]."""
    places = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    return _rows(tf.concat([tf.pad(small, [[0, 0], [i, 3 - i], [j, 3 - j], [0, 0]]) for i, j in places], axis=-1))
