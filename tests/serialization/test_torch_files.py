"""PyTorch's files without PyTorch: what is written comes back, and hostile files are refused."""

import io
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import DataError
from clearprop.serialization import load_torch, save_torch


def archive(path, data, entries=(), folder="archive", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as z:
        if data is not None:
            z.writestr(f"{folder}/data.pkl", data)
        for name, content in entries:
            z.writestr(f"{folder}/{name}", content)
    return path


def test_a_state_comes_back_as_it_was(tmp_path):
    net = cp.nn.Sequential(cp.nn.Linear(3, 4), cp.nn.ReLU(), cp.nn.Linear(4, 2))
    optimizer = cp.optim.Adam(net.parameters())
    net(cp.rand(5, 3)).sum().backward()
    optimizer.step()
    state = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "more": [1, -(2**70), 2.5, float("inf"), None, True, "ü\ud800", (1, (2,)), {}],
        "types": {d: cp.ones(2, 3).to(getattr(cp, d)) for d in ("float64", "float16", "int8")},
        "scalar": cp.tensor(3),
        "empty": cp.zeros(0, 3),
        "turned": cp.arange(6).reshape(2, 3).T,
        7: cp.tensor([True, False]),
        "parameter": cp.nn.Parameter(cp.ones(2)),
    }
    path = tmp_path / "state.pt"
    cp.save(state, path)
    back = cp.load(path)
    assert back["more"] == state["more"] and back[7].dtype is cp.bool
    assert back["turned"].tolist() == state["turned"].tolist()
    assert back["scalar"].shape == () and back["empty"].shape == (0, 3)
    assert isinstance(back["parameter"], cp.nn.Parameter) and back["parameter"].requires_grad
    assert all(back["types"][k].dtype is v.dtype for k, v in state["types"].items())
    net.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])
    back["scalar"].add_(1)  # memory of its own, fit to be written to


def test_tensors_that_share_memory_are_written_once(tmp_path):
    x = cp.ones(100_000)
    save_torch(tmp_path / "x.pt", {"a": x, "b": x, "c": x.detach()})
    assert (tmp_path / "x.pt").stat().st_size < 500_000
    back = load_torch(tmp_path / "x.pt")
    assert np.shares_memory(back["a"].numpy(), back["b"].numpy())


def test_what_is_no_state_is_not_written(tmp_path):
    path = tmp_path / "x.pt"
    cp.save({"a": 1}, path)
    loop = []
    loop.append(loop)
    for bad in ({"f": print}, {"a": np.ones(2)}, {(1, 2): 3}, {"s": {1, 2}}):
        with pytest.raises(TypeError, match="save: the state"):
            cp.save(bad, path)
    with pytest.raises(ValueError, match="contains itself"):
        cp.save(loop, path)
    assert cp.load(path) == {"a": 1}  # the old file is as it was


# ---------------------------------------------------------------------- hostile files
class Runs:
    """A gadget: unpickling it would call `function(*args)`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def gadget(function, *args, protocol=2):
    return pickle.dumps({"w": Runs(function, *args)}, protocol)


def tensor_pickle(numel=6, size=(2, 3), stride=(3, 1), offset=0, kind="FloatStorage", key="0"):
    """data.pkl of {"w": tensor}, with the claims given."""

    def put(value):
        if isinstance(value, tuple):
            return b"(" + b"".join(map(put, value)) + b"t"
        if isinstance(value, str):
            return b"X" + struct.pack("<I", len(value)) + value.encode()
        raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    return (
        b"\x80\x02}" + put("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + put("storage") + b"ctorch\n" + kind.encode() + b"\n" + put(key) + put("cpu") + put(numel)
        + b"tQ" + put(offset) + put(size) + put(stride) + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


GOOD = np.arange(6, dtype="<f4").tobytes()


def hostile(folder, canary):
    """20 files and more, by what is wrong with them."""
    touch = f"open({str(canary)!r}, 'w')"
    loose = {
        "os.system": gadget(os.system, f"touch {canary}"),
        "eval": gadget(eval, touch),
        "exec, protocol 4": gadget(exec, touch, protocol=4),
        "getattr": gadget(getattr, "x", "upper"),
        "subprocess": gadget(subprocess.Popen, ["touch", str(canary)]),
        "builtin open": gadget(open, str(canary), "w"),
        "numpy object": pickle.dumps(np.array([1, None], object), 2),
        "a class of the user's": pickle.dumps({"m": OrderedDict, "x": io.BytesIO}, 2),
        "build runs setstate": b"\x80\x02cbuiltins\nprint\n}b.",
        "inst": b"(S'touch'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch'\no.",
        "newobj": b"\x80\x02cio\nBytesIO\n)\x81.",
        "extension": b"\x80\x02\x82\x01.",
        "torch's own loader": b"\x80\x02ctorch\nload\n(X\x01\x00\x00\x00xtR.",
        "called storage": b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R.",
        "persistent id that is none": b"\x80\x02X\x01\x00\x00\x00xQ.",
        "no end": b"\x80\x02}",
        "stack underflow": b"\x80\x02tR.",
        "text of 4 GB": b"\x80\x02X\xff\xff\xff\xffx.",
        "memo far away": b"\x80\x02}r\xff\xff\xff\x7f0h\x05.",
        "a million lists": b"\x80\x02(" + b"]" * 1_100_000 + b"l.",
        "exponential hash": b"\x80\x02}(" + b")" + b"2\x86" * 60 + b"K\x01u.",
        "deeply nested": b"\x80\x02" + b"]" * 600_000 + b"a" * 599_999 + b".",
    }
    files = {k: archive(folder / f"{i}.pt", v) for i, (k, v) in enumerate(loose.items())}
    tensors = {
        "size beyond the storage": tensor_pickle(size=(2, 300)),
        "stride beyond the storage": tensor_pickle(stride=(3000, 1)),
        "offset beyond the storage": tensor_pickle(offset=3),
        "negative stride": tensor_pickle(stride=(-3, 1)),
        "negative size": tensor_pickle(size=(-2, 3)),
        "size and stride of other lengths": tensor_pickle(size=(2, 3), stride=(1,)),
        "a terabyte by stride 0": tensor_pickle(size=(1 << 20, 1 << 20), stride=(0, 0)),
        "storage larger than its bytes": tensor_pickle(numel=1 << 40),
        "storage of another type": tensor_pickle(kind="DoubleStorage"),
        "storage that is missing": tensor_pickle(key="../0"),
        "unknown type of storage": tensor_pickle(kind="ComplexFloatStorage"),
    }
    for i, (k, v) in enumerate(tensors.items()):
        files[k] = archive(folder / f"t{i}.pt", v, [("data/0", GOOD)])
    good = archive(folder / "good.pt", tensor_pickle(), [("data/0", GOOD)]).read_bytes()
    whole = {
        "cut in half": good[: len(good) // 2],
        "no zip": b"PK\x03\x04 nothing",
        "empty": b"",
        "an old pickle": pickle.dumps(0x1950A86A20F9469CFC6C, 2),
    }
    for i, (k, v) in enumerate(whole.items()):
        files[k] = folder / f"w{i}.pt"
        files[k].write_bytes(v)
    files["zip bomb"] = archive(
        folder / "b.pt",
        tensor_pickle(numel=1 << 26),
        [("data/0", bytes(1 << 28))],
        compression=zipfile.ZIP_DEFLATED,
    )
    files["no data.pkl"] = archive(folder / "n.pt", None, [("data/0", GOOD)])
    files["flipped byte"] = folder / "f.pt"
    at = good.index(GOOD)
    files["flipped byte"].write_bytes(good[: at + 3] + b"\xff" + good[at + 4 :])
    return files


def test_the_file_that_the_hostile_ones_are_made_from_is_read(tmp_path):
    path = archive(tmp_path / "good.pt", tensor_pickle(), [("data/0", GOOD)])
    assert load_torch(path)["w"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    expanded = tensor_pickle(size=(4, 3), stride=(0, 1))
    path = archive(tmp_path / "expanded.pt", expanded, [("data/0", GOOD)])
    assert load_torch(path)["w"].shape == (4, 3)
    half = np.array([1.5, -2.0], "<f4").view("<u2")[1::2].tobytes()
    path = archive(
        tmp_path / "half.pt", tensor_pickle(2, (2,), (1,), kind="BFloat16Storage"),
        [("data/0", half)],
    )  # fmt: skip
    assert load_torch(path)["w"].tolist() == [1.5, -2.0]


def test_hostile_files_are_refused_without_running_anything(tmp_path):
    canary = tmp_path / "ran"
    files = hostile(tmp_path, canary)
    assert len(files) >= 20
    for what, path in files.items():
        with pytest.raises(DataError, match="load: "):
            load_torch(path)
            pytest.fail(f"{what} was read")
        assert not canary.exists(), what


def test_a_name_in_the_file_is_named_in_the_error(tmp_path):
    path = archive(tmp_path / "x.pt", gadget(os.system, "true"))
    with pytest.raises(
        DataError, match=r"the file names (posix|nt|os)\.system.*save model.state_dict"
    ):
        load_torch(path)


@pytest.mark.skipif(sys.platform == "win32", reason="resource is Unix's")
def test_hostile_files_take_little_memory(tmp_path):
    files = hostile(tmp_path, tmp_path / "ran")
    program = """
        import resource, sys
        from clearprop.serialization import load_torch
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in sys.argv[1:]:
            try:
                load_torch(path)
            except ValueError:
                pass
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, files.values())],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(out.stdout) < 256


def test_open_files_are_written_and_read():
    file = io.BytesIO()
    cp.save({"w": cp.arange(3)}, file)
    file.seek(0)
    assert cp.load(file)["w"].tolist() == [0, 1, 2]
    file.seek(0)
    file.truncate(100)
    with pytest.raises(cp.errors.DataError, match="no zip archive"):
        cp.load(file)


@pytest.mark.parametrize("name", ["model", "best.ckpt", "checkpoint.pth.tar", "mlp.params"])
def test_files_have_the_names_that_people_give_them(tmp_path, name):
    cp.save({"w": cp.ones(2)}, tmp_path / name)
    assert load_torch(tmp_path / name)["w"].tolist() == cp.load(tmp_path / name)["w"].tolist()


def test_options_of_pytorch_are_taken(tmp_path):
    path = tmp_path / "x.pt"
    cp.save({"w": cp.ones(2)}, path, pickle_protocol=2, _use_new_zipfile_serialization=True)
    for place in (None, "cpu", cp.device("cpu"), {"cuda:0": "cpu"}, lambda storage, loc: storage):
        assert cp.load(path, map_location=place, weights_only=True, mmap=False)["w"].sum() == 2
    with pytest.raises(AssertionError, match="load: device 'cuda' is not there"):
        cp.load(path, map_location="cuda")
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight_only'"):
        cp.load(path, weight_only=True)
    with pytest.raises(AttributeError, match="'seek'"):
        cp.load(3)
