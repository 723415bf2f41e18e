"""`torch.backends.mkl`: not used here."""


def is_available() -> bool:
    """False."""
    return False


__all__ = ["is_available"]
