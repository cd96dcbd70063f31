"""The same networks in PyTorch, for comparisons of results (tests/test_pytorch_parity.py) and speed.

Written from the paper's appendix 6.1, like networks.py, with which it shares only the order of the layers.
"""

import numpy as np
import torch
from PIL import Image
from torch import nn

SLOPE, EPSILON = 0.2, 1e-5


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, eps=EPSILON, affine=True)


class UNet(nn.Module):
    """[n, input_channels, h, w] -> [n, output_channels, h, w] in [-1, 1], h and w multiples of 2**depth."""

    def __init__(self, input_channels=3, output_channels=3, depth=8, filters=64, dropout=0.5):
        super().__init__()
        widths = [filters * min(2**level, 8) for level in range(depth)]
        self.down, self.down_norms = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            before = widths[level - 1] if level else input_channels
            self.down.append(nn.Conv2d(before, width, 4, stride=2, padding=1, bias=False))
            self.down_norms.append(_norm(width) if 0 < level < depth - 1 else nn.Identity())
        self.up, self.up_norms, self.dropouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number, level in enumerate(range(depth - 2, -1, -1)):
            before = widths[level + 1] * (2 if number else 1)
            self.up.append(nn.ConvTranspose2d(before, widths[level], 4, stride=2, padding=1, bias=False))
            self.up_norms.append(_norm(widths[level]))
            self.dropouts.append(nn.Dropout(dropout) if number < 3 else nn.Identity())
        self.last = nn.ConvTranspose2d(2 * widths[0], output_channels, 4, stride=2, padding=1)

    def forward(self, x):
        skips = []
        for level, (convolution, norm) in enumerate(zip(self.down, self.down_norms, strict=True)):
            x = norm(convolution(nn.functional.leaky_relu(x, SLOPE) if level else x))
            skips.append(x)
        skips.pop()
        for convolution, norm, dropout in zip(self.up, self.up_norms, self.dropouts, strict=True):
            x = dropout(norm(convolution(nn.functional.relu(x))))
            x = torch.cat([x, skips.pop()], dim=1)
        return torch.tanh(self.last(nn.functional.relu(x)))


class PatchGAN(nn.Module):
    """(input_image, image), each [n, c, h, w] -> logits [n, 1, h', w']."""

    def __init__(self, input_channels=3, output_channels=3, layers=3, filters=64):
        super().__init__()
        widths = [filters * min(2**level, 8) for level in range(layers + 1)]
        parts = [nn.Conv2d(input_channels + output_channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            parts += [nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=1, bias=False)]
            parts += [_norm(widths[level]), nn.LeakyReLU(SLOPE)]
        parts += [nn.Conv2d(widths[-1], 1, 4, stride=1, padding=1)]
        self.parts = nn.Sequential(*parts)

    def forward(self, input_image, image):
        return self.parts(torch.cat([input_image, image], dim=1))


@torch.no_grad()
def copy_weights(values: list[np.ndarray], module: nn.Module) -> None:
    """Copies a Keras network's trainable variables, in its order, into its peer here.

    A Keras kernel is [h, w, in, out], a Torch kernel [out, in, h, w]; transposed convolutions swap in and out.
    """
    order = list(module.parameters())
    if isinstance(module, UNet):  # its parameters are ordered by kind of layer, not by level
        order = []
        convolutions, norms = [*module.down, *module.up], [*module.down_norms, *module.up_norms]
        for convolution, norm in zip(convolutions, norms, strict=True):
            order += [*convolution.parameters(), *norm.parameters()]
        order += module.last.parameters()
    if len(values) != len(order):
        raise ValueError(f"{len(values)} Keras variables for {len(order)} parameters")
    for value, parameter in zip(values, order, strict=True):
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def initialize(module: nn.Module) -> nn.Module:
    """Draws the paper's initial weights: N(0, 0.02), norm scales N(1, 0.02). Returns the module."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.InstanceNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
    return module


def make_train_step(generator, discriminator, l1_weight=100.0):
    """The paper's step: (input_image, target_image) -> gen_gan_loss, gen_l1_loss, disc_real_loss, disc_fake_loss."""
    options = dict(lr=2e-4, betas=(0.5, 0.999), eps=1e-8)
    generator_adam = torch.optim.Adam(generator.parameters(), **options)
    discriminator_adam = torch.optim.Adam(discriminator.parameters(), **options)
    softplus = nn.functional.softplus

    def step(input_image, target_image):
        gen_output = generator(input_image)
        discriminator.requires_grad_(True)
        discriminator_adam.zero_grad()
        disc_real_loss = softplus(-discriminator(input_image, target_image)).mean()
        disc_fake_loss = softplus(discriminator(input_image, gen_output.detach())).mean()
        (0.5 * (disc_real_loss + disc_fake_loss)).backward()
        discriminator_adam.step()
        discriminator.requires_grad_(False)
        generator_adam.zero_grad()
        gen_gan_loss = softplus(-discriminator(input_image, gen_output)).mean()
        gen_l1_loss = (gen_output - target_image).abs().mean()
        (gen_gan_loss + l1_weight * gen_l1_loss).backward()
        generator_adam.step()
        return tuple(loss.detach() for loss in (gen_gan_loss, gen_l1_loss, disc_real_loss, disc_fake_loss))

    return step


class SideBySide(torch.utils.data.Dataset):
    """Files with the photo left and the label map right -> (label map, photo), float32 [3, h, w] in [-1, 1].

    Jitter as in the paper (appendix 6.2), the same for both images: resize (nearest for label maps), random crop and
    mirror.
    """

    def __init__(self, paths, load_size=286, crop_size=256):
        self.paths, self.load_size, self.crop_size = paths, load_size, crop_size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as file:
            both = file.convert("RGB")
        half, height = both.width // 2, both.height
        photo, label_map = both.crop((0, 0, half, height)), both.crop((half, 0, 2 * half, height))
        top, left = torch.randint(self.load_size - self.crop_size + 1, (2,)).tolist()
        mirror = torch.rand(()) < 0.5
        pair = []
        for side, method in ((label_map, Image.Resampling.NEAREST), (photo, Image.Resampling.BICUBIC)):
            pixels = np.asarray(side.resize((self.load_size, self.load_size), method))
            pixels = pixels[top : top + self.crop_size, left : left + self.crop_size]
            pixels = pixels[:, ::-1] if mirror else pixels
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
            pair.append(torch.from_numpy(pixels).float().div_(127.5).sub_(1.0))
        return tuple(pair)
