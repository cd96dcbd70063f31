"""ROWS: the diagrams of curves.png.

A panel without values is left out. Colors are those of Okabe and Ito (2008), which people with any color vision tell
apart.
"""

from typing import NamedTuple

BLUE, VERMILLION, GREEN, GRAY, INK = "#0072B2", "#D55E00", "#009E73", "#777777", "#222222"


class Panel(NamedTuple):
    """A diagram.

    Attributes:
      title: its heading.
      lines: key in the records -> (label, color). Keys that begin with "val_" and "train_" are values of evaluations,
        on validation pairs and on a few training pairs, drawn as they are; the others are smoothed.
      scale: "near" (an axis around the values), "zero" (an axis from zero on), "percent", or "log".
      level: a value to compare with, and its label.
    """

    title: str
    lines: dict[str, tuple[str, str]]
    scale: str = "near"
    level: tuple[float, str] | None = None


ADVERSARIAL = Panel(
    "discriminator and generator losses",
    {
        "disc_real_loss": ("on real", BLUE),
        "disc_fake_loss": ("on generated", VERMILLION),
        "gen_gan_loss": ("generator", GREEN),
    },
)
ROWS: tuple[tuple[float, tuple[Panel, ...]], ...] = (  # height in inches, panels side by side
    (
        2.5,
        (
            Panel("cross-entropy (lower is better)", {"gen_cross_entropy_loss": ("loss", GRAY)}),
            Panel(
                "classes (higher is better)",
                {"val_mean_iou": ("mean IoU", BLUE), "val_pixel_accuracy": ("pixel accuracy", GREEN)},
            ),
        ),
    ),
    (
        2.5,
        (
            Panel(
                "L1 (lower is better)",
                {
                    "val_l1": ("validation", BLUE),
                    "train_l1": ("training pairs", VERMILLION),
                    "gen_l1_loss": ("loss", GRAY),
                },
            ),
            Panel(
                "PSNR in dB (higher is better)",
                {"val_psnr": ("validation", BLUE), "train_psnr": ("training pairs", VERMILLION)},
            ),
            Panel(
                "structure (higher is better)",
                {"val_ssim": ("SSIM", BLUE), "val_gradient_correlation": ("gradient correlation", GREEN)},
            ),
        ),
    ),
    (
        2.0,
        (
            ADVERSARIAL,
            Panel(
                "discriminator's accuracy",
                {"disc_real_accuracy": ("on real", BLUE), "disc_fake_accuracy": ("on generated", VERMILLION)},
                "percent",
                (0.5, "guessing"),
            ),
            Panel(
                "gradient norms",
                {"disc_grad_norm": ("discriminator", BLUE), "gen_grad_norm": ("generator", GREEN)},
                "log",
            ),
        ),
    ),
    (
        1.5,
        (
            Panel(
                "detail (mean gradient over the targets')",
                {"val_detail": ("generated", VERMILLION)},
                "zero",
                (1.0, "as in the targets"),
            ),
            Panel(
                "grid energy in dB (lower is better)",
                {"val_grid_energy": ("generated", VERMILLION), "val_grid_energy_targets": ("targets", BLUE)},
                "zero",
            ),
        ),
    ),
    (
        0.9,
        (
            Panel("learning rate", {"learning_rate": ("", GRAY)}, "zero"),
            Panel("images per second", {"images_per_second": ("", GRAY)}, "zero"),
            Panel("time spent waiting for data", {"data_wait": ("", GRAY)}, "percent"),
        ),
    ),
)
