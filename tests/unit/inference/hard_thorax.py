"""A simulated thorax for hard lungs: pleura, diaphragm, ribs, lobes, and what can go wrong.

Everything is a formula of the place in LPS mm, so truth holds on any grid. Unlike
`inference.phantom` the rib cage follows the lungs up to the apex, the diaphragm has domes over
liver and stomach, and fissures part the lobes. Simple shapes still: it shows that the software
does what it says, nothing of patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.volume import Volume

Array = NDArray[np.float64]
Side = Literal["left", "right"]
EDGE_MM = 0.8
APEX_Z_MM, DOME_Z_MM, RECESS_Z_MM = 140.0, -55.0, -150.0
LOBES = (
    "right upper lobe",
    "right middle lobe",
    "right lower lobe",
    "left upper lobe",
    "left lower lobe",
)


@dataclass(frozen=True, kw_only=True)
class Ball:
    centre: tuple[float, float, float]
    radius_mm: float
    hu: float


@dataclass(frozen=True, kw_only=True)
class ThoraxSpec:
    """Lengths in mm, densities in HU, angles in degrees."""

    seed: int = 0
    slices: int = 104
    pixels: int = 128
    slice_spacing_mm: float = 3.0
    pixel_spacing_mm: float = 3.0
    centre_z_mm: float = -10.0
    centre_x_mm: float = 0.0
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flip: tuple[int, ...] = ()
    """Axes whose direction is turned round: feet first, left for right."""
    noise_hu: float = 15.0
    noise_pixels: float = 0.7
    """Width of the noise's grain: small for sharp kernels."""
    lung_hu: float = -860.0
    effusion: tuple[tuple[Side, float], ...] = ()
    """Side and the depth of the fluid at the back."""
    solid_lobes: tuple[str, ...] = ()
    fluid_side: Side | None = None
    """A side without any lung: pneumonectomy; the mediastinum moves there."""
    solid_side: Side | None = None
    bullae: tuple[Ball, ...] = ()
    balls: tuple[Ball, ...] = ()
    bowel_gas: bool = False
    table_and_arms: bool = False
    circle: bool = False
    """Nothing outside the inscribed circle, as scanners leave it."""
    fissures: bool = False
    fissure_tilt: float = 0.0
    vessels: int = 0
    """Vessels per lobe."""


@dataclass(frozen=True, kw_only=True)
class Thorax:
    volume: Volume
    aerated: NDArray[np.bool_]
    """Lung with air in it, without trachea and bronchi."""
    lung: NDArray[np.uint8]
    """1 right, 2 left: with consolidation and effusion."""
    spec: ThoraxSpec


def make_thorax(spec: ThoraxSpec) -> Thorax:
    random = np.random.default_rng(spec.seed)
    affine = _affine(spec)
    shape = (spec.slices, spec.pixels, spec.pixels)
    hu = np.empty(shape, dtype=np.float32)
    lung = np.zeros(shape, dtype=np.uint8)
    aerated = np.zeros(shape, dtype=bool)
    j, i = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for k in range(spec.slices):
        x, y, z = (
            affine[row, 0] * k + affine[row, 1] * j + affine[row, 2] * i + affine[row, 3]
            for row in range(3)
        )
        hu[k], lung[k], aerated[k] = _slice(spec, x, y, z)
    if spec.vessels:
        _draw_vessels(hu, aerated, affine, spec, random)
    pixel = 0.5 / spec.pixel_spacing_mm
    hu = ndimage.gaussian_filter(hu, (0.25, pixel, pixel), truncate=3.0)
    for plane in hu:
        noise = ndimage.gaussian_filter(random.standard_normal(plane.shape), spec.noise_pixels)
        plane += (noise * (spec.noise_hu / noise.std())).astype(np.float32)
    if spec.circle:
        half = (spec.pixels - 1) / 2
        outside = (j - half) ** 2 + (i - half) ** 2 > (spec.pixels / 2) ** 2
        hu[:, outside] = -1024.0
        aerated[:, outside] = False
        lung[:, outside] = 0
    image = np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)
    for axis in spec.flip:
        affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        affine[:3, axis] *= -1
    return Thorax(
        volume=Volume(hu=np.ascontiguousarray(np.flip(image, spec.flip)), affine=affine),
        aerated=np.flip(aerated, spec.flip),
        lung=np.flip(lung, spec.flip),
        spec=spec,
    )


def lobe_at(point: tuple[float, float, float], spec: ThoraxSpec) -> str:
    x, y, z = (np.array(value, dtype=np.float64) for value in point)
    return LOBES[int(_lobe(x, y, z, spec))]


def fissure_distance_mm(point: tuple[float, float, float], spec: ThoraxSpec) -> float:
    """To the nearest fissure that borders the point's lobe, about."""
    x, y, z = (np.array(value, dtype=np.float64) for value in point)
    oblique, horizontal = _fissures(x, y, z, spec)
    distances = [abs(float(oblique))]
    if float(x) < 0 and float(oblique) > 0:
        distances.append(abs(float(horizontal)))
    return min(distances)


def _affine(spec: ThoraxSpec) -> Array:
    turn = Rotation.from_euler("xyz", spec.rotation_deg, degrees=True).as_matrix()
    axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float64).T
    steps = (spec.slice_spacing_mm, spec.pixel_spacing_mm, spec.pixel_spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag(steps)
    middle = (np.array([spec.slices, spec.pixels, spec.pixels]) - 1) / 2
    affine[:3, 3] = (spec.centre_x_mm, 0.0, spec.centre_z_mm) - affine[:3, :3] @ middle
    return affine


def _inside(depth: Array) -> Array:
    return 1.0 / (1.0 + np.exp(np.clip(-depth / (EDGE_MM / 2), -30, 30)))


def _mix(hu: Array, share: Array, density: float | Array) -> None:
    hu += share * (density - hu)


def _taper(z: Array) -> Array:
    """The rib cage narrows towards the apex."""
    up = np.clip((z - 10.0) / (APEX_Z_MM + 4.0 - 10.0), 0, 1)
    return np.maximum(np.sqrt(1 - up**2), 0.02) ** 0.8


def _wall_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth inside the pleural side of the rib cage."""
    taper = _taper(z)
    return (1 - np.sqrt((x / (138.0 * taper)) ** 2 + (y / (98.0 * taper)) ** 2)) * 98.0 * taper


def _diaphragm_z(x: Array, y: Array) -> Array:
    right = DOME_Z_MM - (RECESS_Z_MM * -1 + DOME_Z_MM) * (
        ((x + 62.0) / 76.0) ** 2 + ((y + 12.0) / 104.0) ** 2
    )
    left = DOME_Z_MM - 15.0 - 85.0 * (((x - 62.0) / 76.0) ** 2 + ((y + 12.0) / 104.0) ** 2)
    return np.maximum(np.where(x < 0, right, left), RECESS_Z_MM)


def _pleura_depth(spec: ThoraxSpec, x: Array, y: Array, z: Array) -> Array:
    """Depth inside the pleural space of either side."""
    shift = {"left": 28.0, "right": -28.0, None: 0.0}[spec.fluid_side]
    middle = np.abs(x - shift) - (20.0 + 6.0 * np.clip((60.0 - z) / 120.0, 0, 1))
    heart = (
        np.sqrt(
            ((x - 22.0 - shift) / 56.0) ** 2 + ((y + 35.0) / 46.0) ** 2 + ((z + 25.0) / 58) ** 2
        )
        - 1.0
    ) * 46.0
    spine = np.sqrt((x / 1.2) ** 2 + (y - 86.0) ** 2) - 30.0
    above = (z - _diaphragm_z(x, y)) * 0.6
    return np.minimum.reduce([_wall_depth(x, y, z) - 3.0, middle, heart, spine, above])


def _fissures(x: Array, y: Array, z: Array, spec: ThoraxSpec) -> tuple[Array, Array]:
    """Signed distances, about, to oblique (above is positive) and horizontal fissure."""
    slope = 0.85 + spec.fissure_tilt
    height = -14.0 + np.where(x < 0, 0.0, 10.0) + slope * y - 0.0018 * (np.abs(x) - 70.0) ** 2
    height = height - 0.0012 * y**2
    oblique = (z - height) / np.sqrt(1 + slope**2)
    horizontal = z - (8.0 + 0.12 * (y + 30.0) + 0.1 * (x + 70.0) - 0.001 * (x + 70.0) ** 2)
    return oblique, horizontal


def _lobe(x: Array, y: Array, z: Array, spec: ThoraxSpec) -> NDArray[np.int_]:
    oblique, horizontal = _fissures(x, y, z, spec)
    right = np.where(oblique < 0, 2, np.where(horizontal < 0, 1, 0))
    return np.asarray(np.where(x < 0, right, np.where(oblique < 0, 4, 3)))


def _slice(
    spec: ThoraxSpec, x: Array, y: Array, z: Array
) -> tuple[Array, NDArray[np.uint8], NDArray[np.bool_]]:
    hu = np.full(x.shape, -1000.0)
    body = (1 - np.sqrt((x / 172.0) ** 2 + (y / 126.0) ** 2)) * 126.0
    _mix(hu, _inside(body), -95.0)
    wall = _wall_depth(x, y, z)
    _mix(hu, _inside(wall + 12.0), 45.0)
    _mix(hu, _inside(_liver_depth(x, y, z)), 60.0)
    band = (z + 0.4 * np.abs(x) - 0.3 * y) % 26.0
    rib = _inside(3.0 - np.abs(wall + 4.0)) * _inside(5.5 - np.abs(band - 13.0))
    _mix(hu, rib, 420.0)
    _mix(hu, _inside(19.0 - np.sqrt((x / 1.15) ** 2 + (y - 88.0) ** 2)), 230.0)
    if spec.bowel_gas:
        stomach = np.sqrt(((x - 66) / 42) ** 2 + ((y + 30) / 38) ** 2 + ((z + 122) / 34) ** 2)
        colon = np.sqrt(((x + 95) / 22) ** 2 + ((y + 60) / 24) ** 2 + ((z + 160) / 22) ** 2)
        _mix(hu, _inside((1 - np.minimum(stomach, colon)) * 30.0), -990.0)
    depth = _pleura_depth(spec, x, y, z)
    inside = depth > 0
    left = x > {"left": 28.0, "right": -28.0, None: 0.0}[spec.fluid_side]
    density = spec.lung_hu + 0.3 * y + 8.0 * np.sin(x / 7.0) * np.sin(y / 9.0) * np.sin(z / 8.0)
    _mix(hu, _inside(depth), density)
    if spec.fissures:
        hu += _fissure_hu(spec, x, y, z) * _inside(depth - 1.0)
    solid = _without_air(spec, x, y, z, left)
    _mix(hu, _inside(depth) * solid, 28.0)
    trachea = _airway_depth(spec, x, y, z)
    _mix(hu, _inside(trachea + 1.5), 40.0)
    _mix(hu, _inside(trachea), -990.0)
    aerated = inside & (solid < 0.5) & (trachea < -1.5)
    for ball in (*spec.bullae, *spec.balls):
        cx, cy, cz = ball.centre
        ball_depth = ball.radius_mm - np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        within = inside if ball in spec.bullae else np.ones_like(inside)
        _mix(hu, _inside(ball_depth) * within, ball.hu)
        if ball.hu > -400:
            aerated &= ball_depth < 0
    if spec.table_and_arms:
        _table_and_arms(hu, x, y)
    return hu, np.where(inside, np.where(left, 2, 1), 0).astype(np.uint8), aerated


def _liver_depth(x: Array, y: Array, z: Array) -> Array:
    return np.minimum(_wall_depth(x, y, z) - 5.0, _diaphragm_z(x, y) - 4.0 - z)


def _airway_depth(spec: ThoraxSpec, x: Array, y: Array, z: Array) -> Array:
    """Trachea from the neck to z = 35, main bronchi from there down and out."""
    shift = {"left": 14.0, "right": -14.0, None: 0.0}[spec.fluid_side]
    trachea = np.minimum(8.5 - np.sqrt((x - shift) ** 2 + (y - 15.0) ** 2), z - 33.0)
    bronchi = [trachea]
    for sign, side in ((-1.0, "right"), (1.0, "left")):
        if side in (spec.fluid_side, spec.solid_side):
            continue
        along = np.clip((35.0 - z) / 30.0, 0, 1)
        x_axis, y_axis = shift + sign * 34.0 * along, 15.0 + 6.0 * along
        distance = np.sqrt((0.7 * (x - x_axis)) ** 2 + (y - y_axis) ** 2)
        bronchi.append(np.minimum(6.0 - distance, np.minimum(37.0 - z, z - 3.0)))
    return np.maximum.reduce(bronchi)


def _without_air(spec: ThoraxSpec, x: Array, y: Array, z: Array, left: NDArray[np.bool_]) -> Array:
    """Share of fluid or consolidation, 0 to 1."""
    solid = np.zeros_like(x)
    for side, depth_mm in spec.effusion:
        on_side = left if side == "left" else ~left
        # Lies at the back, climbs a little at the wall, more at the base (supine).
        surface = 95.0 - depth_mm * (1.0 + 0.25 * np.clip(-z / 100.0, -1, 1))
        solid = np.maximum(solid, _inside(y - surface) * on_side)
    if spec.solid_lobes:
        lobe = _lobe(x, y, z, spec)
        for name in spec.solid_lobes:
            solid = np.maximum(solid, (lobe == LOBES.index(name)).astype(np.float64))
    for side in (spec.fluid_side, spec.solid_side):
        if side is not None:
            solid = np.maximum(solid, (left if side == "left" else ~left).astype(np.float64))
    return solid


def _fissure_hu(spec: ThoraxSpec, x: Array, y: Array, z: Array) -> Array:
    """0.8 mm of tissue, spread over what a voxel of this grid sees; HU above the lung."""
    oblique, horizontal = _fissures(x, y, z, spec)
    width = np.hypot(0.4, 0.35 * spec.slice_spacing_mm)
    horizontal = np.where((x < 0) & (oblique > 0), horizontal, 1e3)
    sheet = np.exp(-0.5 * (oblique / width) ** 2) + np.exp(-0.5 * (horizontal / width) ** 2)
    return np.asarray(900.0 * 0.8 / (width * np.sqrt(2 * np.pi)) * np.minimum(sheet, 1.0))


def _table_and_arms(hu: Array, x: Array, y: Array) -> None:
    """Arms at the sides, a shell table close to the back, a pad of foam between."""
    pad = np.minimum(140.0 - np.abs(x), 9.0 - np.abs(y - 134.0))
    _mix(hu, _inside(pad) * (hu < -900), -930.0)
    table = np.abs(np.hypot(x / 2.6, y - 20.0) - 132.0)
    _mix(hu, _inside(1.6 - table) * _inside(y - 100.0), 120.0)
    for sign in (-1, 1):
        distance = np.hypot(x - sign * 200.0, y - 20.0)
        _mix(hu, _inside(30.0 - distance), 50.0)
        _mix(hu, _inside(10.0 - distance), 600.0)


def _draw_vessels(
    hu: NDArray[np.float32],
    aerated: NDArray[np.bool_],
    affine: Array,
    spec: ThoraxSpec,
    random: np.random.Generator,
) -> None:
    """Tubes from the hilum that stay in their lobe and keep off the fissures."""
    inverse = np.linalg.inv(affine)
    for index, name in enumerate(LOBES):
        side = -1.0 if name.startswith("right") else 1.0
        for _ in range(spec.vessels):
            end = _point_in_lobe(index, side, spec, random)
            start = np.array([side * 40.0, 20.0, 0.0])
            if lobe_at((start[0], start[1], start[2]), spec) != name:
                start = end + (start - end) * random.uniform(0.2, 0.5)
            radius = random.uniform(1.0, 2.6)
            for share in np.linspace(0, 1, 60):
                point = start + share * (end - start)
                place = (float(point[0]), float(point[1]), float(point[2]))
                if lobe_at(place, spec) != name or fissure_distance_mm(place, spec) < radius + 3:
                    continue
                _splat(hu, aerated, affine, inverse, point, radius * (1 - 0.6 * share))


def _point_in_lobe(index: int, side: float, spec: ThoraxSpec, random: np.random.Generator) -> Array:
    for _ in range(5000):
        point = random.uniform((25, -90, -140), (130, 90, 130)) * np.array([side, 1.0, 1.0])
        x, y, z = (np.array(value) for value in point)
        if int(_lobe(x, y, z, spec)) == index and float(_pleura_depth(spec, x, y, z)) > 6.0:
            return np.asarray(point)
    raise ValueError(f"no place in the {LOBES[index]}")


def _splat(
    hu: NDArray[np.float32],
    aerated: NDArray[np.bool_],
    affine: Array,
    inverse: Array,
    point: Array,
    radius: float,
) -> None:
    centre = inverse[:3, :3] @ point + inverse[:3, 3]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    reach = np.ceil((radius + 1.5) / spacing).astype(int)
    low = np.maximum(np.rint(centre).astype(int) - reach, 0)
    high = np.minimum(np.rint(centre).astype(int) + reach + 1, hu.shape)
    if (high <= low).any():
        return
    box = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    offsets = np.stack(
        np.meshgrid(*(np.arange(*p) for p in zip(low, high, strict=True)), indexing="ij")
    )
    distance = np.linalg.norm((offsets.T - centre) * spacing, axis=-1).T
    share = _inside(radius - distance)
    hu[box] = np.where(aerated[box], np.maximum(hu[box], -860.0 + share * 900.0), hu[box])


CASES: dict[str, ThoraxSpec] = {
    "healthy": ThoraxSpec(vessels=12),
    "effusion left": ThoraxSpec(effusion=(("left", 60.0),)),
    "effusion of both sides": ThoraxSpec(effusion=(("left", 50.0), ("right", 60.0))),
    "consolidated right lower lobe": ThoraxSpec(solid_lobes=("right lower lobe",)),
    "consolidated left upper lobe": ThoraxSpec(solid_lobes=("left upper lobe",)),
    "collapsed right lung": ThoraxSpec(solid_side="right"),
    "left pneumonectomy": ThoraxSpec(fluid_side="left"),
    "emphysema with bullae": ThoraxSpec(
        lung_hu=-945.0,
        bullae=(
            Ball(centre=(-30.0, -55.0, 40.0), radius_mm=16.0, hu=-995.0),
            Ball(centre=(40.0, -40.0, 90.0), radius_mm=22.0, hu=-995.0),
            Ball(centre=(-50.0, 40.0, 80.0), radius_mm=30.0, hu=-995.0),
        ),
    ),
    "pleural mass": ThoraxSpec(balls=(Ball(centre=(-105.0, 30.0, 20.0), radius_mm=34.0, hu=40.0),)),
    "mass at the hilum": ThoraxSpec(
        balls=(Ball(centre=(46.0, 25.0, 50.0), radius_mm=26.0, hu=40.0),)
    ),
    "bowel gas": ThoraxSpec(bowel_gas=True),
    "bases cut off": ThoraxSpec(slices=60, centre_z_mm=60.0),
    "apices cut off": ThoraxSpec(slices=60, centre_z_mm=-70.0),
    "tilted": ThoraxSpec(rotation_deg=(14.0, 8.0, 10.0)),
    "table and arms": ThoraxSpec(table_and_arms=True, pixels=160),
    "cropped field of view": ThoraxSpec(pixel_spacing_mm=1.9, circle=True),
    "low dose": ThoraxSpec(noise_hu=50.0, vessels=8),
    "sharp kernel": ThoraxSpec(noise_hu=80.0, noise_pixels=0.35, vessels=8),
    "feet first, turned round": ThoraxSpec(flip=(0, 1, 2)),
}
"""Simulated thoraces by name, each with something that lungs are lost by."""
