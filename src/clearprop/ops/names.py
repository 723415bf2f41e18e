"""PyTorch's second names of ops, which ops have an in-place form, and which take `out=`."""

from __future__ import annotations

ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "clip": "clamp", "divide": "div",
    "fix": "trunc", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
    "moveaxis": "movedim", "multiply": "mul", "negative": "neg", "not_equal": "ne",
    "ravel": "flatten", "subtract": "sub", "swapaxes": "transpose", "swapdims": "transpose",
    "true_divide": "div",
}  # fmt: skip

# Functions with second names that no method has.
FUNCTION_ALIASES = {"row_stack": "vstack", "trapz": "trapezoid"}

# Methods that write their result into the tensor, under the name with an underscore.
INPLACE = """
    abs acos acosh add addbmm addcdiv addcmul addmm addmv addr asin asinh atan atan2 atanh baddbmm
    bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp
    clamp_max clamp_min copysign cos cosh cumprod cumsum deg2rad digamma div eq erf erfc erfinv exp
    exp2 expm1 floor floor_divide fmod frac gcd ge gt heaviside hypot i0 igamma igammac
    index_add index_copy index_fill index_put index_reduce lcm ldexp le lerp lgamma log log10 log1p
    log2 logical_and logical_not logical_or logical_xor logit lt masked_fill masked_scatter mul
    mvlgamma nan_to_num ne neg nextafter polygamma pow put rad2deg reciprocal relu remainder round
    rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt square sub tan tanh
    tril triu trunc xlogy
""".split()

# Those that PyTorch offers as functions, too.
INPLACE_FUNCTIONS = """
    abs acos acosh asin asinh atan atanh ceil clamp clamp_max clamp_min cos cosh deg2rad erf erfc
    exp exp2 expm1 floor frac gcd i0 index_put lcm ldexp log log10 log1p log2 logit nan_to_num neg
    rad2deg reciprocal relu round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc xlogy
""".split()

# Functions that get `out=` from here; the others have it from where they are made.
TAKES_OUT = """
    addcdiv addcmul addmm arange baddbmm bernoulli bmm diag dot empty eye floor_divide fmod full
    gather hstack igamma igammac index_select lerp linspace logical_and logical_not
    logical_or logical_xor logit logspace masked_select mm multinomial mv mvlgamma nan_to_num
    nonzero ones outer polygamma rand randint randn randperm remainder square
    take_along_dim tril triu vstack zeros
""".split()
