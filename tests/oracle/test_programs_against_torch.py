"""The programs of examples/torch_style print the same curves under PyTorch and under clearprop."""

import numpy as np
import pytest

from torch_style import PROGRAMS, curve, run

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_curves_agree(name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        theirs = curve(run(name, "torch"))
    finally:
        torch.set_num_threads(threads)
    ours = curve(run(name, "clearprop"))
    assert len(ours) == len(theirs) >= 2
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
