"""Healthy programs that look like faulty ones, family by family. Each is run in ten variants: other
seeds, widths, activations and optimizers.
"""

from __future__ import annotations

HEALTHY: dict[str, str] = {}

VARIANTS = [
    {"seed": 0, "width": 16, "act": "nn.ReLU", "opt": "optim.Adam({}, lr=1e-2)"},
    {"seed": 1, "width": 32, "act": "nn.Tanh", "opt": "optim.SGD({}, lr=0.05, momentum=0.9)"},
    {"seed": 2, "width": 24, "act": "nn.GELU", "opt": "optim.AdamW({}, lr=3e-3)"},
    {"seed": 3, "width": 12, "act": "nn.LeakyReLU", "opt": "optim.RMSprop({}, lr=1e-3)"},
    {"seed": 4, "width": 64, "act": "nn.SiLU", "opt": "optim.SGD({}, lr=0.02)"},
    {"seed": 5, "width": 20, "act": "nn.ELU", "opt": "optim.Adam({}, lr=1e-3)"},
    {"seed": 6, "width": 48, "act": "nn.ReLU", "opt": "optim.SGD({}, lr=0.1)"},
    {"seed": 7, "width": 28, "act": "nn.Softplus", "opt": "optim.Adagrad({}, lr=0.02)"},
    {"seed": 8, "width": 16, "act": "nn.ReLU", "opt": "optim.AdamW({}, lr=5e-3, weight_decay=0.1)"},
    {"seed": 9, "width": 40, "act": "nn.Tanh", "opt": "optim.NAdam({}, lr=2e-3)"},
]


def program(source: str, variant: dict[str, object]) -> str:
    """One variant: SEED, WIDTH, ACT and OPT(parameters) are filled in."""
    text = source.replace("SEED", str(variant["seed"])).replace("WIDTH", str(variant["width"]))
    text = text.replace("ACT", str(variant["act"]))
    while "OPT(" in text:
        start = text.index("OPT(")
        end, depth = start + 4, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inner = text[start + 4 : end - 1]
        text = text[:start] + str(variant["opt"]).format(inner) + text[end:]
    return text


def family(name: str, source: str) -> None:
    HEALTHY[name] = "torch.manual_seed(SEED); rng = np.random.default_rng(SEED)\n" + source.strip(
        "\n"
    )


family(
    "straight through",
    """
class Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h):
        return torch.round(4 * h) / 4
    @staticmethod
    def backward(ctx, g):
        return g
a, o = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3)
def loss_of():
    h = torch.sigmoid(a(x))
    q = h + (torch.round(h * 4) / 4 - h).detach()
    return F.cross_entropy(o(Quantise.apply(q)), c)
fit(loss_of, OPT([*a.parameters(), *o.parameters()]))
""",
)
family(
    "vector quantisation",
    """
enc, dec = nn.Linear(6, 4), nn.Linear(4, 6)
book = nn.Parameter(reals(8, 4))
def loss_of():
    z = enc(x)
    which = ((z.unsqueeze(1) - book) ** 2).sum(2).argmin(1)
    q = book[which]
    out = dec(z + (q - z).detach())
    return F.mse_loss(out, x) + F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
fit(loss_of, OPT([*enc.parameters(), *dec.parameters(), book]))
""",
)
family(
    "zero-init residual gates",
    """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = mlp(WIDTH, WIDTH, WIDTH, act=ACT)
        self.gate = nn.Parameter(torch.zeros(1))
    def forward(self, h):
        return h + self.gate * self.f(h)
net = nn.Sequential(nn.Linear(6, WIDTH), Block(), Block(), nn.Linear(WIDTH, 3))
fit(lambda: F.cross_entropy(net(x), c), OPT(net.parameters()))
""",
)
family(
    "zero last layer",
    """
net = mlp(6, WIDTH, 3, act=ACT)
nn.init.zeros_(net[2].weight); nn.init.zeros_(net[2].bias)
fit(lambda: F.cross_entropy(net(x), c), OPT(net.parameters()))
""",
)
family(
    "low-rank adapters",
    """
class Adapted(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.base = nn.Linear(n_in, n_out)
        self.base.requires_grad_(False)
        self.A = nn.Parameter(0.1 * torch.randn(4, n_in))
        self.B = nn.Parameter(torch.zeros(n_out, 4))
    def forward(self, h):
        return self.base(h) + h @ self.A.t() @ self.B.t()
net = nn.Sequential(Adapted(6, WIDTH), ACT(), Adapted(WIDTH, 3))
fit(lambda: F.cross_entropy(net(x), c), OPT([p for p in net.parameters() if p.requires_grad]))
""",
)
family(
    "frozen backbone",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(6, WIDTH, WIDTH, act=ACT)
        self.body.requires_grad_(False)
        self.head = nn.Linear(WIDTH, 3)
    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)
net = Net()
fit(lambda: F.cross_entropy(net(x), c), OPT(net.head.parameters()))
""",
)
family(
    "frozen normalisation",
    """
net = nn.Sequential(nn.Linear(6, WIDTH), nn.BatchNorm1d(WIDTH), ACT(), nn.Linear(WIDTH, 3))
for step in range(3):
    net(x)
net[1].eval()
for p in net[1].parameters():
    p.requires_grad = False
fit(lambda: F.cross_entropy(net(x), c), OPT([p for p in net.parameters() if p.requires_grad]))
""",
)
family(
    "sparse rows of an embedding",
    """
emb, out = nn.Embedding(500, 8), nn.Linear(8, 3)
opt = OPT([*emb.parameters(), *out.parameters()])
for step in range(12):
    ids = torch.randint(0, 500, (16, 4))
    loss = F.cross_entropy(out(emb(ids).mean(1)), ids[:, 0] % 3)
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "mixture of experts",
    """
class MoE(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(6, 4)
        self.experts = nn.ModuleList(mlp(6, WIDTH, 3, act=ACT) for _ in range(4))
    def forward(self, x):
        top, which = torch.topk(self.gate(x), 2, dim=1)
        w = F.softmax(top, dim=1)
        every = torch.stack([e(x) for e in self.experts], dim=1)
        chosen = every.gather(1, which.unsqueeze(2).expand(-1, -1, 3))
        return (w.unsqueeze(2) * chosen).sum(1)
net = MoE()
fit(lambda: F.cross_entropy(net(x), c), OPT(net.parameters()))
""",
)
family(
    "hinge",
    """
net = mlp(6, WIDTH, 1, act=ACT)
sign = 2 * b - 1
fit(lambda: torch.clamp(1 - sign * net(x), min=0).mean(), OPT(net.parameters()))
""",
)
family(
    "triplet",
    """
net = mlp(6, WIDTH, 4, act=ACT)
def loss_of():
    order = torch.argsort(c)
    z = net(x[order])
    near = (z[:-1] - z[1:]).pow(2).sum(1)
    far = (z[:-1] - z.flip(0)[1:]).pow(2).sum(1)
    return F.relu(near - far + 0.5).mean()
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "clipped policy ratio",
    """
net = mlp(6, WIDTH, 3, act=ACT)
opt = OPT(net.parameters())
for it in range(4):
    with torch.no_grad():
        old = F.log_softmax(net(x), dim=1)
        action = torch.multinomial(old.exp(), 1)
    reward = (action == c.unsqueeze(1)).float()
    adv = (reward - reward.mean()) / (reward.std() + 1e-6)
    for _ in range(3):
        logp = F.log_softmax(net(x), dim=1)
        ratio = (logp.gather(1, action) - old.gather(1, action)).exp()
        gain = torch.min(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
        loss = -gain + 0.01 * (logp.exp() * logp).sum(1).mean()
        opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "policy gradient with negative returns",
    """
net = mlp(6, WIDTH, 3, act=ACT)
def loss_of():
    logp = F.log_softmax(net(x), dim=1)
    action = torch.multinomial(logp.exp().detach(), 1)
    returns = -1.0 - (action != c.unsqueeze(1)).float() - 0.1 * torch.rand(96, 1)
    return -(logp.gather(1, action) * returns).mean()
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "target network",
    """
net = mlp(6, WIDTH, 3, act=ACT)
target = mlp(6, WIDTH, 3, act=ACT)
target.load_state_dict(net.state_dict())
opt = OPT(net.parameters())
for step in range(12):
    action = torch.randint(0, 3, (96, 1))
    reward = (action.squeeze(1) == c).float()
    with torch.no_grad():
        aim = reward + 0.9 * target(x.roll(1, 0)).max(1)[0]
    loss = F.smooth_l1_loss(net(x).gather(1, action).squeeze(1), aim)
    opt.zero_grad(); loss.backward(); opt.step()
    with torch.no_grad():
        for p, q in zip(target.parameters(), net.parameters()):
            p.mul_(0.95).add_(0.05 * q)
""",
)
family(
    "two players",
    """
G, D = mlp(4, WIDTH, 6, act=ACT), mlp(6, WIDTH, 1, act=nn.LeakyReLU)
og, od = optim.Adam(G.parameters(), lr=1e-3), optim.Adam(D.parameters(), lr=1e-3)
one, zero = torch.ones(96, 1), torch.zeros(96, 1)
for step in range(12):
    fake = G(torch.randn(96, 4))
    ld = F.binary_cross_entropy_with_logits(D(x), one)
    ld = ld + F.binary_cross_entropy_with_logits(D(fake.detach()), zero)
    od.zero_grad(); ld.backward(); od.step()
    lg = F.binary_cross_entropy_with_logits(D(fake), one)
    og.zero_grad(); lg.backward(); og.step()
""",
)
family(
    "critic without a bound",
    """
G, D = mlp(4, WIDTH, 6, act=ACT), mlp(6, WIDTH, 1, act=nn.LeakyReLU)
og, od = optim.RMSprop(G.parameters(), lr=5e-4), optim.RMSprop(D.parameters(), lr=5e-4)
for step in range(12):
    fake = G(torch.randn(96, 4))
    ld = D(fake.detach()).mean() - D(x).mean()
    od.zero_grad(); ld.backward(); od.step()
    with torch.no_grad():
        for p in D.parameters():
            p.clamp_(-0.1, 0.1)
    lg = -D(fake).mean()
    og.zero_grad(); lg.backward(); og.step()
""",
)
family(
    "gradient penalty",
    """
D = mlp(6, WIDTH, 1, act=nn.Tanh)
opt = OPT(D.parameters())
for step in range(12):
    mid = (x + 0.5 * torch.randn(96, 6)).requires_grad_(True)
    g, = torch.autograd.grad(D(mid).sum(), mid, create_graph=True)
    loss = F.softplus(-D(x)).mean() + 10 * ((g.pow(2).sum(1) + 1e-12).sqrt() - 1).pow(2).mean()
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "accumulation",
    """
net = mlp(6, WIDTH, 3, act=ACT)
opt = OPT(net.parameters())
for step in range(6):
    opt.zero_grad()
    for i in range(0, 96, 32):
        (F.cross_entropy(net(x[i:i + 32]), c[i:i + 32]) / 3).backward()
    opt.step()
""",
)
family(
    "several losses, one step",
    """
body, one, two = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 1)
opt = OPT([*body.parameters(), *one.parameters(), *two.parameters()])
for step in range(12):
    h = torch.tanh(body(x))
    opt.zero_grad()
    F.cross_entropy(one(h), c).backward(retain_graph=True)
    F.mse_loss(two(h), y).backward()
    opt.step()
""",
)
family(
    "warm-up from 0",
    """
net = mlp(6, WIDTH, 3, act=ACT)
opt = OPT(net.parameters())
warm = optim.lr_scheduler.LambdaLR(opt, lambda step: min(step / 5, 1.0))
for step in range(30):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad(); loss.backward(); opt.step(); warm.step()
""",
)
family(
    "cosine to 0",
    """
net = mlp(6, WIDTH, 3, act=ACT)
opt = OPT(net.parameters())
cool = optim.lr_scheduler.CosineAnnealingLR(opt, 40)
for step in range(40):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad(); loss.backward(); opt.step(); cool.step()
""",
)
family(
    "weight tying",
    """
class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(11, WIDTH)
        self.body = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.out = nn.Linear(WIDTH, 11, bias=False)
        self.out.weight = self.emb.weight
        nn.init.normal_(self.emb.weight, std=0.3)
    def forward(self, t):
        return self.out(self.body(self.emb(t))[0])
tokens = torch.tensor(np.cumsum(rng.integers(1, 3, (24, 9)), axis=1) % 11)
net = LM()
def loss_of():
    return F.cross_entropy(net(tokens[:, :-1]).reshape(-1, 11), tokens[:, 1:].reshape(-1))
fit(loss_of, optim.Adam(net.parameters(), lr=3e-3))
""",
)
family(
    "siamese",
    """
net = mlp(6, WIDTH, 4, act=ACT)
def loss_of():
    a, z = net(x), net(x + 0.1 * torch.randn(96, 6))
    return (F.mse_loss(a, z) + F.relu(1 - a.std(0)).mean())
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "in-batch negatives",
    """
net = mlp(6, WIDTH, 8, act=ACT)
def loss_of():
    a = F.normalize(net(x), dim=1)
    z = F.normalize(net(x + 0.1 * torch.randn(96, 6)), dim=1)
    score = a @ z.t() / 0.2
    own = torch.arange(96)
    return (F.cross_entropy(score, own) + F.cross_entropy(score.t(), own)) / 2
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "lasso",
    """
w = nn.Parameter(torch.zeros(6, 1))
opt = optim.SGD([w], lr=0.05)
for step in range(12):
    loss = F.mse_loss(x @ w, y) + 0.05 * w.abs().sum()
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "weight penalty",
    """
net = mlp(6, WIDTH, 1, act=ACT)
def loss_of():
    return F.mse_loss(net(x), y) + 1e-3 * sum(p.pow(2).sum() for p in net.parameters())
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "deep",
    """
layers = []
for i in range(12):
    layer = nn.Linear(6 if i == 0 else 32, 32)
    nn.init.kaiming_normal_(layer.weight); nn.init.zeros_(layer.bias)
    layers += [layer, nn.ReLU()]
net = nn.Sequential(*layers, nn.Linear(32, 3))
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-3), 24)
""",
)
family(
    "convolutions",
    """
img = reals(16, 1, 8, 8)
label = (img.mean((1, 2, 3)) > 0).long()
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), ACT(), nn.MaxPool2d(2),
    nn.Conv2d(8, 8, 3), ACT(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 2))
fit(lambda: F.cross_entropy(net(img), label), OPT(net.parameters()))
""",
)
family(
    "recurrent, time first",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(6, WIDTH), nn.Linear(WIDTH, 1)
    def forward(self, s):
        return self.out(self.rnn(s)[0])
s = reals(16, 12, 6)
net = Net()
fit(lambda: F.mse_loss(net(s), s.cumsum(0)[:, :, :1] / 4), OPT(net.parameters()))
""",
)
family(
    "window of a stream",
    """
cell, out = nn.GRUCell(2, WIDTH), nn.Linear(WIDTH, 1)
opt = OPT([*cell.parameters(), *out.parameters()])
h = torch.zeros(4, WIDTH)
for step in range(12):
    h, loss = h.detach(), 0.0
    for t in range(4):
        s = reals(4, 2)
        h = cell(s, h)
        loss = loss + F.mse_loss(out(h), s[:, :1])
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "attention",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(9, 16)
        self.pos = nn.Parameter(0.02 * torch.randn(8, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.out = nn.Linear(16, 9)
    def forward(self, t):
        n = t.shape[1]
        mask = torch.triu(torch.full((n, n), float("-inf")), diagonal=1)
        return self.out(self.layer(self.emb(t) + self.pos[:n], src_mask=mask))
tokens = torch.tensor(np.cumsum(rng.integers(1, 3, (24, 9)), axis=1) % 9)
net = Net()
def loss_of():
    return F.cross_entropy(net(tokens[:, :-1]).reshape(-1, 9), tokens[:, 1:].reshape(-1))
fit(loss_of, optim.Adam(net.parameters(), lr=3e-3))
""",
)
family(
    "attention pooling of a bag",
    """
class Pool(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.a, self.o = nn.Linear(6, WIDTH), nn.Linear(6, 1), nn.Linear(WIDTH, 1)
    def forward(self, bag):
        w = F.softmax(self.a(bag), dim=0)
        return self.o((w * torch.tanh(self.f(bag))).sum(0, keepdim=True))
net = Pool()
opt = OPT(net.parameters())
for step in range(12):
    bag = reals(20, 6)
    loss = F.mse_loss(net(bag), bag.mean(0)[:1].unsqueeze(0))
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "graph",
    """
A = torch.tensor((rng.uniform(size=(96, 96)) < 0.05) + np.eye(96), dtype=torch.float32)
A = A / A.sum(1, keepdim=True)
class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3)
    def forward(self, x, A):
        return A @ self.b(torch.relu(A @ self.a(x)))
net = GCN()
fit(lambda: F.cross_entropy(net(x, A), c), OPT(net.parameters()))
""",
)
family(
    "variational autoencoder",
    """
enc, dec = nn.Linear(6, 8), mlp(4, WIDTH, 6, act=ACT)
def loss_of():
    mu, logvar = enc(x).chunk(2, dim=1)
    logvar = logvar.clamp(-8, 8)
    z = mu + torch.randn(96, 4) * (0.5 * logvar).exp()
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()
    return F.mse_loss(dec(z), x, reduction="sum") / 96 + kl
fit(loss_of, optim.Adam([*enc.parameters(), *dec.parameters()], lr=3e-3))
""",
)
family(
    "autoencoder of pixels",
    """
pixels = torch.tensor((rng.uniform(size=(96, 16)) < 0.3), dtype=torch.float32)
net = nn.Sequential(mlp(16, WIDTH, 16, act=ACT), nn.Sigmoid())
fit(lambda: F.mse_loss(net(pixels), pixels), OPT(net.parameters()))
""",
)
family(
    "distillation",
    """
teacher, net = mlp(6, 32, 3), mlp(6, WIDTH, 3, act=ACT)
def loss_of():
    with torch.no_grad():
        soft = F.softmax(teacher(x) / 2, dim=1)
    out = net(x)
    near = F.kl_div(F.log_softmax(out / 2, dim=1), soft, reduction="batchmean")
    return 4 * near + F.cross_entropy(out, c)
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "focal loss and label smoothing",
    """
net = mlp(6, WIDTH, 3, act=ACT)
def loss_of():
    out = net(x)
    ce = F.cross_entropy(out, c, reduction="none")
    focal = ((1 - torch.exp(-ce)) ** 2 * ce).mean()
    return focal + F.cross_entropy(out, c, label_smoothing=0.1)
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "uncertainty",
    """
net = mlp(6, WIDTH, 2, act=ACT)
def loss_of():
    mean, logvar = net(x).chunk(2, dim=1)
    return (0.5 * logvar + 0.5 * (y - mean) ** 2 * torch.exp(-logvar)).mean()
fit(loss_of, optim.Adam(net.parameters(), lr=3e-3))
""",
)
family(
    "counts",
    """
net = mlp(6, WIDTH, 1, act=ACT)
counts = torch.tensor(rng.poisson(np.exp(0.5 * x[:, :1].numpy())), dtype=torch.float32)
fit(lambda: F.poisson_nll_loss(net(x), counts), OPT(net.parameters()))
""",
)
family(
    "quantiles",
    """
net = mlp(6, WIDTH, 1, act=ACT)
def loss_of():
    e = y - net(x)
    return torch.max(0.9 * e, -0.1 * e).mean()
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "derivative in the loss",
    """
net = mlp(1, WIDTH, 1, act=nn.Tanh)
opt = optim.Adam(net.parameters(), lr=3e-3)
for step in range(12):
    t = torch.rand(32, 1).requires_grad_(True)
    u = net(t)
    du, = torch.autograd.grad(u.sum(), t, create_graph=True)
    loss = (du + u).pow(2).mean() + (net(torch.zeros(1, 1)) - 1).pow(2).mean()
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "adversarial examples",
    """
net = mlp(6, WIDTH, 3, act=ACT)
opt = OPT(net.parameters())
for step in range(12):
    near = x.clone().requires_grad_(True)
    g, = torch.autograd.grad(F.cross_entropy(net(near), c), near)
    loss = F.cross_entropy(net((near + 0.05 * g.sign()).detach()), c)
    opt.zero_grad(); loss.backward(); opt.step()
""",
)
family(
    "averaged weights and clipping",
    """
net = mlp(6, WIDTH, 3, act=ACT)
mean = [p.detach().clone() for p in net.parameters()]
opt = OPT(net.parameters())
for step in range(12):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad(); loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    with torch.no_grad():
        for m, p in zip(mean, net.parameters()):
            m.lerp_(p, 0.1)
""",
)
family(
    "validation between",
    """
net = nn.Sequential(nn.Linear(6, WIDTH), nn.BatchNorm1d(WIDTH), ACT(), nn.Dropout(0.3),
    nn.Linear(WIDTH, 3))
opt = OPT(net.parameters())
history = []
for epoch in range(4):
    net.train()
    for i in range(0, 96, 24):
        loss = F.cross_entropy(net(x[i:i + 24]), c[i:i + 24])
        opt.zero_grad(); loss.backward(); opt.step()
        history.append(loss.item())
    net.eval()
    with torch.no_grad():
        print(F.cross_entropy(net(x), c).item(), (net(x).argmax(1) == c).float().mean().item())
""",
)
family(
    "by hand",
    """
w, v = (nn.Parameter(0.3 * torch.randn(*s)) for s in ((6, WIDTH), (WIDTH, 1)))
for step in range(12):
    loss = (torch.tanh(x @ w) @ v - y).pow(2).mean()
    loss.backward()
    with torch.no_grad():
        for p in (w, v):
            p -= 0.05 * p.grad
            p.grad = None
""",
)
family(
    "large but right",
    """
raw = 50 + 10 * x
net = nn.Sequential(nn.BatchNorm1d(6), mlp(6, WIDTH, 1, act=ACT))
fit(lambda: F.mse_loss(net(raw), y), OPT(net.parameters()))
""",
)
family(
    "magic box",
    """
net = mlp(6, WIDTH, 3, act=ACT)
def loss_of():
    logp = F.log_softmax(net(x), dim=1)
    action = torch.multinomial(logp.exp().detach(), 1)
    score = logp.gather(1, action)
    cost = (action != c.unsqueeze(1)).float() - 0.5
    return (torch.exp(score - score.detach()) * cost).mean()
fit(loss_of, OPT(net.parameters()))
""",
)
family(
    "actor and critic",
    """
body, pi, v = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 1)
def loss_of():
    h = torch.tanh(body(x))
    logp, value = F.log_softmax(pi(h), dim=1), v(h)
    action = torch.multinomial(logp.exp().detach(), 1)
    reward = (action == c.unsqueeze(1)).float()
    adv = reward - value.detach()
    entropy = -(logp.exp() * logp).sum(1).mean()
    return -(logp.gather(1, action) * adv).mean() + 0.5 * F.mse_loss(value, reward) - 0.01 * entropy
fit(loss_of, OPT([*body.parameters(), *pi.parameters(), *v.parameters()]))
""",
)
family(
    "heads by name",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, WIDTH)
        self.heads = nn.ModuleDict({"kind": nn.Linear(WIDTH, 3), "size": nn.Linear(WIDTH, 1)})
    def forward(self, x, task):
        return self.heads[task](torch.relu(self.body(x)))
net = Net()
fit(lambda: F.cross_entropy(net(x, "kind"), c), OPT(net.parameters()))
""",
)
family(
    "meant, and said so",
    """
a, o = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3)
def loss_of():
    h = torch.relu(a(x)).detach()  # doctor: ok A2
    return F.cross_entropy(o(h), c)
fit(loss_of, OPT([*a.parameters(), *o.parameters()]))
""",
)
