"""Matrix products of many shapes, within their matrices, against NumPy in float64."""

import ctypes

import numpy as np
import pytest

from clearprop.jit.engine import compile_text, host
from clearprop.jit.gemm import Product, kernel

SIZES = [1, 2, 3, 4, 5, 7, 8, 10, 12, 13, 16, 17, 24, 31, 33, 48, 64, 65, 100]


def run(p, a, b, c, bias, write=kernel):
    text, declares, shared = write("product", p, host())
    text = text.replace("define internal void @product(", "define void @product(")
    code = compile_text("\n".join([*sorted(declares), *shared, text]), "product")
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(code.address("product"))
    f(*(x.ctypes.data for x in (a, b, c, bias)))


def check(p, rng, special=False, write=kernel):
    d = np.float32 if p.dtype == "f32" else np.float64
    a = rng.standard_normal((p.k if p.ta else p.m, p.lda)).astype(d)
    b = rng.standard_normal((p.n if p.tb else p.k, p.ldb)).astype(d)
    bias = rng.standard_normal(p.n).astype(d)
    if special:
        a[0, 0], b[0, 0] = np.nan, np.inf
    c = np.full((p.m + 2, p.ldc), 7, d)
    run(p, a, b, c, bias, write)
    left = (a[:, : p.m].T if p.ta else a[:, : p.k]).astype(np.float64)
    right = (b[:, : p.k].T if p.tb else b[:, : p.n]).astype(np.float64)
    with np.errstate(all="ignore"):
        wanted = left @ right + (bias if p.bias else 0)
    if p.relu:
        wanted = np.where(wanted <= 0, 0, wanted)
    limit = 1e-4 if p.dtype == "f32" else 1e-11
    np.testing.assert_allclose(c[: p.m, : p.n], wanted, rtol=limit, atol=limit)
    assert (c[p.m :] == 7).all() and (c[:, p.n :] == 7).all()


@pytest.mark.parametrize("seed", range(80))
def test_random_shapes(seed):
    rng = np.random.default_rng(seed)
    m, n, k = (int(rng.choice(SIZES)) for _ in range(3))
    ta, tb, bias, relu, special = (bool(x) for x in rng.integers(0, 2, 5))
    pad = int(rng.choice([0, 3]))
    d = "f32" if seed % 3 else "f64"
    lda, ldb = (m if ta else k) + pad, (k if tb else n) + pad
    check(Product(m, n, k, ta, tb, d, lda, ldb, n + pad, bias, relu), rng, special and k > 1)


@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("shape", [(130, 300, 260), (128, 256, 256), (100, 65, 1030)])
def test_large_products_go_panel_by_panel(shape, tb):
    m, n, k = shape
    p = Product(m, n, k, False, tb, "f32", k, k if tb else n, n)
    check(p, np.random.default_rng(0))


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize(
    "shape", [(1100, 600, 130), (700, 300, 260), (2100, 1000, 70), (2048, 300, 230)]
)
def test_large_products_go_block_by_block(shape, ta, tb):
    m, n, k = shape
    for d in ("f32", "f64"):
        p = Product(m, n, k, ta, tb, d, m if ta else k, k if tb else n, n, True, ta)
        check(p, np.random.default_rng(0))
