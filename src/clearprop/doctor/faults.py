"""The faults that the doctor knows: code, title, and the reason in a formula. docs/doctor.md has a
section for each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    code: str
    title: str
    reason: str

    @property
    def family(self) -> str:
        return FAMILIES[self.code[0]]


FAMILIES = {
    "A": "connectivity",
    "B": "local derivative zero",
    "C": "local derivative infinite",
    "D": "scale",
    "E": "loss wiring",
    "F": "flow of data",
    "G": "training loop",
}

# fmt: off
_ROWS = (
    ("A1", "non-differentiable op in the path", "its derivative is 0 almost everywhere"),
    ("A2", "the tape is cut", "detach(), no_grad, .data, NumPy or a new tensor ends the history: nothing flows back"),
    ("A3", "parameter that nobody updates", "the gradient arrives, and no optimizer applies it"),
    ("A4", "parameter that is never used", "no path leads from it to the loss"),
    ("A5", "frozen by mistake", "requires_grad is False, so it gets no gradient"),
    ("A6", "overwritten before its backward", "the rule needs the value that an in-place op replaced"),
    ("A7", "one module in several places", "the gradients of all places add up in one set of weights"),
    ("A8", "loss term without a gradient", "the term is a constant for the parameters"),
    ("B1", "clamped in the path", "clamp' = 0 outside [a, b]"),
    ("B2", "output cannot reach the targets", "the activation's range does not contain them"),
    ("B3", "dead ReLU units", "relu' = 0 for z < 0"),
    ("B4", "saturated units", "σ'(z) = σ(1 − σ) → 0 for large abs(z)"),
    ("B5", "softmax over one unit", "p(1 − p) = 1·0 = 0"),
    ("B6", "saturated softmax", "J = diag(p) − p pᵀ → 0 as one p → 1"),
    ("B7", "clipped error", "clip' = 0 for the largest errors"),
    ("C1", "square root at zero", "1/(2√0) = ∞, and 0·∞ = nan"),
    ("C2", "logarithm of zero", "1/x = ∞ at 0"),
    ("C3", "division by zero", "−a/b² = ∞ at b = 0"),
    ("C4", "exponential overflow", "exp' = exp"),
    ("C5", "nan through the branch not taken", "0·∞ = nan in the branch that where() dropped"),
    ("C6", "deviation of a constant", "1/(2σ) = ∞ at σ = 0"),
    ("C7", "edge of the domain", "the derivative is infinite there"),
    ("C8", "softmax of a masked row", "0/0 for a row of −∞"),
    ("C9", "bad data", "nan or inf in, nan out"),
    ("C10", "epsilon below the precision", "x + ε = x"),
    ("D1", "vanishing through depth", "the product of the factors goes to 0"),
    ("D2", "exploding through depth", "the product of the factors grows without bound"),
    ("D3", "exploding through time", "the same factor, once per step: ρᵀ → ∞"),
    ("D4", "vanishing through time", "the same factor, once per step: ρᵀ → 0"),
    ("D5", "scale of the initial weights", "every layer multiplies by the same wrong factor"),
    ("D6", "symmetric units", "equal weights get equal gradients and stay equal"),
    ("D7", "loss at the start", "a random classifier has ln C"),
    ("D8", "input not normalised", "z = w·x is as large as x"),
    ("D9", "target not normalised", "the first steps go into the offset alone"),
    ("E1", "softmax before cross-entropy", "softmax twice: the gradient is scaled by about 1/C"),
    ("E2", "sigmoid before BCE with logits", "σ(σ(z)) stays in [0.5, 0.73]"),
    ("E3", "logits into a loss of probabilities", "log of a number that is no probability"),
    ("E4", "activation and loss do not fit", "the pair is not the likelihood of the labels"),
    ("E5", "squared error behind a saturating head", "σ' appears in the gradient: worst where the error is largest"),
    ("E6", "broadcast in the loss", "(N, 1) against (N,) gives (N, N): every prediction is compared with every target"),
    ("E7", "wrong axis or reduction", "the sum runs over the batch"),
    ("E8", "encoding of the labels", "the labels are not what the loss expects"),
    ("E9", "regulariser overwhelms the data", "its gradient is larger than that of the data"),
    ("E10", "loss without a lower bound", "minus sign: the loss is maximised"),
    ("F1", "examples mix", "an output of one example depends on another"),
    ("F2", "normalised over the batch axis", "an output of one example depends on another"),
    ("F3", "sees the future", "an output depends on later inputs"),
    ("F4", "input is ignored", "the output does not depend on it"),
    ("F5", "labels shuffled", "not a fault of backprop"),
    ("G1", "gradients are not cleared", ".grad adds up from step to step"),
    ("G2", "gradients cleared too early", "zero_grad stands between backward and step"),
    ("G3", "step missing or before backward", "the gradient of this batch is not used"),
    ("G4", "training in eval mode", "dropout is off and statistics stand still"),
    ("G5", "batch norm over too few values", "the variance of one value is 0"),
    ("G6", "learning rate too high", "the step overshoots: L(θ + Δ) > L(θ)"),
    ("G7", "learning rate too low", "the weights do not move"),
    ("G8", "gradient ascent", "⟨Δθ, g⟩ > 0"),
    ("G9", "weight decay", "the decay moves the weights away from 0, or too fast"),
    ("G10", "clipping", "the clip does nothing, or takes everything"),
    ("G11", "history grows from step to step", "a state was carried on with its tape"),
    ("G12", "history kept in a list", "tensors with a tape are kept"),
)
# fmt: on

FAULTS = {code: Fault(code, title, reason) for code, title, reason in _ROWS}
