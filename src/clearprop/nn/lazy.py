"""Lazy layers: the sizes of their inputs are those of the first batch.

At the first call a lazy layer makes its parameters and becomes a layer of the usual class. The
parameters stay the same objects, so an optimizer may know them before.
"""

from __future__ import annotations

from typing import Any

from clearprop.autograd import no_grad
from clearprop.core import Tensor, local
from clearprop.core.state import changed
from clearprop.nn import init
from clearprop.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from clearprop.nn.layers import Linear
from clearprop.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from clearprop.nn.uninitialized import UninitializedBuffer, UninitializedParameter, is_lazy
from clearprop.ops.broadcasting import here


class LazyModuleMixin:
    """What makes a module lazy; stands before the module's class among the bases.

    `initialize_parameters(*inputs)` gives the parameters their shapes (`p.materialize(shape)`) and
    values; `cls_to_become` is the class of the module from then on.
    """

    cls_to_become: type[Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        module: Any = self
        self._initialize_hook = module.register_forward_pre_hook(_infer, with_kwargs=True)

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module itself has no values yet."""
        module: Any = self
        tables = (module._parameters, module._buffers)
        return any(is_lazy(x) for table in tables for x in table.values())

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Make the parameters for inputs like these."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )


def _infer(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Before the first call. The new parameters are no part of a trace that may be running."""
    context = local.c
    interpreter, context.interpreter = context.interpreter, None
    try:
        module.initialize_parameters(*args, **kwargs)
    finally:
        context.interpreter = interpreter
    if module.has_uninitialized_params():
        raise RuntimeError(
            f"module {module._get_name()} has not been fully initialized: initialize_parameters()"
            f" left a parameter without values{here()}"
        )
    module._initialize_hook.remove()
    del module.__dict__["_initialize_hook"]
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
    changed()


class LazyLinear(LazyModuleMixin, Linear):
    """Linear whose in_features is the last size of the first batch.

    >>> import clearprop as cp
    >>> layer = cp.nn.LazyLinear(3)
    >>> _ = layer(cp.zeros(2, 5))
    >>> layer
    Linear(in_features=5, out_features=3, bias=True)
    """

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, once there are parameters."""
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()

    @no_grad()
    def initialize_parameters(self, input: Tensor) -> None:
        """Weight and bias for inputs of this width."""
        self.in_features = input.shape[-1]
        if self.has_uninitialized_params():
            _materialize(self.weight, (self.out_features, self.in_features))
            _materialize(self.bias, (self.out_features,))
            self.reset_parameters()


def _materialize(x: Any, shape: tuple[int, ...]) -> None:
    if is_lazy(x):
        x.materialize(shape)


class _LazyNorm(LazyModuleMixin):
    """A normalisation whose num_features is the number of channels of the first batch."""

    def _forget(self: Any) -> None:
        """Take the values of parameters and statistics away."""
        for name in ("weight", "bias"):
            p = self._parameters[name]
            if p is not None:
                self._parameters[name] = UninitializedParameter(dtype=p.dtype)
        for name in ("running_mean", "running_var"):
            b = self._buffers[name]
            if b is not None:
                self._buffers[name] = UninitializedBuffer(dtype=b.dtype)
        self.num_features = 0

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, no batches seen, once there are parameters."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    @no_grad()
    def initialize_parameters(self: Any, input: Tensor) -> None:
        """Parameters and statistics for inputs with so many channels."""
        self._check_dims(input)
        self.num_features = input.shape[self._channel_axis(input)]
        if self.has_uninitialized_params():
            for name in ("weight", "bias", "running_mean", "running_var"):
                _materialize(getattr(self, name), (self.num_features,))
            self.reset_parameters()

    def _channel_axis(self, input: Tensor) -> int:
        return 1


class _LazyBatchNorm(_LazyNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(1, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._forget()


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """BatchNorm1d whose num_features is the number of channels of the first batch.

    >>> import clearprop as cp
    >>> layer = cp.nn.LazyBatchNorm1d()
    >>> layer(cp.ones(4, 3)).shape, type(layer).__name__, layer.num_features
    ((4, 3), 'BatchNorm1d', 3)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """BatchNorm2d whose num_features is the number of channels of the first batch."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """BatchNorm3d whose num_features is the number of channels of the first batch."""

    cls_to_become = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(1, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._forget()

    def _channel_axis(self: Any, input: Tensor) -> int:
        return 0 if input.ndim == self.dims[0] else 1


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """InstanceNorm1d whose num_features is the number of channels of the first batch."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """InstanceNorm2d whose num_features is the number of channels of the first batch."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """InstanceNorm3d whose num_features is the number of channels of the first batch."""

    cls_to_become = InstanceNorm3d


class _LazyConv(LazyModuleMixin):
    """A convolution whose in_channels is the number of channels of the first batch."""

    def _start(self, groups: int, *args: Any) -> None:
        module: Any = self
        with init.skipped():  # nothing is drawn before the first batch
            super(LazyModuleMixin, module).__init__(groups, *args)  # type: ignore[call-arg]
        module._initialize_hook = module.register_forward_pre_hook(_infer, with_kwargs=True)
        dtype = module.weight.dtype
        module.in_channels = 0
        module.weight = UninitializedParameter(dtype=dtype)
        if module.bias is not None:
            module.bias = UninitializedParameter(dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, once there are parameters."""
        if not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    @no_grad()
    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Weight and bias for inputs with so many channels."""
        module: Any = self
        if not module.has_uninitialized_params():
            return
        if input.ndim not in (module.axes + 1, module.axes + 2):
            raise RuntimeError(
                f"{type(module).__name__}: Expected {module.axes + 1}D (unbatched) or"
                f" {module.axes + 2}D (batched) input, but got {input.aval}{here()}"
            )
        module.in_channels = input.shape[-module.axes - 1]
        if module.in_channels % module.groups:
            raise ValueError(
                f"{type(module).__name__}: in_channels must be divisible by groups, got"
                f" {module.in_channels} and {module.groups}{here()}"
            )
        first, second = module.out_channels, module.in_channels // module.groups
        if module.transposed:
            first, second = module.in_channels, module.out_channels // module.groups
        _materialize(module.weight, (first, second, *module.kernel_size))
        _materialize(module.bias, (module.out_channels,))
        module.reset_parameters()


class _LazyForward(_LazyConv):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._start(groups, out_channels, kernel_size, stride, padding, dilation, groups, bias,
                    padding_mode, device, dtype)  # fmt: skip


class _LazyTransposed(_LazyConv):
    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._start(groups, out_channels, kernel_size, stride, padding, output_padding, groups,
                    bias, dilation, padding_mode, device, dtype)  # fmt: skip


class LazyConv1d(_LazyForward, Conv1d):
    """Conv1d whose in_channels is the number of channels of the first batch."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """Conv2d whose in_channels is the number of channels of the first batch.

    >>> import clearprop as cp
    >>> layer = cp.nn.LazyConv2d(8, kernel_size=3)
    >>> layer(cp.zeros(1, 3, 5, 5)).shape, layer.in_channels
    ((1, 8, 3, 3), 3)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """Conv3d whose in_channels is the number of channels of the first batch."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """ConvTranspose1d whose in_channels is the number of channels of the first batch."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """ConvTranspose2d whose in_channels is the number of channels of the first batch."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """ConvTranspose3d whose in_channels is the number of channels of the first batch."""

    cls_to_become = ConvTranspose3d
