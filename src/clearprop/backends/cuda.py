"""`torch.backends.cuda`: its switches may be set, and change nothing."""

from types import SimpleNamespace

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
)


def is_built() -> bool:
    """False."""
    return False


__all__ = ["is_built", "matmul"]
