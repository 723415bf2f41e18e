"""clearprop.linalg, einsum and the other products against PyTorch: values where they are unique,
else functions that do not see the signs; first and second gradients; types of errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(3)
A = RNG.standard_normal((3, 3)) + 2 * np.eye(3)
BATCH = RNG.standard_normal((2, 1, 3, 3)) + 2 * np.eye(3)
TALL = RNG.standard_normal((5, 3))
WIDE = RNG.standard_normal((2, 3, 5))
B = RNG.standard_normal((3, 2))
V = RNG.standard_normal(3)
SPD = TALL.T @ TALL + np.eye(3)
SPDS = BATCH @ BATCH.transpose(0, 1, 3, 2) + np.eye(3)
CUBE = RNG.standard_normal((2, 3, 4))


def tensors(lib, arrays, dtype):
    made = []
    for a in arrays:
        a = np.asarray(a)
        t = lib.tensor(a.astype(dtype) if a.dtype.kind == "f" else a)
        made.append(t.requires_grad_() if a.dtype.kind == "f" else t)
    return made


def both(f, *arrays, dtype="float64", second=True, tol=1e-9, same_history=True):
    """f(lib, *tensors) in both: values, gradients of a weighted sum, and gradients of theirs."""
    results = []
    for lib in (cp, torch):
        xs = tensors(lib, arrays, dtype)
        out = f(lib, *xs)
        outs = list(out) if isinstance(out, tuple | list) else [out]
        total = None
        for i, y in enumerate(outs):
            if y.requires_grad:
                w = np.cos(np.arange(y.numel()) + i).reshape(tuple(y.shape)).astype(dtype)
                part = (y * lib.tensor(w)).sum()
                total = part if total is None else total + part
        wanted = [x for x in xs if x.requires_grad]
        firsts, seconds = [None] * len(wanted), []
        if total is not None and wanted:
            firsts = lib.autograd.grad(total, wanted, create_graph=second, allow_unused=True)
            if second:
                energy = sum(((g + 0.3) ** 2).sum() for g in firsts if g is not None)
                if getattr(energy, "requires_grad", False):
                    seconds = lib.autograd.grad(energy, wanted, allow_unused=True)
        results.append((outs, list(firsts), list(seconds)))
    (ours, first, twice), (theirs, their_first, their_twice) = results
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
        assert tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad == b.requires_grad or not same_history
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tol, atol=tol)
    for found, wanted in ((first, their_first), (twice, their_twice)):
        if not found and wanted:
            found = [None] * len(wanted)
        for a, b in zip(found, wanted, strict=True):
            a = 0 if a is None else a.detach().numpy()
            b = 0 if b is None else b.detach().numpy(force=True)
            np.testing.assert_allclose(a, b, rtol=tol * 10, atol=tol * 10)


def symmetric(x):
    return (x + x.mT) / 2


CASES = {
    "inv": (lambda lib, a: lib.linalg.inv(a), BATCH),
    "inv_ex": (lambda lib, a: lib.linalg.inv_ex(a), BATCH),
    "inverse": (lambda lib, a: lib.inverse(a), A),
    "solve": (lambda lib, a, b: lib.linalg.solve(a, b), BATCH, B),
    "solve vector": (lambda lib, a, b: lib.linalg.solve(a, b), A, V),
    "solve vectors": (lambda lib, a, b: lib.linalg.solve(a, b), BATCH, BATCH[..., 0]),
    "solve right": (lambda lib, a, b: lib.linalg.solve(a, b, left=False), A, B.T),
    "solve_ex": (lambda lib, a, b: lib.linalg.solve_ex(a, b), BATCH, B),
    "triangular": (lambda lib, a, b: lib.linalg.solve_triangular(a, b, upper=True), BATCH, B),
    "triangular low": (
        lambda lib, a, b: lib.linalg.solve_triangular(
            a, b, upper=False, left=False, unitriangular=True
        ),
        BATCH, B.T,
    ),
    "det": (lambda lib, a: lib.linalg.det(a), BATCH),
    "slogdet": (lambda lib, a: lib.linalg.slogdet(a), BATCH),
    "logdet": (lambda lib, a: lib.logdet(a), SPDS),
    "cholesky": (lambda lib, a: lib.linalg.cholesky(symmetric(a)), SPDS),
    "cholesky itself": (lambda lib, a: lib.linalg.cholesky(a), SPD),
    "cholesky upper": (lambda lib, a: lib.linalg.cholesky(a, upper=True), SPDS),
    "cholesky_ex": (lambda lib, a: lib.linalg.cholesky_ex(a), SPDS),
    "cholesky_solve": (lambda lib, b, a: lib.cholesky_solve(b, lib.tril(a)), B, A),
    "cholesky_inverse": (lambda lib, a: lib.cholesky_inverse(lib.tril(a)), A),
    "qr": (lambda lib, a: lib.linalg.qr(a), TALL),
    "qr wide": (lambda lib, a: lib.linalg.qr(a), WIDE),
    "qr complete": (lambda lib, a: lib.linalg.qr(a, "complete"), WIDE),
    "lu": (lambda lib, a: lib.linalg.lu(a)[1:], BATCH),
    "lu tall": (lambda lib, a: lib.linalg.lu(a)[1:], TALL),
    "lu wide": (lambda lib, a: lib.linalg.lu(a)[1:], WIDE),
    "lu_factor": (lambda lib, a: lib.linalg.lu_factor(a), BATCH),
    "lu_factor wide": (lambda lib, a: lib.linalg.lu_factor(a), WIDE),
    "lu_factor tall": (lambda lib, a: lib.linalg.lu_factor(a), TALL),
    "lu_solve": (lambda lib, a, b: lib.linalg.lu_solve(*lib.linalg.lu_factor(a), b), A, B),
    "lu_solve right": (
        lambda lib, a, b: lib.linalg.lu_solve(*lib.linalg.lu_factor(a), b, left=False), A, B.T,
    ),
    "lu_solve adjoint": (
        lambda lib, a, b: lib.linalg.lu_solve(*lib.linalg.lu_factor(a), b, adjoint=True), A, B,
    ),
    "eigvalsh": (lambda lib, a: lib.linalg.eigvalsh(a), SPDS),
    "eigh": (lambda lib, a: (lambda w, v: (w, v * v, v @ v.mT))(*lib.linalg.eigh(a)), SPDS),
    "eigh upper": (lambda lib, a: lib.linalg.eigh(a, UPLO="U")[1] ** 2, SPD),
    "svdvals": (lambda lib, a: lib.linalg.svdvals(a), WIDE),
    "svd": (
        lambda lib, a: (lambda u, s, vh: (u * u, s, vh * vh, (u * s) @ vh))(
            *lib.linalg.svd(a, full_matrices=False)
        ),
        TALL,
    ),
    "svd wide": (
        lambda lib, a: (lambda u, s, vh: (u @ vh, s))(*lib.linalg.svd(a, full_matrices=False)),
        WIDE,
    ),
    "svd square": (lambda lib, a: lib.linalg.svd(a)[0] ** 2, BATCH),
    "older svd": (lambda lib, a: (lambda u, s, v: (u @ v.mT, s))(*lib.svd(a)), TALL),
    "older qr": (lambda lib, a: lib.qr(a), TALL),
    "pinv": (lambda lib, a: lib.linalg.pinv(a), TALL),
    "pinv wide": (lambda lib, a: lib.linalg.pinv(a), WIDE),
    "pinv hermitian": (lambda lib, a: lib.linalg.pinv(symmetric(a), hermitian=True), SPD),
    "pinverse": (lambda lib, a: lib.pinverse(a), A),
    "lstsq": (lambda lib, a, b: lib.linalg.lstsq(a, b)[0], TALL, RNG.standard_normal((5, 2))),
    "lstsq wide": (
        lambda lib, a, b: lib.linalg.lstsq(a, b)[0], WIDE, RNG.standard_normal((2, 3, 2)),
    ),
    "matrix_exp": (lambda lib, a: lib.linalg.matrix_exp(a), BATCH),
    "matrix_power": (lambda lib, a: lib.linalg.matrix_power(a, 5), BATCH),
    "matrix_power -2": (lambda lib, a: lib.linalg.matrix_power(a, -2), A),
    "matrix_power 0": (lambda lib, a: lib.linalg.matrix_power(a, 0).detach(), BATCH),
    "multi_dot": (
        lambda lib, a, b, v: lib.linalg.multi_dot([a, b, b.mT, v]), TALL, B, V,
    ),
    "vander": (lambda lib, v: lib.linalg.vander(v, N=4), V),
    "vecdot": (lambda lib, a, b: lib.linalg.vecdot(a, b, dim=0), A, BATCH[0, 0]),
    "cond": (lambda lib, a: lib.linalg.cond(a), BATCH),
    "cond -2": (lambda lib, a: lib.linalg.cond(a, -2), TALL),
    "cond 1": (lambda lib, a: lib.linalg.cond(a.detach(), 1), A),
    "cond fro": (lambda lib, a: lib.linalg.cond(a.detach(), "fro"), A),
    "rank": (lambda lib, a: lib.linalg.matrix_rank(a), BATCH),
    "rank hermitian": (lambda lib, a: lib.linalg.matrix_rank(a, hermitian=True), np.ones((3, 3))),
    "norm": (lambda lib, a: lib.linalg.norm(a), CUBE),
    "norm vector": (lambda lib, a: lib.linalg.norm(a, 3, dim=1, keepdim=True), CUBE),
    "norm matrix": (lambda lib, a: lib.linalg.norm(a, "nuc", dim=(0, 2)), CUBE),
    "cross": (lambda lib, a, b: lib.linalg.cross(a, b), A, BATCH[0, 0]),
    "older cross": (lambda lib, a, b: lib.cross(a, b, dim=0), B, RNG.standard_normal((3, 2))),
    "tensorinv": (lambda lib, a: lib.linalg.tensorinv(a, 1), RNG.standard_normal((6, 2, 3))),
    "tensorsolve": (
        lambda lib, a, b: lib.linalg.tensorsolve(a, b),
        RNG.standard_normal((2, 3, 6)), RNG.standard_normal((2, 3)),
    ),
    "householder": (
        lambda lib, a, t: lib.linalg.householder_product(lib.tril(a, -1), t), TALL, V * 0.3,
    ),
    "inner": (lambda lib, a, b: lib.inner(a, b), CUBE, RNG.standard_normal((3, 4))),
    "vdot": (lambda lib, a: lib.vdot(a, a), V),
    "ger": (lambda lib, a, b: lib.ger(a, b), V, B[0]),
    "kron": (lambda lib, a, b: lib.kron(a, b), CUBE, B),
    "tensordot": (lambda lib, a, b: lib.tensordot(a, b, 2), CUBE, RNG.standard_normal((3, 4, 2))),
    "tensordot pairs": (
        lambda lib, a, b: lib.tensordot(a, b, dims=([1, 0], [0, 1])), CUBE, B,
    ),
    "addmv": (lambda lib, b, a, v: lib.addmv(b, a, v, beta=2, alpha=0.5), V, A, V[::-1].copy()),
    "addr": (lambda lib, b, v, w: lib.addr(b, v, w, beta=0.5, alpha=3), B, V, B[0]),
    "addbmm": (
        lambda lib, b, x, y: lib.addbmm(b, x, y, beta=2, alpha=3),
        A[:, :2], CUBE, RNG.standard_normal((2, 4, 2)),
    ),
    "bilinear": (
        lambda lib, x, y, w, b: lib.nn.functional.bilinear(x, y, w, b),
        CUBE, RNG.standard_normal((2, 3, 2)), RNG.standard_normal((3, 4, 2)), V,
    ),
    "cdist": (lambda lib, a, b: lib.cdist(a, b), CUBE, RNG.standard_normal((5, 4))),
    "cdist 1": (lambda lib, a, b: lib.cdist(a, b, p=1), CUBE, RNG.standard_normal((2, 5, 4))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_and_two_gradients(name, dtype):
    f, *arrays = CASES[name]
    tol = 1e-9 if dtype == "float64" else 2e-3
    second = dtype == "float64" and "cdist" not in name  # PyTorch has none
    both(f, *arrays, dtype=dtype, second=second, tol=tol)


@pytest.mark.parametrize("ord", [0, 1, 2, 3, 0.5, math.inf, -math.inf, -1, -2, -0.5])
@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_vector_norms(ord, dim):
    some = CUBE * np.array([1.0, 0, 1, 1])
    both(lambda lib, a: lib.linalg.vector_norm(a, ord, dim), CUBE, same_history=ord != 0)
    both(
        lambda lib, a: lib.linalg.vector_norm(a, ord, dim, keepdim=True), some, second=False,
        same_history=ord != 0,
    )  # fmt: skip


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
@pytest.mark.parametrize("dim", [(-2, -1), (2, 0)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_matrix_norms(ord, dim, keepdim):
    both(lambda lib, a: lib.linalg.matrix_norm(a, ord, dim, keepdim), CUBE)


@pytest.mark.parametrize("p", [0, 1, 2, 3, 1.5, math.inf])
def test_distances_where_some_are_zero(p):
    x = RNG.standard_normal((4, 3))
    both(lambda lib, a: lib.cdist(a, lib.tensor(x[:2]), p=p), x, second=False, same_history=p > 0)
    twice = np.vstack([x, x[:1]])
    both(lambda lib, a: lib.pdist(a, p=p), twice, second=False, same_history=p > 0)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ji", (3, 3, 2)),
    ("ba", (2, 3)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
    ("...ij->...ji", (2, 3, 4)),
    ("i...,i...->...", (3, 2), (3, 2)),
    ("a...b,b...->a...", (2, 3, 4), (4, 3)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 4), (4, 2), (2, 3)),
    ("ij,j->ij", (2, 1), (3,)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ijk,k->", (2, 3, 4), (4,)),
    ("Ab,bA->A", (2, 3), (3, 2)),
    (" i j , j -> i ", (2, 3), (3,)),
    ("...,...", (2, 3), (3,)),
    (",ij->ji", (), (2, 3)),
    ("ij,kl->", (2, 3), (4, 5)),
    ("iij,jj->i", (2, 2, 3), (3, 3)),
    ("aB,cB", (2, 3), (4, 3)),
]


@pytest.mark.parametrize(
    ("equation", "shapes"), [(e, s) for e, *s in EINSUMS], ids=lambda x: str(x)
)
def test_einsum(equation, shapes):
    arrays = [RNG.standard_normal(s) for s in shapes]
    both(lambda lib, *xs: lib.einsum(equation, *xs), *arrays)


def test_einsum_with_lists_of_numbers():
    arrays = [RNG.standard_normal((2, 3)), RNG.standard_normal((5, 3, 4))]
    both(lambda lib, x, y: lib.einsum(x, [0, 1], y, [..., 1, 2], [..., 0, 2]), *arrays)
    both(lambda lib, x, y: lib.einsum(x, [0, 51], y, [1, 51, 2]), *arrays)
    both(lambda lib, x, y: lib.einsum("ij,ajk->aik", [x, y]), *arrays)


def test_a_bias_that_does_not_count_may_be_nan():
    nan = np.full((3, 2), np.nan)
    both(lambda lib, x, y: lib.addmm(lib.tensor(nan), x, y, beta=0, alpha=2), A, B)
    both(lambda lib, x, y: lib.addr(lib.tensor(nan), x, y, beta=0), V, B[0])


def test_einsum_of_integers():
    both(lambda lib, x: lib.einsum("ij->j", x), np.arange(6, dtype=np.int32).reshape(2, 3))
    both(lambda lib, x: lib.einsum("ij,kj->ik", x, x), np.arange(6).reshape(2, 3))


def test_the_gradient_of_det_at_singular_matrices():
    for rank in (0, 1, 2):
        a = sum((np.outer(TALL[i], TALL[i + 1]) for i in range(rank)), np.zeros((3, 3)))
        both(lambda lib, x: lib.linalg.det(x), a, second=False)


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
def test_least_squares(driver):
    b = RNG.standard_normal((5, 2))
    both(
        lambda lib, x, y: lib.linalg.lstsq(x, y, driver=driver)[:3], TALL, b, second=False,
        same_history=False,
    )  # fmt: skip
    ours = cp.linalg.lstsq(cp.tensor(TALL), cp.tensor(b), driver=driver)
    theirs = torch.linalg.lstsq(torch.tensor(TALL), torch.tensor(b), driver=driver)
    np.testing.assert_allclose(ours.singular_values.numpy(), theirs.singular_values.numpy())


def test_the_rest_of_the_factors_rebuild_the_matrix():
    for a in (BATCH, TALL, WIDE):
        x = cp.tensor(a)
        P, L, U = cp.linalg.lu(x)
        np.testing.assert_allclose((P @ L @ U).numpy(), a, atol=1e-12)
        np.testing.assert_allclose(P.numpy(), torch.linalg.lu(torch.tensor(a))[0].numpy())
        u, s, vh = cp.linalg.svd(x)
        k = s.shape[-1]
        np.testing.assert_allclose(((u[..., :k] * s[..., None, :]) @ vh[..., :k, :]).numpy(), a)
        q, r = cp.linalg.qr(x, "complete")
        np.testing.assert_allclose((q @ r).numpy(), a, atol=1e-12)


ONES, ZERO = np.ones((2, 3)), np.zeros((3, 3))
ERRORS = {
    "inv": lambda lib, t: lib.linalg.inv(t(ZERO)),
    "inv batch": lambda lib, t: lib.linalg.inv(t(np.stack([np.eye(3), ZERO]))),
    "inv 1d": lambda lib, t: lib.linalg.inv(t(V)),
    "inv wide": lambda lib, t: lib.linalg.inv(t(ONES)),
    "inv int": lambda lib, t: lib.linalg.inv(t(ZERO.astype(int))),
    "inv half": lambda lib, t: lib.linalg.inv(t(ZERO).half()),
    "solve": lambda lib, t: lib.linalg.solve(t(ZERO), t(V)),
    "solve shape": lambda lib, t: lib.linalg.solve(t(A), t(ONES)),
    "solve types": lambda lib, t: lib.linalg.solve(t(A), t(A).float()),
    "cholesky": lambda lib, t: lib.linalg.cholesky(t(-A)),
    "cholesky batch": lambda lib, t: lib.linalg.cholesky(t(np.stack([SPD, -SPD]))),
    "cholesky_ex": lambda lib, t: lib.linalg.cholesky_ex(t(-A), check_errors=True),
    "eigh": lambda lib, t: lib.linalg.eigh(t(A * np.nan)),
    "eigh uplo": lambda lib, t: lib.linalg.eigh(t(A), "x"),
    "svd": lambda lib, t: lib.linalg.svd(t(A * np.nan)),
    "qr": lambda lib, t: lib.linalg.qr(t(A), "x"),
    "det": lambda lib, t: lib.linalg.det(t(ONES)),
    "matrix_exp": lambda lib, t: lib.linalg.matrix_exp(t(ONES)),
    "matrix_power": lambda lib, t: lib.linalg.matrix_power(t(ZERO), -1),
    "multi_dot": lambda lib, t: lib.linalg.multi_dot([t(A), t(ONES)]),
    "multi_dot one": lambda lib, t: lib.linalg.multi_dot([t(A)]),
    "norm": lambda lib, t: lib.linalg.vector_norm(t(np.arange(3))),
    "matrix_norm": lambda lib, t: lib.linalg.matrix_norm(t(A), 3),
    "matrix_norm 1d": lambda lib, t: lib.linalg.matrix_norm(t(V)),
    "norm dims": lambda lib, t: lib.linalg.norm(t(A), "nuc", dim=0),
    "tensorsolve": lambda lib, t: lib.linalg.tensorsolve(t(ONES), t(V[:2])),
    "cross": lambda lib, t: lib.linalg.cross(t(ONES), t(np.ones((2, 2)))),
    "cross none": lambda lib, t: lib.linalg.cross(t(np.ones((2, 2))), t(np.ones((2, 2)))),
    "lu_solve": lambda lib, t: lib.linalg.lu_solve(t(A), t(V), t(B)),
    "einsum sizes": lambda lib, t: lib.einsum("ij,jk", t(ONES), t(ONES)),
    "einsum output": lambda lib, t: lib.einsum("ij->iz", t(ONES)),
    "einsum count": lambda lib, t: lib.einsum("ij,k", t(ONES)),
    "einsum count 2": lambda lib, t: lib.einsum("ij", t(ONES), t(ONES)),
    "einsum rank": lambda lib, t: lib.einsum("ijk", t(ONES)),
    "einsum diagonal": lambda lib, t: lib.einsum("ii", t(ONES)),
    "einsum letter": lambda lib, t: lib.einsum("i1", t(ONES)),
    "einsum twice": lambda lib, t: lib.einsum("i->ii", t(V)),
    "einsum types": lambda lib, t: lib.einsum("i,i", t(V), t(V).float()),
    "tensordot": lambda lib, t: lib.tensordot(t(ONES), t(ONES), dims=1),
    "cdist int": lambda lib, t: lib.cdist(t(ZERO.astype(int)), t(ZERO.astype(int))),
    "cdist columns": lambda lib, t: lib.cdist(t(A), t(B)),
    "cdist p": lambda lib, t: lib.cdist(t(A), t(A), -1.0),
    "pdist": lambda lib, t: lib.pdist(t(V)),
    "tensordot bool": lambda lib, t: lib.tensordot(t(ONES > 0), t(ONES > 0)),
    "einsum bool": lambda lib, t: lib.einsum("ij,ij->i", t(ONES > 0), t(ONES > 0)),
    "cross types": lambda lib, t: lib.linalg.cross(t(V), t(V).float()),
    "cdist types": lambda lib, t: lib.cdist(t(A), t(A).float()),
    "vecdot int": lambda lib, t: lib.linalg.vecdot(t(np.arange(3)), t(np.arange(3))),
    "lu_factor": lambda lib, t: lib.linalg.lu_factor(t(ZERO)),
    "inner": lambda lib, t: lib.inner(t(A), t(B)),
    "addr": lambda lib, t: lib.addr(t(A), t(V), t(B[0])),
    "vdot": lambda lib, t: lib.vdot(t(V), t(B[0])),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_type_and_the_words_of_pytorch(name):
    f = ERRORS[name]
    with pytest.raises(Exception) as theirs:
        f(torch, torch.tensor)
    with pytest.raises(Exception) as ours:
        f(cp, cp.tensor)
    kind = theirs.value
    if isinstance(kind, torch.linalg.LinAlgError):
        assert isinstance(ours.value, cp.linalg.LinAlgError), ours.value
    assert isinstance(
        ours.value, type(kind).__mro__[1] if type(kind).__name__[0] == "_" else type(kind)
    )
    words = str(kind).split(".")[-1].split(":")[-1]
    common = set(words.lower().split()) & set(str(ours.value).lower().split())
    assert len(common) >= min(4, len(set(words.split())) // 2), (str(kind), str(ours.value))
