"""linalg, einsum and the other products against NumPy and SciPy; singular inputs; compiled."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import clearprop as cp
from clearprop.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
A = RNG.standard_normal((2, 3, 3)) + 2 * np.eye(3)
TALL = RNG.standard_normal((5, 3))
SPD = TALL.T @ TALL + np.eye(3)


def t(a, **kwargs):
    return cp.tensor(np.array(a), **kwargs)


def near(ours, theirs, atol=1e-10):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-10, atol=atol)


@pytest.mark.parametrize("name", ["inv", "det", "pinv", "matrix_rank", "cond", "eigvalsh"])
def test_numpy_has_the_same_function(name):
    a = SPD if name == "eigvalsh" else A
    near(getattr(cp.linalg, name)(t(a)), getattr(np.linalg, name)(a))


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_norms_of_matrices_and_vectors(ord):
    near(cp.linalg.norm(t(TALL), ord), np.linalg.norm(TALL, ord))
    if not isinstance(ord, str):
        near(cp.linalg.norm(t(TALL[0]), ord), np.linalg.norm(TALL[0], ord))


def test_factors_rebuild_the_matrix():
    for a in (A, TALL, TALL.T):
        q, r = cp.linalg.qr(t(a))
        near(q @ r, a)
        u, s, vh = cp.linalg.svd(t(a), full_matrices=False)
        near((u * s[..., None, :]) @ vh, a)
        P, L, U = cp.linalg.lu(t(a))
        near(P @ L @ U, a)
    w, v = cp.linalg.eigh(t(SPD))
    near((v * w[None]) @ v.mT, SPD)
    low = cp.linalg.cholesky(t(SPD))
    near(low @ low.mT, SPD)
    near(cp.cholesky_inverse(low), np.linalg.inv(SPD))


def test_systems_are_solved():
    b = RNG.standard_normal((3, 2))
    near(t(A) @ cp.linalg.solve(t(A), t(b)), np.broadcast_to(b, (2, 3, 2)))
    near(cp.linalg.solve(t(SPD), t(b.T), left=False) @ t(SPD), b.T)
    near(cp.linalg.lu_solve(*cp.linalg.lu_factor(t(SPD)), t(b)), np.linalg.solve(SPD, b))
    near(cp.cholesky_solve(t(b), cp.linalg.cholesky(t(SPD))), np.linalg.solve(SPD, b))
    x = cp.linalg.lstsq(t(TALL), t(np.arange(5.0)), driver="gelsd")
    wanted = np.linalg.lstsq(TALL, np.arange(5.0), rcond=None)
    near(x.solution, wanted[0])
    near(x.residuals, wanted[1])
    assert x.rank.item() == 3


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("iij->ji", (3, 3, 2)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 4), (4, 2), (2, 3)),
    ("ij,j->ij", (2, 1), (3,)),
    ("ijk,k->", (2, 3, 4), (4,)),
]


@pytest.mark.parametrize(("equation", "shapes"), [(e, s) for e, *s in EINSUMS], ids=str)
def test_einsum_and_its_gradients(equation, shapes):
    arrays = [RNG.standard_normal(s) for s in shapes]
    xs = [t(a, requires_grad=True) for a in arrays]
    near(cp.einsum(equation, *xs), np.einsum(equation, *arrays))
    assert gradcheck(lambda *xs: cp.einsum(equation, *xs), xs)


def test_a_long_einsum_goes_through_small_results():
    n = 60
    xs = [cp.ones(n, n) for _ in range(6)] + [cp.ones(n)]
    near(cp.einsum("ab,bc,cd,de,ef,fg,g->a", *xs), np.full(n, float(n) ** 6))


def test_other_products_equal_numpy():
    x, y = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((4, 3))
    near(cp.tensordot(t(x), t(y), dims=([2, 1], [0, 1])), np.tensordot(x, y, ([2, 1], [0, 1])))
    near(cp.kron(t(x[0]), t(y)), np.kron(x[0], y))
    near(cp.linalg.cross(t(y), t(y[::-1].copy())), np.cross(y, y[::-1]))
    near(cp.inner(t(x), t(y.T)), np.inner(x, y.T))
    near(cp.linalg.multi_dot([t(TALL), t(SPD), t(y.T)]), TALL @ SPD @ y.T)
    near(cp.linalg.matrix_power(t(A), 7), np.linalg.matrix_power(A, 7), 1e-6)
    w, v = np.linalg.eigh(SPD / 10)
    near(cp.linalg.matrix_exp(t(SPD / 10)), v @ np.diag(np.exp(w)) @ v.T)


@pytest.mark.parametrize(("p", "metric"), [(1, "cityblock"), (2, "euclidean"), (3, "minkowski")])
def test_distances_between_rows(p, metric):
    options = {"p": 3} if p == 3 else {}
    y = RNG.standard_normal((4, 3))
    near(cp.cdist(t(TALL), t(y), p=p), cdist(TALL, y, metric, **options))
    near(cp.pdist(t(TALL), p=p), cdist(TALL, TALL, metric, **options)[np.triu_indices(5, 1)])


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_the_gradient_at_distance_zero_is_zero(p):
    x = t(np.ones((2, 3)), requires_grad=True)
    cp.cdist(x, cp.ones(1, 3, dtype=cp.float64), p=p).sum().backward()
    assert (x.grad == 0).all()


def test_gradients_of_what_is_made_of_factors():
    x = t(A, requires_grad=True)
    for f in (
        lambda a: cp.linalg.lu(a)[1],
        lambda a: cp.linalg.svd(a)[0] ** 2,
        lambda a: cp.linalg.qr(a.mT)[1],
        lambda a: cp.linalg.matrix_norm(a, "nuc"),
        lambda a: cp.logdet(a @ a.mT),
        lambda a: cp.linalg.lu_solve(*cp.linalg.lu_factor(a), a.mT),
    ):
        assert gradcheck(f, x) and gradgradcheck(f, x)


def test_a_loss_of_equal_singular_values_has_a_gradient():
    x = cp.eye(3, dtype=cp.float64).requires_grad_()
    cp.linalg.svd(x)[1].sum().backward()
    near(x.grad, np.eye(3))
    y = cp.eye(3, dtype=cp.float64).requires_grad_()
    cp.linalg.eigh(y)[0].sum().backward()
    near(y.grad, np.eye(3))


def test_det_of_a_singular_matrix_has_its_cofactors_as_gradient():
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    x = t(a, requires_grad=True)
    cp.linalg.det(x).backward()
    near(x.grad, [[4.0, -2.0], [-2.0, 1.0]])


SINGULAR = [
    (lambda a: cp.linalg.inv(a), "element 3 is zero, the inversion could not be completed"),
    (lambda a: cp.linalg.solve(a, a), "The solver failed because the input matrix is singular"),
    (lambda a: cp.linalg.cholesky(-a), "leading minor of order 1 is not positive-definite"),
    (lambda a: cp.linalg.matrix_power(a, -1), "could not be completed"),
]


@pytest.mark.parametrize(("f", "words"), SINGULAR, ids=["inv", "solve", "cholesky", "power"])
def test_singular_matrices_raise_an_error_that_names_them(f, words):
    bad = cp.stack([cp.eye(3), cp.diag(cp.tensor([1.0, 1.0, 0.0]))])
    with pytest.raises(cp.linalg.LinAlgError, match=words):
        f(bad[1])
    batch = r"\(Batch element (1|0)\)"
    with pytest.raises(cp.linalg.LinAlgError, match=batch):
        f(bad)
    with pytest.raises(RuntimeError, match=batch):
        cp.compile(f)(bad)


def test_a_compiled_step_says_which_factors_call_back():
    f = cp.compile(lambda a: cp.linalg.cholesky(a))
    f(cp.eye(3))
    assert "cholesky" in f.explain()


def test_the_program_of_the_docs_runs():
    """docs/linalg-and-distributions.md"""
    page = Path(__file__).parents[2] / "docs/linalg-and-distributions.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec("\n".join(blocks), names)
    assert names["policy"].logits.requires_grad and names["z"].requires_grad


def test_info_instead_of_an_error():
    bad = cp.stack([cp.eye(2), cp.ones(2, 2)])
    inverse, info = cp.linalg.inv_ex(bad)
    assert info.tolist() == [0, 2]
    assert inverse.isnan().any(-1).any(-1).tolist() == [False, True]
    assert cp.linalg.cholesky_ex(bad).info.tolist() == [0, 2]
    x, info = cp.linalg.solve_ex(bad, cp.ones(2, 1))
    assert info.tolist() == [0, 2] and x[0].tolist() == [[1.0], [1.0]] and x[1].isnan().all()


def test_eigenvalues_of_general_matrices_are_refused_with_a_reason():
    with pytest.raises(AttributeError, match="complex"):
        cp.linalg.eig


def test_complete_qr_of_a_tall_matrix_has_no_gradient():
    x = t(TALL, requires_grad=True)
    q, _ = cp.linalg.qr(x, "complete")
    with pytest.raises(RuntimeError, match="not differentiable when mode='complete'"):
        q.sum().backward()


def test_gaussian_elimination_without_division_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cp.linalg.lu(cp.zeros(3, 3))


def test_compiled_steps_through_factors_give_the_same_numbers():
    def step(a, b):
        low = cp.linalg.cholesky(a @ a.mT + cp.eye(3))
        loss = cp.linalg.solve_triangular(low, b, upper=False).square().sum()
        loss = loss + cp.logdet(a).sum() + cp.linalg.svdvals(a).sum() + cp.einsum("bij,bjk->", a, b)
        return loss, cp.autograd.grad(loss, (a, b))

    a = cp.tensor((A @ A.transpose(0, 2, 1)).astype(np.float32), requires_grad=True)
    b = cp.randn(2, 3, 2, requires_grad=True)
    eager, compiled = step(a, b), cp.compile(step)(a, b)
    np.testing.assert_allclose(eager[0].item(), compiled[0].item(), rtol=1e-4)
    for x, y in zip(eager[1], compiled[1], strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-4, atol=1e-5)
