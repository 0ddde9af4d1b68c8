"""Settings of the mask transforms."""

from dataclasses import dataclass, field

from roentgen.errors import require_range


@dataclass(frozen=True, kw_only=True)
class FindingTransforms:
    """Limits of how far findings move within the body, in addition to its own motion."""

    thickness: float = 0.3
    """Maximum relative change of the height or width of effusions and pneumothoraces. In [0, 2]."""
    shift: float = 0.03
    """Maximum shift of other findings and devices, as a share of the image side. In [0, 0.25]."""
    scale: float = 0.2
    """Maximum relative change of size of other findings. In [0, 1]."""
    rotation: float = 10.0
    """Maximum rotation of other findings and devices about their center, in degrees. In [0, 90]."""
    elastic: float = 0.01
    """Maximum elastic displacement of other findings, as a share of the image side. In [0, 0.1]."""

    def __post_init__(self) -> None:
        limits = {"thickness": 2, "shift": 0.25, "scale": 1, "rotation": 90, "elastic": 0.1}
        for name, limit in limits.items():
            require_range(self, f"transforms.findings.{name}", at_least=0, at_most=limit)


@dataclass(frozen=True, kw_only=True)
class MaskTransforms:
    """Limits of random mask transforms; each amount is drawn uniformly up to its limit."""

    shift: float = 0.04
    """Maximum shift, horizontal and vertical, as a share of the image side. In [0, 0.25]."""
    scale: float = 0.1
    """Maximum relative change of size. In [0, 0.5]."""
    rotation: float = 5.0
    """Maximum rotation in degrees, either way. In [0, 45]."""
    shear: float = 4.0
    """Maximum tilt of vertical lines in degrees, either way. In [0, 30]."""
    elastic: float = 0.015
    """Maximum smooth elastic displacement, as a share of the image side. In [0, 0.1]."""
    elastic_width: float = 0.1
    """Smoothness of the elastic displacement: its standard deviation, as a share of the image
    side. In [0.05, 0.5], and at least twice `elastic`, or masks would tear."""
    findings: FindingTransforms | None = field(default_factory=FindingTransforms)
    """Motion of findings within the body; null: none."""
    mirror: float = 0.0
    """Share of images that are mirrored, the heart included; left and right are then exchanged in
    their prompts and findings (`sample.masks.mirroring`). In [0, 1]."""

    def __post_init__(self) -> None:
        limits = {"shift": 0.25, "scale": 0.5, "rotation": 45, "shear": 30, "elastic": 0.1}
        for name, limit in (limits | {"mirror": 1}).items():
            require_range(self, f"transforms.{name}", at_least=0, at_most=limit)
        elastic = max(self.elastic, self.findings.elastic if self.findings else 0.0)
        least = max(0.05, 2 * elastic)
        why = "twice the larger elastic and no less than 0.05"
        require_range(self, "transforms.elastic_width", at_least=least, at_most=0.5, note=why)
