"""safetensors and `.npz`: what comes back, and files that are cut off, damaged or hostile."""

from __future__ import annotations

import json
import os
import tracemalloc

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DataError
from clearprop.serialization import load_npz, load_safetensors, save_npz, save_safetensors

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


def through_safetensors(path, tensors):
    save_safetensors(path, tensors)
    return load_safetensors(path)[0]


def through_npz(path, tensors):
    save_npz(path, tensors)
    return load_npz(path)


FORMATS = pytest.mark.parametrize("through", [through_safetensors, through_npz])


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3)])
def test_every_dtype_and_shape_comes_back(tmp_path, through, dtype, shape):
    a = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    b = through(tmp_path / "file", {"layer.0/w": a, "file": cp.from_numpy(a)})
    for t in (b["layer.0/w"], b["file"]):
        assert t.shape == shape
        assert t.numpy().dtype == a.dtype
        assert t.numpy().tobytes() == a.tobytes()


@FORMATS
def test_ugly_numbers_come_back_bit_for_bit(tmp_path, through):
    a = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 0.1, 1.7976931348623157e308])
    assert through(tmp_path / "file", {"a": a})["a"].numpy().tobytes() == a.tobytes()


@FORMATS
@pytest.mark.parametrize(
    "a",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6.0)[::-2],
        np.broadcast_to(1.5, (2, 2)),
        np.arange(3, dtype=">i4"),
    ],
    ids=["transposed", "reversed", "broadcast", "big-endian"],
)
def test_strides_and_byte_order_do_not_matter(tmp_path, through, a):
    assert through(tmp_path / "file", {"a": a})["a"].tolist() == a.tolist()


@FORMATS
def test_what_is_loaded_can_be_written_to_and_needs_no_gradient(tmp_path, through):
    t = through(tmp_path / "file", {"a": cp.ones(2, requires_grad=True)})["a"]
    t.add_(1)
    assert t.tolist() == [2.0, 2.0]
    assert not t.requires_grad


@FORMATS
def test_same_tensors_give_the_same_bytes(tmp_path, through):
    for name in ("one", "two"):
        through(tmp_path / name, {"b": cp.ones(2), "a": cp.zeros(3)})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_metadata_comes_back(tmp_path):
    save_safetensors(tmp_path / "file", {}, {"note": 'grün\n"quoted"'})
    assert load_safetensors(tmp_path / "file") == ({}, {"note": 'grün\n"quoted"'})


@FORMATS
@pytest.mark.parametrize(
    "value", [1.0, [1.0], "text", np.array([1j]), np.array(["a"]), np.array([{}])]
)
def test_other_values_are_refused_and_the_old_file_stays(tmp_path, through, value):
    path = tmp_path / "file"
    through(path, {"a": np.ones(1)})
    before = path.read_bytes()
    with pytest.raises(TypeError, match="'bad'"):
        through(path, {"good": np.ones(1), "bad": value})
    assert path.read_bytes() == before


def test_name_that_a_zip_file_would_change_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot hold the name"):
        save_npz(tmp_path / "file", {"a\0b": np.ones(1)})
    assert not list(tmp_path.iterdir())


def test_reserved_name_and_metadata_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'__metadata__'"):
        save_safetensors(tmp_path / "file", {"__metadata__": np.ones(1)})
    with pytest.raises(TypeError, match="'epoch': int"):
        save_safetensors(tmp_path / "file", {}, {"epoch": 3})


@pytest.mark.parametrize(
    ("save", "load"), [(save_safetensors, load_safetensors), (save_npz, load_npz)]
)
def test_file_that_is_cut_off_anywhere_is_one_clear_error(tmp_path, save, load):
    path = tmp_path / "file"
    save(path, {"a": np.arange(9.0), "b": np.ones((2, 2), np.float32)})
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(DataError, match=str(path)):
            load(path)


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8 + b"{}",
        (2**62).to_bytes(8, "little"),
        file_of(b"no json"),
        file_of(b"\xff\xfe"),
        file_of({"a": 1}),
        file_of({"a": entry(shape=(2**40, 2**40))}, b"\0" * 8),
        file_of({"a": entry(shape=(2**30,), offsets=(0, 2**32))}, b"\0" * 8),
        file_of({"a": entry(offsets=(8, 0))}, b"\0" * 8),
        file_of({"a": entry(shape=(3,))}, b"\0" * 8),
        file_of({"a": entry(), "b": entry()}, b"\0" * 8),
        file_of({"a": entry()}, b"\0" * 9),
        file_of({"a": entry(dtype="F31")}, b"\0" * 8),
        file_of({"a": entry(dtype="BF16", shape=(4,))}, b"\0" * 8),
        file_of({"a": entry(dtype="U64", shape=(1,))}, b"\0" * 8),
    ],
    ids=str,
)
def test_damaged_or_hostile_header_is_one_clear_error_without_the_memory(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=str(path)):
        load_safetensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_dtype_that_no_tensor_has_is_named(tmp_path):
    (tmp_path / "file").write_bytes(file_of({"a": entry(dtype="BF16", shape=(4,))}, b"\0" * 8))
    with pytest.raises(DataError, match="'a' has dtype BF16, which no tensor has"):
        load_safetensors(tmp_path / "file")


@pytest.mark.parametrize("load", [load_safetensors, load_npz])
def test_missing_file_and_folder_are_clear_errors(tmp_path, load):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match=str(path)):
            load(path)


def test_pickled_objects_in_npz_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was run"),)

    np.savez(tmp_path / "file.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="pickle"):
        load_npz(tmp_path / "file.npz")
    assert not (tmp_path / "was run").exists()


def test_npz_is_readable_by_numpy_and_back(tmp_path):
    save_npz(tmp_path / "file.npz", {"a": cp.arange(3)})
    with np.load(tmp_path / "file.npz", allow_pickle=False) as file:
        assert file["a"].tolist() == [0, 1, 2]
    np.savez_compressed(tmp_path / "numpy.npz", a=np.arange(3))
    assert load_npz(tmp_path / "numpy.npz")["a"].tolist() == [0, 1, 2]
