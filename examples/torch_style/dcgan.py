"""A generator and a discriminator, both convolutional, play on 8x8 pictures of digits."""

import argparse

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

REAL_LABEL, FAKE_LABEL = 1.0, 0.0


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self, nz=16, ngf=16):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 2, 1, 0, bias=False),  # 2 x 2
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),  # 4 x 4
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False),  # 8 x 8
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self, ndf=16):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, ndf, 4, 2, 1, bias=False),  # 4 x 4
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),  # 2 x 2
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 2, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


def show(picture):
    shades = " .:-=+*#%@"
    rows = ((picture.clamp(-1, 1) + 1) / 2 * (len(shades) - 1)).round().int().tolist()
    return "\n".join("".join(shades[v] * 2 for v in row) for row in rows)


def main():
    parser = argparse.ArgumentParser(description="DCGAN on digits")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1797)
    args = parser.parse_args()
    torch.manual_seed(999)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    nz = 16
    digits = torch.from_numpy(load_digits().images[: args.samples]).float() / 8 - 1
    dataset = TensorDataset(digits.unsqueeze(1))
    dataloader = DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)
    netG, netD = Generator(nz).to(device), Discriminator().to(device)
    netG.apply(weights_init)
    netD.apply(weights_init)
    criterion = nn.BCELoss()
    fixed_noise = torch.randn(4, nz, 1, 1, device=device)
    optimizerD = optim.Adam(netD.parameters(), lr=0.001, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=0.001, betas=(0.5, 0.999))

    for epoch in range(args.epochs):
        for i, (real,) in enumerate(dataloader):
            # the discriminator: log D(x) + log(1 - D(G(z)))
            netD.zero_grad()
            real = real.to(device)
            b_size = real.size(0)
            label = torch.full((b_size,), REAL_LABEL, dtype=torch.float, device=device)
            output = netD(real)
            errD_real = criterion(output, label)
            errD_real.backward()
            D_x = output.mean().item()
            noise = torch.randn(b_size, nz, 1, 1, device=device)
            fake = netG(noise)
            label.fill_(FAKE_LABEL)
            output = netD(fake.detach())
            errD_fake = criterion(output, label)
            errD_fake.backward()
            errD = errD_real + errD_fake
            optimizerD.step()
            # the generator: log D(G(z))
            netG.zero_grad()
            label.fill_(REAL_LABEL)
            output = netD(fake)
            errG = criterion(output, label)
            errG.backward()
            optimizerG.step()
            if i % 9 == 0:
                print(
                    f"[{epoch}/{args.epochs}][{i}/{len(dataloader)}]"
                    f" loss_D: {errD.item():.4f} loss_G: {errG.item():.4f} D(x): {D_x:.4f}"
                )
    with torch.no_grad():
        print(show(netG(fixed_noise).cpu()[0, 0]))


if __name__ == "__main__":
    main()
