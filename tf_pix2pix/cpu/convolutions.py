"""The 4x4 convolutions of the paper's networks: the same sums, in the order that is fastest on a CPU.

`convolve` maps a large image to a small one, `convolve_transposed` is its adjoint, and `kernel_gradient` is the
derivative of both with respect to their kernel. The gradients of each are the other two, so all can be
differentiated any number of times. While TensorFlow traces them, they choose a form by shape:

- Stride 2, and the patches under the kernel hold no more values than the kernel: a matrix product with the patches.
  TensorFlow's own convolution would rearrange the kernel at every call.
- Stride 1 and a single image: its two halves as a batch of two, which oneDNN shares among threads better.
- One output channel, or at most 4 at stride 2: the products of the pixels with the kernel, added in place.
- Everything else, every GPU and every dtype but float32: TensorFlow's own convolution.

Large images are [n, h, w, c], small ones [n, h', w', d]. Kernels are [4, 4, c, d] as Keras stores them, for Conv2D from
c to d channels and for Conv2DTranspose from d to c. At stride 2 the large image has a border of one zero pixel (Keras'
"same": h' = ceil(h / 2), one more zero after an odd side); at stride 1 it has none ("valid": h' = h - 3).
"""

import tensorflow as tf

KERNEL = 4  # height and width of every kernel
PADDINGS = {1: "valid", 2: "same"}  # of each stride
FEW_CHANNELS = 4
LARGE_KERNEL = 2**20  # a kernel with more values counts as larger than the patches of an image of unknown size


def convolve(large: tf.Tensor, kernel: tf.Tensor, stride: int, fast_gradient: bool = True) -> tf.Tensor:
    """[n, h, w, c], [4, 4, c, d] -> [n, h', w', d], as keras.layers.Conv2D.

    Args:
      fast_gradient: False leaves the gradient to TensorFlow. A SavedModel cannot hold ours.
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
    if use_cpu_forms(kernel) and stride == 1 and d == 1:
        return _gather(tf.matmul(_as_matrix(large), _by_channel(kernel)), _sides(large))
    if use_cpu_forms(kernel) and stride == 2 and _patches_are_smaller(large.shape[0], sides, kernel.shape):
        return tf.reshape(tf.matmul(_patches(large), _as_matrix(kernel)), [-1, *sides, d])
    if use_cpu_forms(kernel) and stride == 1 and large.shape[0] == 1 and isinstance(sides[0], int) and sides[0] > 1:
        half = (sides[0] + 1) // 2
        halves = tf.concat([large[:, : half + KERNEL - 1], large[:, sides[0] - half :]], axis=0)
        top, bottom = tf.split(tf.nn.conv2d(halves, kernel, 1, "VALID"), 2)
        return tf.concat([top, bottom[:, 2 * half - sides[0] :]], axis=1)
    return tf.nn.conv2d(large, kernel, stride, PADDINGS[stride].upper())


def convolve_transposed(
    small: tf.Tensor, kernel: tf.Tensor, stride: int, sides=None, fast_gradient: bool = True
) -> tf.Tensor:
    """[n, h', w', d], [4, 4, c, d] -> [n, h, w, c], as keras.layers.Conv2DTranspose.

    Args:
      sides: (h, w), ints or scalar tensors. None: twice (h', w'), for stride 2.
      fast_gradient: as for `convolve`.
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
    if use_cpu_forms(kernel) and stride == 1 and d == 1:
        return tf.reshape(tf.matmul(_scatter(small), _by_channel(kernel), transpose_b=True), [-1, *sides, c])
    if use_cpu_forms(kernel) and stride == 2 and c <= FEW_CHANNELS:
        return convolve_interleaved(small, interleaved_kernel(kernel))[:, : sides[0], : sides[1]]
    if use_cpu_forms(kernel) and stride == 2 and _patches_are_smaller(small.shape[0], _sides(small), kernel.shape):
        return _fold(tf.matmul(_as_matrix(small), _as_matrix(kernel), transpose_b=True), _sides(small), sides)
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
    if use_cpu_forms(small) and stride == 1 and shape[3] == 1:
        by_channel = tf.matmul(_as_matrix(large), _scatter(small), transpose_a=True)
        return tf.transpose(tf.reshape(by_channel, [shape[2], KERNEL, KERNEL, 1]), [1, 2, 0, 3])
    if use_cpu_forms(small) and stride == 2 and _patches_are_smaller(small.shape[0], _sides(small), shape):
        return tf.reshape(tf.matmul(_patches(large), _as_matrix(small), transpose_a=True), shape)
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
    # Row 2 a + p of the kernel maps a row of the small image to row p of the pair of rows that is 1 - a pairs below.
    parts = tf.reshape(kernel, [2, 2, 2, 2, c, d])[::-1, :, ::-1]  # 1 - a, p, 1 - b, q
    return tf.reshape(tf.transpose(parts, [0, 2, 5, 1, 3, 4]), [2, 2, d, 4 * c])


def convolve_interleaved(small: tf.Tensor, kernel: tf.Tensor, products: bool = False) -> tf.Tensor:
    """`convolve_transposed` at stride 2 to twice the small sides, as a convolution at stride 1 and interleaving.

    [n, h, w, d], [2, 2, d, 4 * c] -> [n, 2 h, 2 w, c].

    Args:
      products: use one matrix product for each kernel position, which rearranges no kernel.
    """
    if products:
        sides, positions = _sides(small), tf.reshape(kernel, [4, *kernel.shape[2:]])
        shifted = []
        for position, (i, j) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            product = tf.reshape(tf.matmul(_as_matrix(small), positions[position]), [-1, *sides, kernel.shape[3]])
            shifted.append(tf.pad(product, [[0, 0], [1 - i, i], [1 - j, j], [0, 0]]))
        phases = tf.add_n(shifted)
    else:
        phases = tf.nn.conv2d(small, kernel, 1, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.nn.depth_to_space(phases, 2)[:, 1:-1, 1:-1]


def use_cpu_forms(tensor: tf.Tensor) -> bool:
    """Whether to compute with the CPU forms: the tensor is float32 and TensorFlow sees no GPU."""
    return tensor.dtype == tf.float32 and not tf.config.list_logical_devices("GPU")


def _patches_are_smaller(n, small_sides, kernel_shape) -> bool:
    """Whether all patches under a kernel together hold no more values than the kernel."""
    c, d = kernel_shape[2:]
    if n is None or not all(isinstance(side, int) for side in small_sides):
        return KERNEL * KERNEL * c * d > LARGE_KERNEL
    return n * small_sides[0] * small_sides[1] <= d


def _sides(image):
    return [known or tf.shape(image)[axis] for axis, known in enumerate(image.shape[1:3], start=1)]


def _small_side(side, stride):
    return (side + 1) // 2 if stride == 2 else side - 3


def _as_matrix(tensor):
    return tf.reshape(tensor, [-1, tensor.shape[-1]])


def _patches(large):
    """[n, h, w, c] -> [n * h' * w', 4 * 4 * c]: the patches under the kernel at stride 2, in the kernel's order."""
    h, w = (_small_side(side, 2) for side in _sides(large))
    borders = [[1, 1 + side % 2] for side in _sides(large)]
    # Rows in pairs and columns in pairs, [n, h' + 1, 2, w' + 1, 2 * c]; no pixel moves in memory.
    pairs = tf.reshape(tf.pad(large, [[0, 0], *borders, [0, 0]]), [-1, h + 1, 2, w + 1, 2 * large.shape[3]])
    return _as_matrix(
        tf.concat([pairs[:, a : a + h, p, b : b + w] for a in (0, 1) for p in (0, 1) for b in (0, 1)], -1)
    )


def _fold(patches, small_sides, sides):
    """The adjoint of `_patches`, which adds overlapping patches: -> [n, *sides, c]."""
    h, w = small_sides
    c = patches.shape[1] // KERNEL**2
    parts = tf.reshape(patches, [-1, h, w, 2, 2, 2, 2 * c])  # pair of rows, row in the pair, pair of columns
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


def _gather(products, sides):
    """[n * h * w, 4 * 4], each pixel times the kernel -> [n, h - 3, w - 3, 1], the sums under the kernel."""
    h, w = (_small_side(side, 1) for side in sides)
    products = tf.reshape(products, [-1, *sides, KERNEL * KERNEL])
    positions = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    return tf.add_n([products[:, i : i + h, j : j + w, k : k + 1] for k, (i, j) in enumerate(positions)])


def _scatter(small):
    """The adjoint of `_gather`: [n, h - 3, w - 3, 1] -> [n * h * w, 4 * 4]."""
    positions = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    return _as_matrix(
        tf.concat([tf.pad(small, [[0, 0], [i, 3 - i], [j, 3 - j], [0, 0]]) for i, j in positions], axis=-1)
    )
