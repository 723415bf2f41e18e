"""Helpers for training: clipping of gradients; sequences of different lengths."""

from clearprop.nn.utils import rnn
from clearprop.nn.utils.clipping import clip_grad_norm_, clip_grad_value_, get_total_norm

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm", "rnn"]
