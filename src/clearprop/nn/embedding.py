"""Tables whose rows are learned: Embedding, EmbeddingBag."""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Parameter, Tensor
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module


class _Table(Module):
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        freeze: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            assert -num_embeddings <= padding_idx < num_embeddings, (
                f"{type(self).__name__}: Padding_idx must be within num_embeddings, got"
                f" {padding_idx} for {num_embeddings} rows"
            )
            padding_idx %= num_embeddings
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if weight is None:
            empty = ops.empty(num_embeddings, embedding_dim, dtype=dtype, device=device)
            self.weight = Parameter(empty, requires_grad=not freeze)
            self.reset_parameters()
            return
        assert weight.shape == (num_embeddings, embedding_dim), (
            f"{type(self).__name__}: Shape of weight does not match num_embeddings and"
            f" embedding_dim: {weight.aval}, wanted ({num_embeddings}, {embedding_dim})"
        )
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """N(0, 1), and zeros in the padding row."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def extra_repr(self) -> str:
        options = {
            "padding_idx": (self.padding_idx, None),
            "max_norm": (self.max_norm, None),
            "norm_type": (self.norm_type, 2.0),
            "scale_grad_by_freq": (self.scale_grad_by_freq, False),
            "sparse": (self.sparse, False),
        }
        shown = [f"{name}={value}" for name, (value, usual) in options.items() if value != usual]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *shown])


def _matrix(name: str, embeddings: Tensor) -> tuple[int, int]:
    assert embeddings.ndim == 2, (
        f"{name}.from_pretrained: Embeddings parameter is expected to be 2-dimensional, got"
        f" {embeddings.aval}"
    )
    rows, columns = embeddings.shape
    return rows, columns


class Embedding(_Table):
    """y[...] = weight[x[...]];  x: whole numbers (...), weight: (num_embeddings, embedding_dim),
    y: (..., embedding_dim). Initial weight: N(0, 1), zeros in the row padding_idx, which gets no
    gradient. `sparse` is accepted; gradients are dense always.

    >>> import clearprop as cp
    >>> cp.nn.Embedding(10, 3)(cp.tensor([[1, 2], [4, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, _weight, _freeze, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding over the rows of a tensor, not trained unless freeze=False.

        >>> import clearprop as cp
        >>> cp.nn.Embedding.from_pretrained(cp.tensor([[1.0], [2.0]]))(cp.tensor(1))
        tensor([2.])
        """
        return cls(
            *_matrix("Embedding", embeddings),
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )


class EmbeddingBag(_Table):
    """The sum, mean or maximum (`mode`) of the rows of each bag of numbers: x (B, L) holds B bags;
    x (N) holds them one after the other, bag b beginning at offsets[b]. y: (B, embedding_dim).

    >>> import clearprop as cp
    >>> cp.nn.EmbeddingBag(10, 3, mode="sum")(cp.tensor([1, 2, 4]), cp.tensor([0, 2])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, _weight, False, device, dtype,
        )  # fmt: skip
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        options = {
            "max_norm": (self.max_norm, None),
            "norm_type": (self.norm_type, 2.0),
            "scale_grad_by_freq": (self.scale_grad_by_freq, False),
            "mode": (repr(self.mode), None),
            "padding_idx": (self.padding_idx, None),
        }
        shown = [f"{name}={value}" for name, (value, usual) in options.items() if value != usual]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *shown])

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """An EmbeddingBag over the rows of a tensor, not trained unless freeze=False."""
        bag = cls(
            *_matrix("EmbeddingBag", embeddings),
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=embeddings,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        bag.weight.requires_grad = not freeze
        return bag
