"""`x.view(...)` was None: a slot of Tensor had the name of the method, which replaced the slot.

Cause: the field that keeps what a tensor is a view of was called `view`. Every new tensor wrote
None into its `__dict__` instead, over the method attached to the class.
"""

from __future__ import annotations

import clearprop as cp
from clearprop.core import Tensor
from clearprop.ops import methods

SLOTS = [name for name in Tensor.__slots__ if not name.startswith("__")]


def test_view_is_a_method():
    assert cp.arange(6).view(2, 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert cp.arange(6).view(-1, 2).shape == (3, 2)


def test_no_method_has_the_name_of_a_slot():
    assert set(SLOTS).isdisjoint(methods.NAMED)
    assert [
        name for name in SLOTS if type(vars(Tensor)[name]).__name__ != "member_descriptor"
    ] == []


def test_a_new_tensor_needs_no_dict_of_its_own():
    assert vars(cp.ones(2) + 1.0) == {}
