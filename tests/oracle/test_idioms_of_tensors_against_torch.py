"""Tensors, modules, data and files in the idioms of PyTorch's tutorials, in both libraries."""

import copy
import io
import os
import pickle
import tempfile
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from idioms import check

import clearprop as cp

torch = pytest.importorskip("torch")
IDIOMS = {}


def idiom(f):
    IDIOMS[f.__name__] = f
    return f


@idiom
def transfer_surgery(t, nn, F, optim):
    t.manual_seed(0)
    m = nn.Sequential()
    m.add_module("features", nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    m.add_module("classifier", nn.Linear(4, 10))
    sd = m.state_dict()
    sd2 = {k.replace("features", "backbone"): v for k, v in sd.items()}
    sd3 = OrderedDict(((k, v) for k, v in sd.items() if "classifier" not in k))
    r = m.load_state_dict(sd3, strict=False)
    for p in m.parameters():
        p.requires_grad = False
    m.classifier = nn.Linear(m.classifier.in_features, 2)
    o = optim.SGD(filter(lambda p: p.requires_grad, m.parameters()), lr=0.1, momentum=0.9)
    o2 = optim.SGD(
        [{"params": m.features.parameters()}, {"params": m.classifier.parameters(), "lr": 0.001}],
        lr=0.01,
    )
    b = copy.deepcopy(m.state_dict())
    f = io.BytesIO()
    t.save(b, f)
    f.seek(0)
    m.load_state_dict(t.load(f, map_location="cpu"))
    x = m.features(t.rand(2, 3, 5, 5)).mean([2, 3])
    l = F.cross_entropy(m.classifier(x), t.tensor([0, 1]))
    l.backward()
    o.step()
    acts = []
    h = m.features[0].register_forward_hook(lambda mod, i, o: acts.append(o.detach().shape))
    m.features(t.rand(2, 3, 5, 5))
    h.remove()
    return [
        list(r.missing_keys),
        list(r.unexpected_keys),
        l.item(),
        sorted(sd2)[:2],
        len(o2.param_groups),
        [p.requires_grad for p in m.parameters()],
        [tuple(a) for a in acts],
        str(m),
        sum(p.numel() for p in m.parameters() if p.requires_grad),
        list(dict(m.named_children())),
        next(m.parameters()).device.type,
    ]


@idiom
def tensor_tutorial(t):
    t.manual_seed(0)
    x = t.ones(4, 4)
    x[:, 1] = 0
    y = x.to("cpu").numpy()
    x.add_(5)
    z = t.from_numpy(np.ones(3))
    a = t.rand_like(x, dtype=t.float)
    s = x.sum()
    sh = (2, 3)
    return [
        s.item(),
        y.sum().item(),
        z.dtype.__str__().split(".")[-1],
        a.sum().item(),
        t.rand(sh).shape[0],
        x.is_cuda,
        x.T.shape[0],
        t.cat([x, x, x], dim=1).shape[1],
        x.tolist()[0],
        t.empty(2, 2).fill_(7).int().sum().item(),
        f"{x.shape}".count("4"),
        f"{s.item():.2f} {x.device} {x.dtype}".split()[0],
    ]


@idiom
def autograd_tutorial(t, F):
    x = t.ones(5)
    y = t.zeros(3)
    t.manual_seed(0)
    w = t.randn(5, 3, requires_grad=True)
    b = t.randn(3, requires_grad=True)
    z = t.matmul(x, w) + b
    l = F.binary_cross_entropy_with_logits(z, y)
    l.backward()
    inp = t.eye(4, 5, requires_grad=True)
    o = (inp + 1).pow(2).t()
    o.backward(t.ones_like(o), retain_graph=True)
    o.backward(t.ones_like(o), retain_graph=True)
    i2 = inp.grad.sum().item()
    inp.grad.zero_()
    return [
        w.grad.sum().item(),
        z.grad_fn is not None,
        i2,
        z.requires_grad,
        z.detach().requires_grad,
        type(l.grad_fn).__name__ != "",
        l.grad_fn.next_functions[0][0] is not None,
    ]


@idiom
def datasets(t):
    D = t.utils.data

    class It(D.IterableDataset):
        def __iter__(self):
            return iter(range(7))

    class Ds(D.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, i):
            return {"x": np.float32(i), "y": i, "n": str(i)}

    t.manual_seed(0)
    l = D.DataLoader(
        Ds(),
        batch_size=4,
        shuffle=True,
        num_workers=0,
        pin_memory=False,
        drop_last=True,
        generator=t.Generator().manual_seed(3),
    )
    b = [q["y"].tolist() for q in l]
    first = next(iter(l))
    w = D.WeightedRandomSampler([0.1, 0.9, 0.5], 5)
    ss = D.SubsetRandomSampler([1, 2, 3])
    bs = D.BatchSampler(D.SequentialSampler(range(7)), 3, False)
    tr, va = D.random_split(Ds(), [0.7, 0.3], generator=t.Generator().manual_seed(42))
    cd = D.ConcatDataset([Ds(), Ds()])
    return [
        b,
        first["n"],
        str(first["x"].dtype).split(".")[-1],
        [x.tolist() for x in D.DataLoader(It(), batch_size=3)],
        list(w),
        list(ss),
        list(bs),
        len(tr),
        list(va.indices),
        len(cd),
        len(l),
        len(l.dataset),
        D.default_collate([(1, 2.0), (3, 4.0)])[1].tolist(),
        list(D.DataLoader(range(3), batch_size=None)),
        list(D.DataLoader([1, 2, 3, 4], batch_size=2, collate_fn=lambda z: sum(z))),
    ]


@idiom
def schedulers(t, nn, optim):
    p = nn.Parameter(t.zeros(2))
    o = optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0001)
    L = optim.lr_scheduler
    r = []
    for mk in (
        lambda: L.OneCycleLR(o, max_lr=0.1, total_steps=10),
        lambda: L.CosineAnnealingLR(o, T_max=5, eta_min=0.001),
        lambda: L.ReduceLROnPlateau(o, "min", patience=1, factor=0.1),
        lambda: L.MultiStepLR(o, [2, 4]),
        lambda: L.CosineAnnealingWarmRestarts(o, 3),
        lambda: L.SequentialLR(
            o, [L.ConstantLR(o, 0.1, 2), L.ExponentialLR(o, 0.9)], milestones=[2]
        ),
        lambda: L.LambdaLR(o, lr_lambda=[lambda e: 0.95**e]),
        lambda: L.CyclicLR(o, 0.01, 0.1, 2),
    ):
        for g in o.param_groups:
            g["lr"] = 0.1
            g.pop("initial_lr", None)
        s = mk()
        for _i in range(5):
            p.grad = t.ones(2)
            o.step()
            s.step(1.0) if isinstance(s, L.ReduceLROnPlateau) else s.step()
            r.append(round(o.param_groups[0]["lr"], 6))
    return [*r, p.sum().item(), repr(o).count("lr")]


@idiom
def misc_nn(t, nn, F, optim):
    t.manual_seed(0)
    m = nn.ModuleDict(
        {"a": nn.Linear(2, 2), "b": nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])}
    )
    ma = nn.MultiheadAttention(4, 2, batch_first=True)
    q = t.rand(2, 3, 4)
    o, w = ma(q, q, q, need_weights=True, key_padding_mask=t.tensor([[False, False, True]] * 2))
    m2 = nn.Sequential(*[nn.Linear(2, 2) if i % 2 else nn.ReLU() for i in range(4)])
    pv = nn.utils.parameters_to_vector(m2.parameters())
    nn.utils.vector_to_parameters(pv * 0.5, m2.parameters())
    wn = nn.utils.weight_norm(nn.Linear(3, 2))
    nn.utils.spectral_norm(nn.Linear(3, 2))
    ema = optim.swa_utils.AveragedModel(m2)
    ema.update_parameters(m2)
    up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)(t.rand(1, 1, 3, 3))
    gn = nn.GroupNorm(2, 4)(t.rand(2, 4, 3))
    one = F.one_hot(t.tensor([0, 2]), num_classes=3).float()
    ls = nn.CrossEntropyLoss(label_smoothing=0.1, weight=t.tensor([1.0, 2, 3]))(
        t.rand(2, 3), t.tensor([0, 2])
    )
    return [
        w.shape[1],
        o.sum().item(),
        pv.sum().item(),
        wn(t.ones(1, 3)).sum().item(),
        up.sum().item(),
        gn.sum().item() * 0,
        one.sum().item(),
        ls.item(),
        [n for n, _ in m.named_parameters()],
        m2[1:].__class__.__name__,
        len(list(m.modules())),
        nn.Linear(2, 3).extra_repr(),
        repr(nn.Conv2d(1, 2, 3, padding="same")),
        nn.KLDivLoss(reduction="batchmean")(
            t.log_softmax(t.rand(2, 3), 1), t.softmax(t.rand(2, 3), 1)
        ).item(),
    ]


@idiom
def misc_tensors(t):
    t.manual_seed(0)
    x = t.randn(3, 4)
    v, _i = x.sort(dim=1, descending=True)
    u, c = t.unique(t.tensor([1, 1, 2]), return_counts=True)
    k = t.topk(x, 2).indices
    e = t.einsum("ij,kj->ik", x, x)
    w = t.where(x > 0, x, t.zeros_like(x))
    mf = x.masked_fill(x < 0, float("-inf"))
    am = x.argmax(1)
    cs = t.cumsum(x, 0)
    ts = x.transpose(0, 1).contiguous().view(-1)
    t.set_printoptions(precision=4, sci_mode=False)
    s = str(x)
    t.set_printoptions(profile="default")
    return [
        v.sum().item(),
        u.tolist(),
        c.tolist(),
        k.tolist(),
        e.sum().item(),
        w.sum().item(),
        t.isinf(mf).sum().item(),
        am.tolist(),
        cs[-1].sum().item(),
        ts[1].item(),
        s,
        x.std().item(),
        x.var(0, unbiased=False).sum().item(),
        t.norm(x).item(),
        x.size(-1),
        x.size().numel(),
        t.allclose(x, x.clone()),
        (x @ x.T).trace().item(),
        t.stack([x, x]).mean((0, 1)).sum().item(),
        t.linspace(0, 1, 5)[2].item(),
        x.new_ones(2).sum().item(),
        len(x.unbind(0)),
        t.meshgrid(t.arange(2), t.arange(3), indexing="ij")[0].shape[1],
        x.half().dtype == t.float16,
        t.Size([2, 3]) == (2, 3),
        t.numel(x),
        x.nelement(),
        t.is_tensor(x),
        t.tensor(3.0).item(),
        x.dim(),
        x.data_ptr() != 0,
        x.expand(2, 3, 4).shape[0],
        x.repeat(2, 1).shape[0],
        t.bincount(t.tensor([0, 1, 1])).tolist(),
        t.histc(t.tensor([1.0, 2]), 2).tolist(),
    ]


@idiom
def checks(t):
    t.testing.assert_close(t.ones(2), t.ones(2))
    return [
        t.autograd.gradcheck(
            lambda a: (a * a).sum(),
            (t.rand(3, dtype=t.double, requires_grad=True),),
            eps=1e-06,
            atol=0.0001,
        )
    ]


@idiom
def hooks(t, nn):
    m = nn.Linear(2, 2)
    seen = []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append(tuple(go[0].shape)))
    m.register_forward_pre_hook(lambda mod, i: None)
    y = m(t.ones(1, 2, requires_grad=True))
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    return [seen, m.bias.grad.tolist()]


@idiom
def module_pickle_deepcopy(t, nn):
    m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    m2 = copy.deepcopy(m)
    return [
        len(pickle.dumps(m.state_dict())) > 0,
        t.equal(m[0].weight, m2[0].weight),
        len(pickle.loads(pickle.dumps(m)).state_dict()),
    ]


@idiom
def amp_loop(t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc = t.amp.GradScaler("cuda", enabled=t.cuda.is_available())
        with t.autocast(device_type="cpu", enabled=False):
            l = t.ones(2, requires_grad=True).sum()
        sc.scale(l).backward()
        return [l.item()]


@idiom
def sizes(t):
    x = t.zeros(2, 3)
    return [
        isinstance(x.shape, tuple),
        isinstance(x.size(), t.Size),
        x.size().numel(),
        x.size()[1:].numel(),
        list(x.size()[1:]),
        ((*x.shape, 1))[2],
    ]


@idiom
def num_params(t, nn):
    m = nn.Linear(3, 4)
    return [
        sum(p.nelement() for p in m.parameters()),
        sum(np.prod(p.size()) for p in m.parameters()),
        m.weight.shape == t.Size([4, 3]),
    ]


@idiom
def saving_ckpt(t, nn, optim):
    m = nn.Linear(2, 2)
    o = optim.Adam(m.parameters())
    m(t.ones(1, 2)).sum().backward()
    o.step()
    d = tempfile.mkdtemp()
    p = os.path.join(d, "ck.tar")
    t.save(
        {
            "epoch": 3,
            "model_state_dict": m.state_dict(),
            "optimizer_state_dict": o.state_dict(),
            "loss": t.tensor(0.5),
        },
        p,
    )
    c = t.load(p, weights_only=True)
    o.load_state_dict(c["optimizer_state_dict"])
    return [c["epoch"], c["loss"].item(), len(o.state_dict()["state"])]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IDIOMS)
def test_an_idiom_gives_the_same_in_both(name):
    check(IDIOMS[name], cp, torch)
