"""`pack_state`, `save`/`load`, JSON files: back comes what was given, or one clear error."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clearprop as cp
from clearprop import nn, optim
from clearprop.errors import DataError
from clearprop.serialization import (
    pack_state,
    read_json,
    save_safetensors,
    unpack_state,
    write_json,
)


def same(a, b):
    """Equal in type, structure and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, cp.Tensor):
        return same(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        keys = [(type(k), k) for k in a] == [(type(k), k) for k in b]
        return keys and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return a == b


ARRAYS = st.sampled_from(
    [
        np.arange(3),
        np.array(2.5),
        np.zeros((0, 2), np.float32),
        np.array([True]),
        np.arange(4.0).reshape(2, 2).T,
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | ARRAYS
    | ARRAYS.map(lambda a: cp.from_numpy(a.copy()))
)
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["tensor", "dict", "a/b", "a", "b", "0", 0, "", "/"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(STATES)
def test_packed_state_comes_back_exactly(state):
    assert same(unpack_state(*pack_state(state)), state)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(state=STATES)
def test_saved_state_comes_back_exactly(tmp_path_factory, ending, state):
    path = tmp_path_factory.mktemp("state") / f"file{ending}"
    cp.save(state, path)
    assert same(cp.load(path), state)


def test_paths_that_look_alike_do_not_mix():
    state = {"a/b": cp.zeros(1), "a": {"b": cp.ones(1)}, 0: cp.ones(2), "0": cp.zeros(2)}
    assert same(unpack_state(*pack_state(state)), state)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_keys_that_no_file_format_has_come_back(tmp_path, ending):
    keys = ["a\0b", "a\0c", "a\\b", "\ud800", "../up", "grün", "\n"]
    state = {"nested": {key: cp.full((1,), float(i)) for i, key in enumerate(keys)}}
    cp.save(state, tmp_path / f"file{ending}")
    assert same(cp.load(tmp_path / f"file{ending}"), state)


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_optimizer_and_model_continue_from_a_file_bit_for_bit(tmp_path, ending):
    def start(seed):
        cp.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        optimizer = optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
        return model, optimizer, optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 9])

    def go_on(model, optimizer, scheduler, steps):
        x = cp.from_numpy(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
        for _ in range(steps):
            optimizer.zero_grad()
            (model(x) ** 2).mean().backward()
            optimizer.step()
            scheduler.step()
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    first = start(0)
    go_on(*first, 4)
    cp.save(
        {"epoch": 4, "parts": [dict(part.state_dict()) for part in first]},
        tmp_path / f"run{ending}",
    )
    second = start(1)
    for part, state in zip(second, cp.load(tmp_path / f"run{ending}")["parts"], strict=True):
        part.load_state_dict(state)
    assert go_on(*second, 8) == go_on(*first, 8)


def test_flat_state_dict_is_written_under_its_own_names(tmp_path):
    state = nn.Linear(2, 1).state_dict()
    for ending in (".safetensors", ".npz"):
        cp.save(state, tmp_path / f"model{ending}")
    with np.load(tmp_path / "model.npz") as file:
        assert sorted(file) == ["bias", "weight"]
    assert list(cp.load(tmp_path / "model.safetensors")) == ["bias", "weight"]
    nn.Linear(2, 1).load_state_dict(cp.load(tmp_path / "model.safetensors"))


def test_numpy_numbers_become_python_numbers_and_dicts_plain():
    state = OrderedDict(a=np.float64(0.1), b=np.int64(3))
    back = unpack_state(*pack_state(state))
    assert same(back, {"a": 0.1, "b": 3})


@pytest.mark.parametrize(
    ("state", "kind", "phrase"),
    [
        ({"a": [object()]}, TypeError, "/a/0 is a object"),
        ({"a": {1.5: 0}}, TypeError, r"/a has the key 1.5, a float"),
        ({True: 0}, TypeError, "the key True, a bool"),
        ({"a": {1, 2}}, TypeError, "/a is a set"),
    ],
)
def test_other_things_are_refused_with_their_place(state, kind, phrase):
    with pytest.raises(kind, match=phrase):
        pack_state(state)


def test_state_that_contains_itself_is_refused():
    state: list = []
    state.append(state)
    with pytest.raises(ValueError, match="contains itself"):
        pack_state(state)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"tensor": "gone"}',
        '{"array": "gone"}',
        '{"what": 1}',
        '{"dict": [[[], 1]]}',
        '{"dict": 1}',
        "[" * 100_000,
    ],
    ids=range(8),
)
def test_damaged_text_is_one_clear_error(text):
    with pytest.raises(DataError, match="unpack_state"):
        unpack_state({}, text)


def test_damaged_state_in_a_file_names_the_file(tmp_path):
    path = tmp_path / "run.safetensors"
    save_safetensors(path, {}, {"clearprop.state": '{"tensor": "gone"}'})
    with pytest.raises(DataError, match=r"run.safetensors.*'gone' is missing"):
        cp.load(path)


@pytest.mark.parametrize("name", ["model.safetensor", "state.json", "model.pickle"])
def test_other_endings_are_refused_with_those_that_work(tmp_path, name):
    for call in (lambda p: cp.save({}, p), cp.load):
        with pytest.raises(ValueError, match=r"use \.safetensors, \.npz, or \.pt"):
            call(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_module_itself_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"save its state_dict\(\)"):
        cp.save(nn.Linear(1, 1), tmp_path / "model.npz")


def test_json_floats_are_exact_and_text_is_kept(tmp_path):
    value = {"x": [0.1, 5e-324, 1e308, -0.0], "n": 10**30, "t": "grün </script>", "none": None}
    write_json(tmp_path / "file", value)
    assert same(read_json(tmp_path / "file"), value)


def test_json_nan_only_when_asked_for(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(ValueError, match="allow_nan=True"):
        write_json(path, math.nan)
    assert not path.exists()
    write_json(path, [math.nan, -math.inf], allow_nan=True)
    assert same(read_json(path, allow_nan=True), [math.nan, -math.inf])
    with pytest.raises(DataError, match="NaN is no JSON"):
        read_json(path)


def test_json_mistakes_name_the_file_and_line(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"a": 1,\n"b": }')
    with pytest.raises(DataError, match=r"file: line 2, column 6") as caught:
        read_json(path)
    assert caught.value.row == 2
    path.write_bytes(b'"\xff"')
    with pytest.raises(DataError, match="not UTF-8"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        read_json(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_json(tmp_path / "none")
    with pytest.raises(TypeError, match="set is not JSON"):
        write_json(path, {1, 2})
