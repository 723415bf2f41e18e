"""Models and training loops as PyTorch's tutorials write them give the same in both libraries."""

import math
from collections import deque

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
def mnist(t, nn, F, optim):

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 4, 3, 1)
            self.conv2 = nn.Conv2d(4, 8, 3, 1)
            self.dropout1 = nn.Dropout(0.0)
            self.dropout2 = nn.Dropout2d(0.0)
            self.fc1 = nn.Linear(8 * 4 * 4 * 4 // 4, 16)
            self.fc2 = nn.Linear(16, 10)

        def forward(self, x):
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = self.dropout1(x)
            x = t.flatten(x, 1)
            x = F.relu(self.fc1(x))
            x = self.dropout2(x.unsqueeze(-1)).squeeze(-1)
            return F.log_softmax(self.fc2(x), dim=1)

    t.manual_seed(1)
    m = Net().to(t.device("cpu"))
    o = optim.Adadelta(m.parameters(), lr=1.0)
    s = optim.lr_scheduler.StepLR(o, step_size=1, gamma=0.7)
    x = t.rand(16, 1, 12, 12)
    y = t.randint(0, 10, (16,))
    ls = []
    for _e in range(3):
        m.train()
        o.zero_grad()
        l = F.nll_loss(m(x), y)
        l.backward()
        o.step()
        s.step()
        ls.append(l.item())
    m.eval()
    with t.no_grad():
        p = m(x)
        tl = F.nll_loss(p, y, reduction="sum").item()
        pred = p.argmax(dim=1, keepdim=True)
        c = pred.eq(y.view_as(pred)).sum().item()
    return [*ls, tl, c]


@idiom
def time_sequence(t, nn, optim):
    t.manual_seed(0)

    class S(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1 = nn.LSTMCell(1, 6)
            self.l2 = nn.LSTMCell(6, 6)
            self.lin = nn.Linear(6, 1)

        def forward(self, input, future=0):
            outs = []
            h = t.zeros(input.size(0), 6, dtype=t.double)
            c = t.zeros(input.size(0), 6, dtype=t.double)
            h2 = t.zeros(input.size(0), 6, dtype=t.double)
            c2 = t.zeros(input.size(0), 6, dtype=t.double)
            for i in input.split(1, dim=1):
                h, c = self.l1(i, (h, c))
                h2, c2 = self.l2(h, (h2, c2))
                o = self.lin(h2)
                outs += [o]
            for _ in range(future):
                h, c = self.l1(o, (h, c))
                h2, c2 = self.l2(h, (h2, c2))
                o = self.lin(h2)
                outs += [o]
            return t.cat(outs, dim=1)

    d = np.sin(np.arange(20) / 3.0 + np.arange(3)[:, None])
    x = t.from_numpy(d[:, :-1])
    y = t.from_numpy(d[:, 1:])
    s = S()
    s.double()
    cr = nn.MSELoss()
    op = optim.LBFGS(s.parameters(), lr=0.8)
    ls = []
    for _i in range(2):

        def closure():
            op.zero_grad()
            l = cr(s(x), y)
            ls.append(l.item())
            l.backward()
            return l

        op.step(closure)
    with t.no_grad():
        p = s(x, future=5)
        ls.append(float(p.detach().numpy().sum()))
    return ls[:6] + ls[-1:]


@idiom
def wordlm_transformer(t, nn, F):
    t.manual_seed(0)

    class PE(nn.Module):
        def __init__(self, d, max_len=50):
            super().__init__()
            pe = t.zeros(max_len, d)
            pos = t.arange(0, max_len, dtype=t.float).unsqueeze(1)
            div = t.exp(t.arange(0, d, 2).float() * (-math.log(10000.0) / d))
            pe[:, 0::2] = t.sin(pos * div)
            pe[:, 1::2] = t.cos(pos * div)
            pe = pe.unsqueeze(0).transpose(0, 1)
            self.register_buffer("pe", pe)

        def forward(self, x):
            return x + self.pe[: x.size(0), :]

    enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2)
    pe = PE(8)
    e = nn.Embedding(11, 8)
    dec = nn.Linear(8, 11)
    src = t.randint(0, 11, (7, 3))
    mask = t.log(t.tril(t.ones(7, 7)))
    mask2 = nn.Transformer.generate_square_subsequent_mask(7)
    o = dec(enc(pe(e(src) * math.sqrt(8)), mask=mask2))
    o2 = F.log_softmax(dec(enc(pe(e(src) * math.sqrt(8)), mask)), dim=-1)
    l = F.nll_loss(o2.view(-1, 11), src.view(-1))
    l.backward()
    ps = list(enc.parameters())
    with t.no_grad():
        for p in ps:
            p.data.add_(p.grad, alpha=-0.5)
    return [o.sum().item(), l.item(), float(sum(p.abs().sum() for p in ps))]


@idiom
def reinforce(t, nn):
    t.manual_seed(0)
    pol = nn.Sequential(
        nn.Linear(4, 8), nn.Dropout(p=0.0), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(dim=1)
    )
    lp = []
    for i in range(6):
        s = t.from_numpy(np.ones(4, dtype=np.float32) * i).unsqueeze(0)
        m = t.distributions.Categorical(pol(s))
        a = m.sample()
        lp.append(m.log_prob(a))
    R = deque([1.0, 2, 3, 4, 5, 6])
    R = t.tensor(R)
    R = (R - R.mean()) / (R.std() + np.finfo(np.float32).eps.item())
    l = t.cat([-p * r for p, r in zip(lp, R, strict=False)]).sum()
    l.backward()
    return [l.item(), pol[0].weight.grad.norm().item(), m.entropy().item()]


@idiom
def siamese(t, nn, F):
    t.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4)
    )

    def init(m):
        if isinstance(m, nn.Linear):
            t.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    net.apply(init)
    a, b = (t.rand(3, 1, 8, 8), t.rand(3, 1, 8, 8))
    o1, o2 = (net(a), net(b))
    y = t.tensor([1.0, 0, 1])
    d = F.pairwise_distance(o1, o2)
    cl = t.mean((1 - y) * t.pow(d, 2) + y * t.pow(t.clamp(2.0 - d, min=0.0), 2))
    tl = nn.TripletMarginLoss(margin=1.0, p=2)(o1, o2, o1.flip(0))
    fc = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid())
    bl = nn.BCELoss()(fc(t.cat((o1, o2), 1)).squeeze(), y)
    (cl + tl + bl).backward()
    return [cl.item(), tl.item(), bl.item()]


@idiom
def superres(t, nn, F):
    t.manual_seed(0)
    c = nn.Conv2d(1, 4, (5, 5), (1, 1), (2, 2))
    ps = nn.PixelShuffle(2)
    nn.init.orthogonal_(c.weight, nn.init.calculate_gain("relu"))
    x = t.rand(2, 1, 6, 6)
    y = t.rand(2, 1, 12, 12)
    o = ps(c(x))
    l = nn.MSELoss()(o, y)
    psnr = 10 * math.log10(1 / l.item())
    l.backward()
    return [
        o.sum().item(),
        psnr,
        c.weight.grad.sum().item(),
        F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False).sum().item(),
    ]


@idiom
def vae_bits(t):
    t.manual_seed(0)
    mu = t.randn(3, 2)
    lv = t.randn(3, 2)
    return [
        (-0.5 * t.sum(1 + lv - mu.pow(2) - lv.exp())).item(),
        t.distributions.kl_divergence(
            t.distributions.Normal(mu, lv.exp().sqrt()), t.distributions.Normal(0.0, 1.0)
        )
        .sum()
        .item(),
    ]


@idiom
def seq2seq_attention(t, nn, F):
    t.manual_seed(0)
    emb = nn.Embedding(7, 6)
    gru = nn.GRU(6, 6)
    W = nn.Linear(6, 6)
    V = nn.Linear(6, 1)
    h = t.zeros(1, 1, 6)
    encs = t.zeros(5, 6)
    for i in range(5):
        o, h = gru(emb(t.tensor([[i]], dtype=t.long)).view(1, 1, -1), h)
        encs[i] = encs[i] + o[0, 0]
    w = F.softmax(V(t.tanh(W(encs))).squeeze(-1), dim=-1)
    ctx = t.bmm(w.view(1, 1, -1), encs.unsqueeze(0))
    l = nn.NLLLoss()(F.log_softmax(ctx[0], dim=1), t.tensor([2]))
    l.backward()
    _tv, ti = ctx.data.topk(1)
    return [l.item(), ti.squeeze().item(), emb.weight.grad.sum().item()]


@idiom
def packed(t, nn):
    t.manual_seed(0)
    seqs = [t.tensor([1, 2, 3]), t.tensor([4, 5]), t.tensor([6])]
    from_ = t.nn.utils.rnn
    p = from_.pad_sequence(seqs, batch_first=True, padding_value=0)
    lens = t.tensor([len(s) for s in seqs])
    e = nn.Embedding(8, 4, padding_idx=0)
    pk = from_.pack_padded_sequence(e(p), lens, batch_first=True, enforce_sorted=False)
    rnn = nn.LSTM(4, 3, bidirectional=True, batch_first=True)
    o, (h, _c) = rnn(pk)
    o, l = from_.pad_packed_sequence(o, batch_first=True)
    return [o.sum().item(), h.sum().item(), l.tolist(), rnn.all_weights[0][0].shape[0]]


@idiom
def gan_bits(t, nn):
    t.manual_seed(0)
    D = nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.2, inplace=True), nn.Linear(4, 1))
    r, f = (t.randn(5, 2), t.randn(5, 2))
    eps = t.rand(5, 1)
    i = t.autograd.Variable(eps * r + (1 - eps) * f, requires_grad=True)
    d = D(i)
    g = t.autograd.grad(
        outputs=d,
        inputs=i,
        grad_outputs=t.ones(d.size()),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    gp = ((g.norm(2, dim=1) - 1) ** 2).mean()
    gp.backward()
    for p in D.parameters():
        p.data.clamp_(-0.01, 0.01)
    return [gp.item(), float(sum(p.abs().sum() for p in D.parameters()))]


@idiom
def dqn(t, nn, optim):
    t.manual_seed(0)
    q, tg = (nn.Linear(4, 2), nn.Linear(4, 2))
    tg.load_state_dict(q.state_dict())
    s = t.rand(6, 4)
    a = t.randint(0, 2, (6, 1))
    r = t.rand(6)
    mask = t.tensor(tuple(v is not None for v in [1, None, 1, 1, 1, 1]), dtype=t.bool)
    nv = t.zeros(6)
    with t.no_grad():
        nv[mask] = tg(s[mask]).max(1).values
    v = q(s).gather(1, a)
    l = nn.SmoothL1Loss()(v, (nv * 0.99 + r).unsqueeze(1))
    o = optim.AdamW(q.parameters(), lr=0.001, amsgrad=True)
    o.zero_grad()
    l.backward()
    nn.utils.clip_grad_value_(q.parameters(), 100)
    o.step()
    tsd, qsd = (tg.state_dict(), q.state_dict())
    for k in qsd:
        tsd[k] = qsd[k] * 0.005 + tsd[k] * 0.995
    tg.load_state_dict(tsd)
    for a_, b_ in zip(tg.parameters(), q.parameters(), strict=False):
        a_.data.copy_(0.5 * a_.data + 0.5 * b_.data)
    return [l.item(), tg.weight.sum().item(), q(s).max(1)[1].view(1, -1).shape[1]]


@idiom
def ppo(t, nn):
    t.manual_seed(0)

    def layer_init(l, std=2**0.5, b=0.0):
        t.nn.init.orthogonal_(l.weight, std)
        t.nn.init.constant_(l.bias, b)
        return l

    ac = nn.Sequential(
        layer_init(nn.Linear(np.array((4,)).prod(), 8)),
        nn.Tanh(),
        layer_init(nn.Linear(8, 2), std=0.01),
    )
    logstd = nn.Parameter(t.zeros(1, 2))
    obs = t.zeros((5, 2, 4))
    obs[0] = t.Tensor(np.ones((2, 4)))
    x = obs.reshape((-1, 4))
    m = ac(x)
    d = t.distributions.Normal(m, t.exp(logstd.expand_as(m)))
    a = d.sample()
    lp = d.log_prob(a).sum(1)
    ent = d.entropy().sum(1)
    ratio = (lp - lp.detach()).exp()
    adv = t.randn(10)
    pg = t.max(-adv * ratio, -adv * t.clamp(ratio, 0.8, 1.2)).mean()
    vl = 0.5 * ((adv - 1) ** 2).mean()
    loss = pg - 0.01 * ent.mean() + vl * 0.5
    loss.backward()
    n = nn.utils.clip_grad_norm_([*list(ac.parameters()), logstd], 0.5)
    b = np.arange(10)
    np.random.RandomState(0).shuffle(b)
    mb = b[0:4]
    return [
        loss.item(),
        float(n),
        x[mb].shape[0],
        adv[mb].sum().item(),
        lp[mb].mean().item(),
        ((ratio - 1.0).abs() > 0.2).float().mean().item(),
        logstd.grad.sum().item(),
    ]


@idiom
def style_gram(t, F, optim):
    t.manual_seed(0)
    x = t.rand(1, 3, 4, 4).requires_grad_(True)
    a, b, c, d = x.size()
    f = x.view(a * b, c * d)
    G = t.mm(f, f.t()).div(a * b * c * d)
    l = F.mse_loss(G, t.zeros(3, 3))
    o = optim.LBFGS([x])

    def closure():
        with t.no_grad():
            x.clamp_(0, 1)
        o.zero_grad()
        f = x.view(3, 16)
        l = F.mse_loss(f @ f.t() / 48, t.eye(3) * 0.1)
        l.backward()
        return l

    r = o.step(closure)
    m = t.tensor([0.4, 0.5, 0.6]).clone().detach().view(-1, 1, 1)
    return [l.item(), float(r), ((x - m) / m).sum().item()]


@idiom
def adversarial(t, nn, F):
    t.manual_seed(0)
    m = nn.Linear(4, 3)
    x = t.rand(2, 4)
    x.requires_grad = True
    l = F.nll_loss(F.log_softmax(m(x), 1), t.tensor([0, 2]))
    m.zero_grad()
    l.backward()
    g = x.grad.data
    p = t.clamp(x + 0.1 * g.sign(), 0, 1)
    i = m(x).max(1, keepdim=True)[1]
    return [p.sum().item(), i.tolist(), i[0].item()]


@idiom
def maml(t, nn, F):
    t.manual_seed(0)
    m = nn.Linear(2, 1)
    x, y = (t.rand(5, 2), t.rand(5, 1))
    w = list(m.parameters())
    g = t.autograd.grad(F.mse_loss(m(x), y), w, create_graph=True)
    fast = [p - 0.1 * q for p, q in zip(w, g, strict=False)]
    l = F.mse_loss(F.linear(x, fast[0], fast[1]), y)
    l.backward()
    fp = t.func.functional_call(m, dict(m.named_parameters()), (x,))
    return [l.item(), m.weight.grad.sum().item(), fp.sum().item()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", IDIOMS)
def test_an_idiom_gives_the_same_in_both(name):
    check(IDIOMS[name], cp, torch)
