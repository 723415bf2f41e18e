"""The checks, one file per family of faults; importing one registers its checks with the
session.
"""

from clearprop.doctor.checks import connectivity

__all__ = ["connectivity"]
