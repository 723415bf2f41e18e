"""PyTorch reads what clearprop writes, and the reverse."""

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")


def nets(lib):
    lib.manual_seed(3)
    net = lib.nn.Sequential(lib.nn.Linear(4, 5), lib.nn.Tanh(), lib.nn.Linear(5, 2))
    optimizer = lib.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (net(lib.ones(2, 4)) ** 2).sum().backward()
        optimizer.step()
    return net, optimizer


def same(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert ours == theirs


STATES = {
    "types": lambda lib: {
        name: lib.arange(5).to(getattr(lib, name))
        for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8")
    },
    "bools, scalars, empty": lambda lib: [lib.tensor(True), lib.tensor(2.5), lib.zeros(0, 3)],
    "views": lambda lib: {"t": lib.arange(6).reshape(2, 3).T, "row": lib.arange(9)[3:6]},
    "plain values": lambda lib: {"a": [1, -5, 2**40, 1.5, None, True, "ü"], 3: (1, (2, 3))},
    "parameter": lambda lib: lib.nn.Parameter(lib.ones(3)),
}


@pytest.mark.parametrize("name", STATES)
def test_both_ways(tmp_path, name):
    ours, theirs = STATES[name](cp), STATES[name](torch)
    cp.save(ours, tmp_path / "ours.pt")
    same(ours, torch.load(tmp_path / "ours.pt", weights_only=True))
    torch.save(theirs, tmp_path / "theirs.pt")
    same(cp.load(tmp_path / "theirs.pt"), theirs)


def test_weights_and_optimizers_go_both_ways(tmp_path):
    net, optimizer = nets(torch)
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    mine, mine_optimizer = nets(cp)
    state = cp.load(tmp_path / "a.pth")
    mine.load_state_dict(state["net"])
    mine_optimizer.load_state_dict(state["optimizer"])
    cp.save(
        {"net": mine.state_dict(), "optimizer": mine_optimizer.state_dict()}, tmp_path / "b.pth"
    )
    back = torch.load(tmp_path / "b.pth", weights_only=True)
    other, other_optimizer = nets(torch)
    other.load_state_dict(back["net"])
    other_optimizer.load_state_dict(back["optimizer"])
    same(state["net"], other.state_dict())
    for lib, model, opt in ((cp, mine, mine_optimizer), (torch, other, other_optimizer)):
        opt.zero_grad()
        (model(lib.ones(2, 4)) ** 2).sum().backward()
        opt.step()
    for p, q in zip(mine.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6)


def test_bfloat16_and_a_whole_model(tmp_path):
    torch.save({"w": torch.tensor([1.5, -3.0], dtype=torch.bfloat16)}, tmp_path / "h.pt")
    assert cp.load(tmp_path / "h.pt")["w"].tolist() == [1.5, -3.0]
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        cp.load(tmp_path / "m.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="save it again"):
        cp.load(tmp_path / "old.pt")
