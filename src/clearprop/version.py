"""Versions, as `torch.version` tells them."""

from clearprop._version import __version__

cuda = None
hip = None
debug = False

__all__ = ["__version__", "cuda", "debug", "hip"]
