"""Faster forms of the networks' and the optimizer's computations; the results are equal up to float32 rounding.

Nothing else in the package is written for speed. Importing this package loads no TensorFlow.

convolutions.py   the paper's 4x4 convolutions and their gradients; plain TensorFlow operations on GPUs
normalization.py  instance normalization by TensorFlow's fused batch normalization
adam.py           Adam in one pass over weights and moments; Keras' own Adam if Keras has changed
settings.py       process settings: glibc's allocator and TensorFlow's oneDNN kernels
"""
