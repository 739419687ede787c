"""One synthetic patient: trunk with its organs, breasts, vessels, benign and malignant growths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.phantom.anatomy import Texture
from infra.phantom.breast import Breast, Chest
from infra.phantom.fields import SmoothField
from infra.phantom.grid import Matrix, rotation
from infra.phantom.patient.tissues import Tissue
from infra.phantom.patient.tumour import Tumour, random_tumour
from infra.phantom.vessels import random_vessel


@dataclass(frozen=True)
class Ellipsoid:
    """A smooth body.

    Attributes
    ----------
    centre, semi_axes:
        (3,) LPS mm.
    turn:
        3x3 rotation from patient axes to its own.
    tissue:
        What fills it.
    kernel, kernel_share:
        What fills its middle, up to this share of the semi-axes; None: nothing else.
    """

    centre: Matrix
    semi_axes: Matrix
    turn: Matrix
    tissue: Tissue
    kernel: Tissue | None = None
    kernel_share: float = 0.0


@dataclass(frozen=True)
class Thorax:
    """What lies behind the breasts; millimetres.

    Attributes
    ----------
    fat, muscle, wall:
        Thickness of fat under the skin, pectoral muscle and ribs.
    right_dome, left_dome:
        Height (LPS z) of the top of either half of the diaphragm.
    organs:
        Heart with chambers, spine, spleen, stomach: painted in this order.
    large_vessels, liver_vessels:
        (n, 4) float64: centre x, y, z and radius.
    """

    fat: float
    muscle: float
    wall: float
    right_dome: float
    left_dome: float
    organs: tuple[Ellipsoid, ...]
    large_vessels: Matrix
    liver_vessels: Matrix


@dataclass(frozen=True)
class Patient:
    """A patient as functions of LPS millimetres.

    Attributes
    ----------
    breasts:
        Right and left breast (LPS x < 0 and x > 0).
    side:
        Index of the breast that a one-sided examination shows, and that holds the tumour.
    density:
        Share of glandular tissue, about -1 (fatty) to 0.9 (dense).
    patchiness:
        Strength of coarse and fine variation of the parenchymal enhancement.
    growths:
        Benign masses, cysts, nodes, implants, clips: painted in this order.
    arteries, veins, foci:
        (n, 4) float64: centre x, y, z and radius, in mm.
    tumours:
        The primary tumour first; then further malignant foci. Empty in a healthy patient.
    """

    chest: Chest
    thorax: Thorax
    breasts: tuple[Breast, Breast]
    side: int
    density: float
    texture: Texture
    patchiness: tuple[float, float]
    nipple_mm: float
    skin_mm: float
    growths: tuple[Ellipsoid, ...]
    arteries: Matrix
    veins: Matrix
    foci: Matrix
    tumours: tuple[Tumour, ...]

    def nipples(self) -> Matrix:
        """(2, 3) LPS mm."""
        return np.array([breast.place(0.0, 1.0, 0.0) for breast in self.breasts])


def random_patient(seed: int, has_lesion: bool) -> Patient:
    """Draw a patient; the same arguments always give the same patient."""
    rng = np.random.default_rng([seed, 11])
    chest = Chest(rng.uniform(150, 205), rng.uniform(90, 135))
    breasts = _random_breasts(rng, chest)
    side = int(rng.integers(2))
    texture = Texture(*(SmoothField(rng, scale) for scale in (20.0, 6.5, 14.0, 9.0)))
    tumours: tuple[Tumour, ...] = ()
    if has_lesion:
        tumours = _random_tumours(np.random.default_rng([seed, 12]), breasts[side])
    thorax = _random_thorax(rng, chest)
    return Patient(
        chest=chest,
        thorax=thorax,
        breasts=breasts,
        side=side,
        density=float(rng.uniform(-1.0, 0.9)),
        texture=texture,
        patchiness=(rng.uniform(0.1, 0.9), rng.uniform(0.0, 0.7)),
        nipple_mm=float(rng.uniform(3.5, 7.0)),
        skin_mm=float(rng.uniform(1.2, 3.0)),
        growths=(*_random_growths(rng, breasts), *_clips(seed, breasts, tumours)),
        arteries=_random_arteries(rng, breasts, chest),
        veins=_random_veins(rng, breasts, chest),
        foci=np.concatenate([_random_foci(rng, breast) for breast in breasts]),
        tumours=tumours,
    )


def _random_breasts(rng: np.random.Generator, chest: Chest) -> tuple[Breast, Breast]:
    """A right and a left breast that resemble each other, small to large."""
    size = rng.uniform(0.0, 1.0)
    width = 50 + 28 * size + rng.uniform(-4, 4)
    distance = width + rng.uniform(8, 26)
    depth = 34 + 75 * size + rng.uniform(-8, 10)
    height = 50 + 28 * size + rng.uniform(-5, 5)
    droop = rng.uniform(-0.1, 0.4)

    def one(sign: float) -> Breast:
        x = sign * (distance + rng.uniform(-5, 5))
        return Breast(
            base=np.array([x, chest.front_y(x) + 4.0, rng.uniform(-8, 8)]),
            half_width_mm=width * rng.uniform(0.92, 1.08),
            depth_mm=depth * rng.uniform(0.88, 1.12),
            half_height_mm=height * rng.uniform(0.92, 1.08),
            droop=droop + rng.uniform(-0.05, 0.05),
            outline=SmoothField(rng, 25.0),
        )

    return one(-1.0), one(1.0)


def _random_tumours(rng: np.random.Generator, breast: Breast) -> tuple[Tumour, ...]:
    """The primary tumour and often further foci within some centimetres of it."""
    smallest = min(breast.half_width_mm, breast.depth_mm, breast.half_height_mm)
    radius = min(float(np.exp(rng.uniform(np.log(6.5), np.log(26.0)))), 0.55 * smallest)
    sideways, upward = rng.uniform(-0.65, 0.65, 2)
    centre = breast.place(sideways, rng.uniform(0.08, 0.85), upward)
    tumours = [random_tumour(rng, centre, radius)]
    for _ in range(int(rng.choice(4, p=[0.55, 0.2, 0.15, 0.1]))):
        far = rng.normal(0, 1, 3)
        far *= (radius + rng.uniform(8, 40)) / np.linalg.norm(far)
        lesser = min(float(rng.uniform(2.5, 8.0)), 0.6 * radius)
        tumours.append(random_tumour(rng, centre + far, lesser))
    return tuple(tumours)


def _random_thorax(rng: np.random.Generator, chest: Chest) -> Thorax:
    right = rng.uniform(-110, -10)
    left = right - rng.uniform(5, 30)
    back = 2 * chest.half_depth_mm
    z = max(rng.uniform(-45, 10), left + 25)
    heart = np.array([rng.uniform(15, 45), rng.uniform(62, 88), z])
    ellipsoids = [
        _ellipsoid(rng, heart, rng.uniform([44, 36, 46], [62, 50, 64]), Tissue.MYOCARDIUM),
        *(
            _ellipsoid(rng, heart + rng.normal(0, 9, 3) + shift, size, Tissue.BLOOD)
            for shift, size in (
                (np.array([14.0, 8.0, -8.0]), rng.uniform([17, 15, 24], [27, 22, 36])),
                (np.array([-12.0, -12.0, -6.0]), rng.uniform([18, 12, 22], [30, 20, 38])),
                (np.array([-2.0, 16.0, 18.0]), rng.uniform([22, 14, 18], [34, 20, 26])),
            )
        ),
        _ellipsoid(rng, np.array([0.0, 0.8 * back, 0.0]), [21, 17, 900], Tissue.MARROW),
        _ellipsoid(rng, np.array([0.0, 0.8 * back + 25, 0.0]), [9, 8, 900], Tissue.FLUID),
        _ellipsoid(
            rng,
            np.array([rng.uniform(85, 110), 0.68 * back, left - rng.uniform(25, 60)]),
            rng.uniform([22, 32, 38], [34, 50, 58]),
            Tissue.SPLEEN,
        ),
        _ellipsoid(
            rng,
            np.array([rng.uniform(40, 80), rng.uniform(50, 90), left - rng.uniform(25, 60)]),
            rng.uniform([25, 22, 25], [45, 40, 45]),
            Tissue.STOMACH,
        ),
    ]
    return Thorax(
        fat=float(rng.uniform(2, 16)),
        muscle=float(rng.uniform(5, 15)),
        wall=float(rng.uniform(9, 14)),
        right_dome=float(right),
        left_dome=float(left),
        organs=tuple(ellipsoids),
        large_vessels=_large_vessels(rng, heart, back),
        liver_vessels=_liver_vessels(rng, right),
    )


def _ellipsoid(
    rng: np.random.Generator, centre: Matrix, semi_axes: Matrix | list[int], tissue: Tissue
) -> Ellipsoid:
    """A body turned a little about each axis; long ones stay upright."""
    most = 3.0 if max(semi_axes) > 500 else 30.0
    turn = rotation(0, rng.uniform(-most, most)) @ rotation(1, rng.uniform(-most, most))
    return Ellipsoid(np.asarray(centre), np.asarray(semi_axes, np.float64), turn, tissue)


def _large_vessels(rng: np.random.Generator, heart: Matrix, back: float) -> Matrix:
    """Aorta down the spine and up from the heart, pulmonary trunk, superior vena cava."""
    head = np.array([0.0, 0.0, 1.0])
    down = np.array([rng.uniform(12, 28), 0.66 * back, -260.0])
    lines = [random_vessel(rng, down, head, 520.0, rng.uniform(9, 14))]
    for aside, behind, radius in ((-15, 10, 14), (8, 0, 12), (-38, 18, 9)):
        start = heart + np.array([aside, behind, 15.0]) + rng.normal(0, 4, 3)
        lines.append(random_vessel(rng, start, head, 90.0, radius * rng.uniform(0.8, 1.15)))
    return np.concatenate(lines)


def _liver_vessels(rng: np.random.Generator, dome: float) -> Matrix:
    lines = []
    for _ in range(6):
        start = np.array([rng.uniform(-120, -30), rng.uniform(60, 130), dome - 50])
        lines.append(random_vessel(rng, start, rng.normal(0, 1, 3), 70.0, rng.uniform(2, 5)))
    return np.concatenate(lines)


def _random_growths(
    rng: np.random.Generator, breasts: tuple[Breast, Breast]
) -> tuple[Ellipsoid, ...]:
    """What grows or was put into the breasts, and the nodes of the armpits."""
    growths = list[Ellipsoid]()
    has_implants = rng.random() < 0.05
    for breast in breasts:
        if has_implants:
            growths.append(_implant(rng, breast))
        growths += _cysts(rng, breast)
        growths += _benign_masses(rng, breast)
        growths += _nodes(rng, breast)
    return tuple(growths)


def _clips(
    seed: int, breasts: tuple[Breast, Breast], tumours: tuple[Tumour, ...]
) -> tuple[Ellipsoid, ...]:
    """The marker of a biopsy: often in the tumour, sometimes elsewhere."""
    rng = np.random.default_rng([seed, 15])
    if tumours and rng.random() < 0.5:
        near = tumours[0].centre + rng.normal(0, 0.4, 3) * tumours[0].radius_mm
        return (_ball(near, rng.uniform(1.2, 3.0), Tissue.CLIP),)
    if rng.random() < 0.2:
        place = breasts[int(rng.integers(2))].place(
            *rng.uniform([-0.5, 0.2, -0.5], [0.5, 0.7, 0.5])
        )
        return (_ball(place, rng.uniform(1.2, 3.0), Tissue.CLIP),)
    return ()


def _implant(rng: np.random.Generator, breast: Breast) -> Ellipsoid:
    size = rng.uniform(0.55, 0.8)
    axes = size * np.array([breast.half_width_mm, 0.55 * breast.depth_mm, breast.half_height_mm])
    return Ellipsoid(breast.place(0, 0.3, 0), axes, np.eye(3), Tissue.IMPLANT)


def _ball(centre: Matrix, radius: float, tissue: Tissue) -> Ellipsoid:
    return Ellipsoid(centre, np.full(3, radius), np.eye(3), tissue)


def _somewhere(rng: np.random.Generator, breast: Breast) -> Matrix:
    sideways, upward = rng.uniform(-0.6, 0.6, 2)
    return breast.place(sideways, rng.uniform(0.12, 0.8), upward)


def _oval(rng: np.random.Generator, place: Matrix, radius: float, tissue: Tissue) -> Ellipsoid:
    axes = radius * rng.uniform(0.7, 1.35, 3)
    turn = rotation(2, rng.uniform(0, 180)) @ rotation(0, rng.uniform(0, 180))
    return Ellipsoid(place, axes, turn, tissue)


def _cysts(rng: np.random.Generator, breast: Breast) -> list[Ellipsoid]:
    """Cysts, some with an enhancing wall, some of blood."""
    cysts = []
    for _ in range(int(rng.choice(5, p=[0.5, 0.2, 0.12, 0.1, 0.08]))):
        radius = float(np.exp(rng.uniform(np.log(2), np.log(14))))
        fluid = Tissue.CYST if rng.random() < 0.75 else Tissue.BLOOD_PRODUCT
        place, inflamed = _somewhere(rng, breast), rng.random() < 0.15
        body = _oval(rng, place, radius, Tissue.BENIGN if inflamed else fluid)
        if inflamed:
            share = 1 - 1.2 / radius
            body = Ellipsoid(place, body.semi_axes, body.turn, Tissue.BENIGN, fluid, share)
        cysts.append(body)
    return cysts


def _benign_masses(rng: np.random.Generator, breast: Breast) -> list[Ellipsoid]:
    """Fibroadenomas and intramammary nodes: smooth, oval, slow."""
    masses = []
    for _ in range(int(rng.choice(4, p=[0.5, 0.28, 0.14, 0.08]))):
        radius = float(np.exp(rng.uniform(np.log(2.5), np.log(11))))
        tissue = Tissue.BENIGN if rng.random() < 0.6 else Tissue.BENIGN_OTHER
        masses.append(_oval(rng, _somewhere(rng, breast), radius, tissue))
    if rng.random() < 0.3:
        place = breast.place(np.sign(breast.base[0]) * 0.6, rng.uniform(0.1, 0.4), 0.5)
        masses.append(_node(rng, place, rng.uniform(2, 4.5)))
    return masses


def _nodes(rng: np.random.Generator, breast: Breast) -> list[Ellipsoid]:
    """Lymph nodes of the armpit, often bright."""
    outward = float(np.sign(breast.base[0]))
    edge = abs(breast.base[0]) + breast.half_width_mm
    nodes = []
    for _ in range(int(rng.integers(1, 9))):
        place = np.array(
            [
                outward * rng.uniform(edge - 18, edge + 18),
                rng.uniform(15, 85),
                rng.uniform(0, 110),
            ]
        )
        nodes.append(_node(rng, place, float(np.exp(rng.uniform(np.log(2.5), np.log(11))))))
    return nodes


def _node(rng: np.random.Generator, place: Matrix, radius: float) -> Ellipsoid:
    """A lymph node with a fatty hilum, if it is not replaced."""
    body = _oval(rng, place, radius, Tissue.NODE)
    hilum = rng.uniform(0.35, 0.7) if rng.random() < 0.65 else 0.0
    return Ellipsoid(place, body.semi_axes, body.turn, Tissue.NODE, Tissue.FAT, hilum)


def _random_arteries(
    rng: np.random.Generator, breasts: tuple[Breast, Breast], chest: Chest
) -> Matrix:
    """Vessels inside the breasts and the internal mammary ones beside the breastbone."""
    lines = [vessel for breast in breasts for vessel in _branches(rng, breast, (0.6, 2.0), (3, 9))]
    head = np.array([0.0, 0.0, 1.0])
    for sign in (-1.0, 1.0):
        x = sign * rng.uniform(18, 32)
        start = np.array([x, chest.front_y(x) + rng.uniform(14, 32), -160.0])
        lines.append(random_vessel(rng, start, head, 320.0, rng.uniform(1.0, 2.4)))
    return np.concatenate(lines)


def _random_veins(rng: np.random.Generator, breasts: tuple[Breast, Breast], chest: Chest) -> Matrix:
    """Wider and slower vessels of the breasts, and those of the armpits."""
    lines = [vessel for breast in breasts for vessel in _branches(rng, breast, (0.8, 2.6), (1, 6))]
    for sign in (-1.0, 1.0):
        for _ in range(2):
            x = sign * rng.uniform(0.7, 0.95) * chest.half_width_mm
            start = np.array([x, rng.uniform(25, 90), rng.uniform(10, 110)])
            heading = np.array([sign * rng.uniform(-0.3, 0.6), rng.uniform(-0.6, 0.6), 1.0])
            lines.append(random_vessel(rng, start, heading, 130.0, rng.uniform(1.5, 5.0)))
    return np.concatenate(lines)


def _branches(
    rng: np.random.Generator,
    breast: Breast,
    radii: tuple[float, float],
    counts: tuple[int, int],
) -> list[Matrix]:
    """Vessels that enter from the chest or the armpit and fork towards the nipple."""
    lines = []
    for _ in range(int(rng.integers(*counts))):
        sideways, upward = rng.uniform(-0.8, 0.8, 2)
        start = breast.place(sideways, rng.uniform(0.0, 0.35), upward)
        target = breast.place(rng.uniform(-0.5, 0.5), rng.uniform(0.4, 0.95), 0.4 * upward)
        heading = target - start
        length = float(np.linalg.norm(heading)) * rng.uniform(0.6, 1.2)
        radius = float(np.exp(rng.uniform(*np.log(radii))))
        trunk = random_vessel(rng, start, heading, length, radius)
        lines.append(trunk)
        for _ in range(int(rng.integers(1, 3))):
            fork = trunk[int(rng.integers(len(trunk)))]
            aside = heading + rng.normal(0, 0.6, 3) * np.linalg.norm(heading)
            lines.append(random_vessel(rng, fork[:3], aside, 0.6 * length, 0.7 * radius))
    return lines


def _random_foci(rng: np.random.Generator, breast: Breast) -> Matrix:
    """Enhancing dots below 5 mm that are no mass (ACR BI-RADS, MRI lexicon); few or many."""
    count = int(rng.choice([0, 2, 6, 20], p=[0.3, 0.35, 0.25, 0.1]))
    dots = np.empty((count, 4))
    for dot in dots:
        dot[:3] = _somewhere(rng, breast)
        dot[3] = rng.uniform(0.8, 2.4)
    return dots
