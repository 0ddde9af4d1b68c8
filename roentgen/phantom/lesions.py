"""Lesions of a phantom patient: findings with random side and severity, and their shapes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from roentgen.phantom.thorax import Thorax, cage_half_axes
from roentgen.record.finding import Finding, FindingName, Severity, Side

Zone = Literal["upper", "mid", "lower"]
LungSide = Literal["left", "right"]
Device = Literal["endotracheal tube", "nasogastric tube", "central line", "pacemaker", "chest tube"]

# Share of patients with each finding, among those who are not normal.
PREVALENCE: dict[FindingName, float] = {
    "Cardiomegaly": 0.32,
    "Pleural Effusion": 0.34,
    "Pneumothorax": 0.22,
    "Consolidation": 0.28,
    "Edema": 0.18,
    "Atelectasis": 0.18,
    "Lung Lesion": 0.16,
    "Support Devices": 0.30,
}
NORMAL_SHARE = 0.18
UNCERTAIN_SHARE = 0.10  # of findings that can be borderline
GRADES: tuple[Severity, ...] = ("small", "moderate", "large")
ZONE_HEIGHT: dict[Zone, tuple[float, float]] = {
    "upper": (45, 85),
    "mid": (-15, 30),
    "lower": (-75, -35),
}


@dataclass(frozen=True, kw_only=True)
class Blob:
    """An ellipsoid of opacity: center and half axes in mm, share of the air it replaces."""

    center: tuple[float, float, float]
    half_axes: tuple[float, float, float]
    density: float
    roughness: float
    phases: tuple[float, ...]  # of the waves on its surface


@dataclass(frozen=True, kw_only=True)
class Lesions:
    """The geometry of all findings of one patient. Absent ones are empty or zero."""

    heart_width: float  # cardiothoracic ratio
    fluid: dict[LungSide, float]  # height in mm of the effusion above the costophrenic angle
    gap: dict[LungSide, float]  # depth of the pneumothorax, as a share of the cage
    consolidations: tuple[Blob, ...]
    nodules: tuple[Blob, ...]
    congestion: float  # share of perihilar air replaced by edema
    plates: tuple[tuple[LungSide, float, float], ...]  # atelectasis: side, height, slope
    devices: tuple[Device, ...]
    findings: tuple[Finding, ...]


def draw_lesions(rng: np.random.Generator, thorax: Thorax, supine: bool) -> Lesions:
    """Draw a patient's findings and their shapes; findings that are not drawn are absent."""
    healthy = rng.random() < NORMAL_SHARE
    has = {name: bool(rng.random() < p) and not healthy for name, p in PREVALENCE.items()}
    findings: list[Finding] = []

    def grade(name: FindingName, side: Side | None, detail: str | None = None) -> float:
        """Draw a severity in 0..1 and record the finding; returns the severity."""
        borderline = name not in ("Cardiomegaly", "Pneumothorax") and rng.random() < UNCERTAIN_SHARE
        severity = rng.uniform(0.0, 0.12) if borderline else rng.uniform(0.1, 1.0)
        findings.append(
            Finding(
                name=name,
                state="uncertain" if borderline else "present",
                side=side,
                severity=None if borderline else GRADES[min(int(3 * severity), 2)],
                detail=detail,
            )
        )
        return float(severity)

    heart_width = thorax.heart_width
    if has["Cardiomegaly"]:
        heart_width = 0.54 + 0.17 * grade("Cardiomegaly", None)
    fluid: dict[LungSide, float] = {}
    if has["Pleural Effusion"]:
        sides: Side = "bilateral" if rng.random() < 0.3 else _draw_lung(rng)
        level = grade("Pleural Effusion", sides)
        lungs: tuple[LungSide, ...] = ("left", "right") if sides == "bilateral" else (sides,)
        for side in lungs:
            fluid[side] = float((34 + 96 * level) * rng.uniform(0.92, 1.08))
    gap: dict[LungSide, float] = {}
    if has["Pneumothorax"]:
        side = _draw_lung(rng)
        gap[side] = 0.12 + 0.42 * grade("Pneumothorax", side)
    consolidations: list[Blob] = []
    if has["Consolidation"]:
        side, zone = _draw_lung(rng), _draw_zone(rng)
        size = 20 + 26 * grade("Consolidation", side, f"{zone} zone")
        consolidations.append(_blob(rng, thorax, side, zone, size, density=0.85, roughness=0.5))
    nodules: list[Blob] = []
    if has["Lung Lesion"]:
        side, zone = _draw_lung(rng), _draw_zone(rng)
        radius = 6.5 + 12 * grade("Lung Lesion", side, "nodule")
        nodules.append(_blob(rng, thorax, side, zone, radius, density=1.0, roughness=0.0))
    congestion = 0.22 + 0.4 * grade("Edema", "bilateral") if has["Edema"] else 0.0
    plates: list[tuple[LungSide, float, float]] = []
    if has["Atelectasis"]:
        side = _draw_lung(rng)
        strength = grade("Atelectasis", side)
        for k in range(1 + round(2 * strength)):
            height = -50 + 17 * k + float(rng.uniform(-4, 4))
            plates.append((side, height, float(rng.uniform(-0.3, 0.15))))
    devices = _draw_devices(rng, supine, tuple(gap)) if has["Support Devices"] else ()
    findings += [Finding(name="Support Devices", detail=device) for device in devices]

    mentioned = {finding.name for finding in findings}
    findings += [Finding(name=name, state="absent") for name in PREVALENCE if name not in mentioned]
    if not mentioned - {"Support Devices"}:
        findings.append(Finding(name="No Finding"))
    return Lesions(
        heart_width=heart_width,
        fluid=fluid,
        gap=gap,
        consolidations=tuple(consolidations),
        nodules=tuple(nodules),
        congestion=congestion,
        plates=tuple(plates),
        devices=devices,
        findings=tuple(findings),
    )


def _draw_lung(rng: np.random.Generator) -> LungSide:
    return "left" if rng.random() < 0.5 else "right"


def _draw_zone(rng: np.random.Generator) -> Zone:
    zones: tuple[Zone, ...] = ("upper", "mid", "lower")
    return zones[rng.integers(3)]


def _blob(
    rng: np.random.Generator,
    thorax: Thorax,
    side: LungSide,
    zone: Zone,
    size: float,
    *,
    density: float,
    roughness: float,
) -> Blob:
    """An opacity of the given half axis in mm, centered in a zone of one lung."""
    sign = 1 if side == "left" else -1
    y = float(rng.uniform(*ZONE_HEIGHT[zone]))
    width, depth = (float(v) for v in cage_half_axes(thorax, np.float32(y)))  # type: ignore[arg-type]
    inner = 62.0 if (zone == "lower" and side == "left") else 48.0
    outer = max(width - size - 4, inner + 2)
    x = sign * float(rng.uniform(inner, outer))
    room = depth * float(np.sqrt(max(1 - (x / width) ** 2, 0.05))) - size
    # Near the base the heart fills the front: a visible opacity is behind it.
    z = float(rng.uniform(-0.9, -0.4) if zone == "lower" else rng.uniform(-0.8, 0.6))
    z *= max(room, 0.0)
    stretch = rng.uniform(0.8, 1.25, 3) if roughness else np.ones(3)
    return Blob(
        center=(x, y, z),
        half_axes=(float(size * stretch[0]), float(size * stretch[1]), float(size * stretch[2])),
        density=density,
        roughness=roughness,
        phases=tuple(float(p) for p in rng.uniform(0, 2 * np.pi, 6)),
    )


def _draw_devices(
    rng: np.random.Generator, supine: bool, pneumothorax: tuple[LungSide, ...]
) -> tuple[Device, ...]:
    """Tubes for supine patients, pacemakers for standing ones, a chest tube for a pneumothorax."""
    chance: dict[Device, float] = {
        "endotracheal tube": 0.55 if supine else 0.0,
        "nasogastric tube": 0.45 if supine else 0.1,
        "central line": 0.5,
        "pacemaker": 0.15 if supine else 0.55,
        "chest tube": 0.5 if pneumothorax else 0.0,
    }
    chosen = tuple(device for device, p in chance.items() if rng.random() < p)
    return chosen or ("central line",)
