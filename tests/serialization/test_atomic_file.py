"""Writing that is all or nothing, also when the disk is full or the block fails."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from clearprop.serialization import atomic_file, atomic_write


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("before", [None, b"old"])
def test_file_is_replaced_and_nothing_else_is_left(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_error_in_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_is_one_error_and_keeps_the_old_file(tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        atomic_write(path, b"new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_missing_folder_names_the_users_file(tmp_path):
    path = tmp_path / "no" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write(path, b"new")
    assert caught.value.filename == str(path)


def test_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic_write(tmp_path / "folder", b"new")
    assert names(tmp_path) == ["folder"]


def test_error_of_another_file_in_the_block_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_file(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_link_stays_a_link_and_the_mode_stays(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="a device of POSIX")
def test_device_is_written_to_directly():
    atomic_write("/dev/null", b"new")
    assert not os.path.isfile("/dev/null")


def test_folder_is_synced_after_the_rename(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (seen.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("replace"), replace(a, b)))
    atomic_write(tmp_path / "file", b"new")
    assert seen == ([False, "replace", True] if os.name == "posix" else [False, "replace"])
