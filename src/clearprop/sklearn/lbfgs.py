"""solver="lbfgs": SciPy's L-BFGS-B over all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from clearprop.nn.warn import warn
from clearprop.sklearn.run import Run, callbacks_of
from clearprop.sklearn.steps import Steps

NOT_CONVERGED = (
    "lbfgs failed to converge after {n} iteration(s) (status={status}):\n{message}\n\n"
    "Increase max_iter or max_fun, or scale the data (sklearn.preprocessing) so that the features"
    " are of one size."
)


class _NoSteps:
    """What a callback sees as the optimizer: SciPy chooses the length of a step."""

    param_groups = ({"lr": float("nan")},)


def minimize(estimator: Any, steps: Steps, X: Any, y: Any, weight: Any) -> None:
    """Fit the network of `steps`; sets loss_ and n_iter_ of the estimator."""
    rows = steps.rows(X, y, weight)
    params = [p.value for p in (*steps.model.coefs, *steps.model.intercepts)]
    tensors = [*steps.model.coefs, *steps.model.intercepts]
    ends = np.cumsum([p.size for p in params])
    steps.plan_gradient(estimator.max_iter, len(rows))
    compute = steps.gradient(rows)
    run = Run(
        estimator, steps.model, _NoSteps(), estimator.max_iter, 1, callbacks_of(estimator.callbacks)
    )
    seen = {}

    def objective(packed: np.ndarray) -> tuple[float, np.ndarray]:
        for p, part in zip(params, np.split(packed, ends[:-1]), strict=True):
            p[...] = part.reshape(p.shape)
        total, seen["loss"] = compute()
        gradients = [t.grad.value.ravel() for t in tensors]
        return total, np.concatenate(gradients).astype(np.float64)

    def after(intermediate_result: Any) -> None:
        if estimator.verbose:
            print(f"Iteration {run.epoch}, loss = {intermediate_result.fun:.8f}")
        run.end_epoch(float(intermediate_result.fun), None)
        if run.stopped:
            raise StopIteration
        run.begin_epoch()

    steps.model.train()
    start = np.concatenate([p.ravel() for p in params]).astype(np.float64)
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    try:
        run.call("on_fit_start")
        run.begin_epoch()
        found = scipy.optimize.minimize(
            objective, start, method="L-BFGS-B", jac=True, options=options, callback=after
        )
        objective(found.x)  # leave the best weights and their loss, not those of the last look
        run.call("on_fit_end")
    finally:
        run.call("on_fit_exit")
        steps.model.eval()
    estimator.n_iter_ = min(int(found.nit), estimator.max_iter)
    estimator.loss_ = seen["loss"]
    estimator._keep(steps)
    if found.status != 0 and not run.stopped:
        warn(
            NOT_CONVERGED.format(n=found.nit, status=found.status, message=found.message),
            ConvergenceWarning,
        )
