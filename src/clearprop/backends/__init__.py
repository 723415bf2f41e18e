"""The switches of PyTorch's libraries, so that programs may set them: `backends.cudnn.benchmark =
True` is kept and changes nothing, since none of these libraries is used.
"""

from clearprop.backends import cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
