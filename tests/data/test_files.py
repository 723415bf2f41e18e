"""IDX, CIFAR-10 and .npz files, whole and broken."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import read_cifar10, read_idx, read_npz
from clearprop.errors import DataError

IDX_CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(a):
    code = IDX_CODES[a.dtype.str[1:]]
    head = struct.pack(f">BBBB{a.ndim}I", 0, 0, code, a.ndim, *a.shape)
    return head + a.astype(a.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def write(tmp_path):
    def written(content, name="file"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written


def caught(read, path):
    with pytest.raises(DataError) as info:
        read(path)
    assert str(path) in str(info.value)
    assert str(info.value).startswith(read.__name__)
    assert info.value.path == path
    return info.value


# ---------------------------------------------------------------------- IDX
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", IDX_CODES)
def test_idx_gives_back_the_array(write, kind, packed):
    a = np.array([[[1, 2], [3, 4], [5, 100]]]).astype(kind)
    path = write(gzip.compress(idx(a)) if packed else idx(a))
    t = read_idx(path)
    assert (t.shape, t.dtype.np) == (a.shape, a.dtype)
    assert np.array_equal(t.numpy(), a)


def test_idx_may_be_written_to(write):
    t = read_idx(write(idx(np.zeros(3, dtype="u1"))))
    t.numpy()[0] = 7
    assert t.tolist() == [7, 0, 0]


def test_idx_may_hold_nothing(write):
    assert read_idx(write(idx(np.zeros((0, 28, 28), dtype="u1")))).shape == (0, 28, 28)


GOOD = idx(np.arange(24, dtype="u1").reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is cut off: the 4-byte header has 4 bytes, the file ends after 0"),
        (GOOD[:3], "it is cut off"),
        (GOOD[:10], "it is cut off: the 3 sizes"),
        (GOOD[:-1], "the header promises [2, 3, 4] uint8, 24 bytes, but the file can hold"),
        (GOOD + b"x", "the file goes on after [2, 3, 4] uint8"),
        (b"PK" + GOOD[2:], "not an IDX file: it begins with 50 4b"),
        (b"\0\0\x07" + GOOD[3:], "unknown type code 0x07"),
        (b"\0\0\x08\0", "0 dimensions"),
        (gzip.compress(GOOD, mtime=0)[:-9], "gzipped file is cut off or damaged"),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "gzipped file is cut off or damaged"),
        (gzip.compress(GOOD[:-1], mtime=0), "it is cut off: [2, 3, 4] uint8 has 24 bytes"),
        (gzip.compress(GOOD + b"x", mtime=0), "the file goes on"),
        (gzip.compress(b"", mtime=0), "it is cut off"),
    ],
)
def test_a_broken_idx_file(write, content, words):
    assert words in str(caught(read_idx, write(content)))


@pytest.mark.parametrize("packed", [False, True])
def test_idx_takes_no_memory_for_what_it_cannot_hold(write, packed):
    liar = struct.pack(">BBBB4I", 0, 0, 14, 4, *[0xFFFFFFFF] * 4) + b"\0" * 64
    error = caught(read_idx, write(gzip.compress(liar) if packed else liar))
    assert "4294967295" in str(error)


@pytest.mark.parametrize("read", [read_idx, read_cifar10, read_npz])
def test_a_file_that_is_not_there(tmp_path, read):
    assert "No such file" in str(caught(read, tmp_path / "none"))


# ---------------------------------------------------------------------- CIFAR-10
def cifar(labels):
    records = np.random.default_rng(0).integers(0, 256, (len(labels), 3073), dtype=np.uint8)
    records[:, 0] = labels
    return records


def test_cifar_gives_pictures_and_labels(write):
    records = cifar([3, 9])
    x, y = read_cifar10(write(records.tobytes()))
    assert (x.shape, x.dtype) == ((2, 3, 32, 32), cp.uint8)
    assert (y.tolist(), y.dtype) == ([3, 9], cp.int64)
    # The second colour, third row, fourth column.
    assert x.numpy()[1, 1, 2, 3] == records[1, 1 + 1024 + 2 * 32 + 3]


def test_cifar_files_are_put_together(write):
    paths = [write(cifar(labels).tobytes(), f"{labels}") for labels in ([1, 2], [3])]
    x, y = read_cifar10(paths)
    assert len(x) == 3
    assert y.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "row", "words"),
    [
        (b"", 1, "0 records"),
        (cifar([1, 2]).tobytes()[:-1], 2, "1 records of 3073 bytes and 3072 bytes more"),
        (cifar([1, 10]).tobytes(), 2, "record 2 has label 10, wanted 0 to 9"),
    ],
)
def test_a_broken_cifar_file(write, content, row, words):
    error = caught(read_cifar10, write(content))
    assert error.row == row
    assert words in str(error)


# ---------------------------------------------------------------------- .npz
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_gives_back_the_arrays(tmp_path, save):
    arrays = {
        "x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">i4"),
        "scalar": np.array(7),
        "nothing": np.zeros((0, 2)),
        "flags": np.array([True, False]),
        "half": np.ones(2, np.float16),
    }
    save(tmp_path / "t.npz", **arrays)
    got = read_npz(tmp_path / "t.npz")
    assert list(got) == list(arrays)
    for name, a in arrays.items():
        assert np.array_equal(got[name].numpy(), a)
        assert got[name].numpy().dtype == a.dtype.newbyteorder("=")


def test_npz_widens_unsigned_integers(tmp_path):
    np.savez(tmp_path / "t.npz", a=np.array([65535], np.uint16), b=np.array([2**32 - 1], np.uint32))
    got = read_npz(tmp_path / "t.npz")
    assert (got["a"].dtype, got["a"].tolist()) == (cp.int32, [65535])
    assert (got["b"].dtype, got["b"].tolist()) == (cp.int64, [2**32 - 1])


class Bomb:
    """Would be noticed if it were ever unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([Bomb()], dtype=object), "Python objects, which only pickle could read"),
        (np.array(["text"]), "dtype <U4"),
        (np.array([1j]), "dtype complex128"),
        (np.array([1], np.uint64), "dtype uint64"),
        (np.array(["2024-01-01"], "M8[D]"), "dtype datetime64"),
    ],
)
def test_npz_of_something_else_raises(tmp_path, array, words):
    np.savez(tmp_path / "t.npz", a=array, allow_pickle=True)
    error = caught(read_npz, tmp_path / "t.npz")
    assert words in str(error)
    assert "a" in str(error)


def npy(header_of, values):
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": header_of}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + values


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy((10**12,), b"\0" * 16), "promises [1000000000000] float64, 8000000000000 bytes"),
        (npy((2,), b"\0" * 15), "16 bytes, but 15 follow"),
        (npy((2,), b"\0" * 17), "16 bytes, but 17 follow"),
        (npy((-2,), b""), "promises [-2]"),
        (b"\x93NUMPY\x01\x00\x02\x00{}", "broken header"),
        (b"not an array", "broken header"),
        (b"\x93NUMPY\x09\x00", "version (9, 0)"),
    ],
)
def test_npz_with_a_broken_array(tmp_path, content, words):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    assert words in str(caught(read_npz, path))


def test_npz_that_is_cut_off(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.arange(1000))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:-100])
    assert "not a readable .npz file" in str(caught(read_npz, tmp_path / "cut.npz"))


def test_npz_with_a_flipped_byte(tmp_path):
    np.savez_compressed(tmp_path / "t.npz", x=np.random.default_rng(0).normal(size=1000))
    data = bytearray((tmp_path / "t.npz").read_bytes())
    data[3000] ^= 0xFF
    (tmp_path / "bad.npz").write_bytes(data)
    assert "not a readable .npz file" in str(caught(read_npz, tmp_path / "bad.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"x,y\n1,2\n"])
def test_npz_that_is_none(write, content):
    assert "not a readable .npz file" in str(caught(read_npz, write(content)))


def test_npz_without_arrays(tmp_path):
    zipfile.ZipFile(tmp_path / "t.npz", "w").close()
    assert "holds no arrays" in str(caught(read_npz, tmp_path / "t.npz"))


def packed(save):
    stream = io.BytesIO()
    save(stream, x=np.arange(60.0).reshape(3, 20), y=np.arange(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (read_idx, GOOD),
        (read_idx, gzip.compress(GOOD, mtime=0)),
        (read_npz, packed(np.savez)),
        (read_npz, packed(np.savez_compressed)),
    ],
    ids=["idx", "idx.gz", "npz", "npz compressed"],
)
def test_whatever_is_in_the_file_it_is_an_array_or_one_clear_error(tmp_path, read, whole):
    random = np.random.default_rng(0)
    path = tmp_path / "file"
    for _ in range(200):
        spoilt = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at = random.integers(len(spoilt))
            spoilt[at] = random.choice([0, 1, 128, 255])
            if random.random() < 0.3:
                del spoilt[at : at + random.integers(8)]
        path.write_bytes(spoilt)
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)
