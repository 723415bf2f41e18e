"""Ten small networks as people build them, each with an example and the axes of its batch."""

import clearprop as cp
from clearprop import nn


class ResidualBlock(nn.Module):
    def __init__(self, n=4):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)
        self.conv2, self.norm2 = nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)

    def forward(self, x):
        y = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(y)) + x).relu()


class Last(nn.Module):
    """A recurrent layer, and a linear one on its last output."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(layer.hidden_size * (1 + layer.bidirectional), 2)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Translator(nn.Module):
    """Embedding, positions, one encoder layer, mean over time."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.register_buffer("places", cp.arange(6))
        self.positions = nn.Embedding(6, 8)

    def forward(self, tokens):
        x = self.words(tokens) + self.positions(self.places)
        return self.head(self.block(x).mean(1))


class Decoder(nn.Module):
    """From a latent vector to an image."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4 * 3 * 3)
        self.up1 = nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(3, 1, 4, stride=2, padding=1)

    def forward(self, z):
        x = self.fc(z).view(-1, 4, 3, 3)
        return self.up2(nn.functional.leaky_relu(self.up1(x), 0.2)).sigmoid()


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.join = nn.Conv2d(9, 2, 3, padding=1)

    def forward(self, x):
        a = nn.functional.gelu(self.down1(x))
        b = nn.functional.silu(self.down2(self.pool(a)))
        return self.join(cp.cat([a, self.up(b)], 1)).log_softmax(1)


class Clipped(cp.autograd.Function):
    """A block with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(-0.5, 0.5) * x.exp()

    @staticmethod
    def backward(ctx, g):
        return g


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return Clipped.apply(self.fc(x))


def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 3, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 5, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 6), nn.Softmax(1),
    )  # fmt: skip


def images(*shape):
    return cp.randn(*shape)


# name: (make, example, dynamic_batch)
MODELS = {
    "mlp": (mlp, lambda: (images(5, 4),), True),
    "lenet": (lenet, lambda: (images(2, 1, 12, 12),), True),
    "resnet block": (ResidualBlock, lambda: (images(2, 4, 6, 5),), True),
    "lstm": (
        lambda: Last(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)),
        lambda: (images(2, 5, 3),),
        True,
    ),
    "gru": (lambda: Last(nn.GRU(3, 4, batch_first=True)), lambda: (images(3, 5, 3),), True),
    "transformer": (Translator, lambda: (cp.randint(0, 20, (4, 6)),), True),
    "vae decoder": (Decoder, lambda: (images(2, 3),), True),
    "u-net": (UNet, lambda: (images(2, 1, 8, 8),), True),
    "embedding bag": (
        lambda: nn.EmbeddingBag(10, 3, mode="mean"),
        lambda: (cp.randint(0, 10, (4, 5)),),
        True,
    ),
    "custom function": (Custom, lambda: (images(4, 4),), True),
}


def made(name):
    """The model with parameters and statistics that are not the first ones, and its example."""
    make, example, axes = MODELS[name]
    model = make()
    with cp.no_grad():
        for key, t in model.state_dict().items():
            if t.is_floating_point():
                t.copy_(cp.rand(t.shape) + 0.5 if "var" in key else cp.randn(t.shape) * 0.4)
    return model, example(), axes
