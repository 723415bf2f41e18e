"""Objects on disk: used again, shared by processes, never trusted blindly, never in the way."""

import os
import subprocess
import sys
import warnings

import pytest

import clearprop as cp
from clearprop.jit import cache, program
from clearprop.jit.engine import compile_text

TEXT = "define i32 @f(i32 %x) #0 {{\n  %y = add i32 %x, {n}\n  ret i32 %y\n}}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_told", set())
    with cp.flags(cache=1, cache_dir=str(tmp_path / "objects")):
        yield tmp_path / "objects"


def entries(folder):
    return sorted(folder.glob("*.o"))


def test_the_second_time_code_comes_from_disk(folder):
    assert not compile_text(TEXT.format(n=1), "f").cached
    assert compile_text(TEXT.format(n=1), "f").cached
    assert not compile_text(TEXT.format(n=2), "f").cached
    assert len(entries(folder)) == 2


def test_damaged_entries_are_built_anew_with_one_warning(folder):
    compile_text(TEXT.format(n=1), "f")
    (path,) = entries(folder)
    whole = path.read_bytes()
    with pytest.warns(RuntimeWarning, match="damaged") as told:
        for broken in (whole[:-9], b"", b"x" * len(whole), whole[:-1] + b"?"):
            path.write_bytes(broken)
            assert not compile_text(TEXT.format(n=1), "f").cached
            assert compile_text(TEXT.format(n=1), "f").cached
    assert len(told) == 1


def test_a_folder_that_others_may_write_to_is_not_used(folder):
    compile_text(TEXT.format(n=1), "f")
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others may write"):
        assert not compile_text(TEXT.format(n=1), "f").cached
    folder.chmod(0o700)


def test_a_disk_that_cannot_be_written_to_costs_one_warning(folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    with pytest.warns(RuntimeWarning, match="cannot write to the compile cache.*No space") as told:
        assert not compile_text(TEXT.format(n=1), "f").cached
        assert not compile_text(TEXT.format(n=1), "f").cached
    assert len(told) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_cache_that_is_only_for_reading_is_read(folder):
    compile_text(TEXT.format(n=1), "f")
    folder.chmod(0o500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_text(TEXT.format(n=1), "f").cached
    folder.chmod(0o700)


def test_old_entries_go_when_there_are_too_many(folder, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 3000)
    for n in range(20):
        compile_text(TEXT.format(n=n), "f")
        for i, path in enumerate(sorted(entries(folder), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, (i, i))
    assert sum(p.stat().st_size for p in entries(folder)) <= 3000
    assert compile_text(TEXT.format(n=19), "f").cached


PROCESS = """
import clearprop as cp
for n in range(6):
    f = cp.compile(lambda x, n=n: (x * float(n)).exp().sum())
    x = cp.full((5,), 0.5)
    wanted = 5 * 2.718281828 ** (0.5 * n)
    assert abs(f(x).item() - wanted) < 1e-4 * wanted
"""


def test_processes_share_a_folder_at_the_same_time(folder):
    env = {**os.environ, "CLEARPROP_CACHE": "1", "CLEARPROP_CACHE_DIR": str(folder)}
    runs = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", PROCESS], env=env) for _ in range(3)
    ]
    assert [p.wait() for p in runs] == [0, 0, 0]
    assert entries(folder) and not list(folder.glob("new-*"))


def test_a_known_graph_needs_no_schedule(folder, monkeypatch):
    def f(x, i):
        return (x.tanh() + 1).gather(1, i)

    x, i = cp.randn(3, 5), cp.tensor([[0], [4], [2]])
    wanted = cp.compile(f)(x, i)
    assert len(entries(folder)) >= 2  # the object, and its layout

    def fail(*_):
        raise AssertionError("was scheduled again")

    monkeypatch.setattr(program, "schedule", fail)
    again = cp.compile(f)
    assert again(x, i).tolist() == again(x, i).tolist() == wanted.tolist()
    with pytest.raises(AssertionError, match="scheduled again"):
        cp.compile(lambda x: x.tanh() + 2)(x)
    monkeypatch.undo()
    with pytest.raises(IndexError, match="out of range"):  # told with the help of a new schedule
        again(x, i + 3)


def test_a_layout_whose_object_is_gone_is_made_anew(folder):
    x = cp.randn(3, 5)
    wanted = cp.compile(cp.tanh)(x)
    for path in entries(folder):
        if path.stat().st_size > 2000:
            path.unlink()
    assert cp.compile(cp.tanh)(x).tolist() == wanted.tolist()
