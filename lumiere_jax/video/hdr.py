"""Convert HDR (PQ, HLG) and wide-gamut (BT.2020, Display P3) pictures to sRGB.

HDR light is mapped with the curve of ITU-R BT.2390 from a peak of 1000 cd/m², where most footage is
graded, to a peak of 203 cd/m², the diffuse white of ITU-R BT.2408: parts darker than about 90 cd/m²
keep their light, brighter ones are compressed, and all beyond 1000 cd/m² is white. The curve is
applied to the greatest of R, G and B and the others are scaled with it, which keeps the hue. The
primaries become those of BT.709, colours outside of them are clipped, and the result is encoded
with the curve of sRGB. Wide-gamut pictures that are not HDR keep their light.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, UInt8, UInt16

# Numbers of ITU-T H.273, as files carry them.
PQ, HLG = 16, 18
BT709, UNSPECIFIED, BT2020, DISPLAY_P3 = 1, 2, 9, 12

PEAK = 1000.0  # cd/m² of the brightest light that is kept apart from white
WHITE = 203.0  # cd/m² that become the white of the result
DISPLAY_GAMMA = 2.4  # of screens for ordinary video, ITU-R BT.1886
HLG_GAMMA = 1.2  # of the light of an HLG screen with a peak of 1000 cd/m², ITU-R BT.2100
BLOCK = 1 << 14  # pixels converted at a time, so that the temporary arrays stay in the cache

# Red, green and blue as CIE (x, y); all with the white D65.
PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)


@dataclasses.dataclass(frozen=True)
class Conversion:
    """Conversion that a picture's tags require.

    Attributes:
      transfer: transfer curve, PQ or HLG; None for a picture that is not HDR.
      primaries: key of `PRIMARIES`.
    """

    transfer: int | None
    primaries: int


def find_conversion(transfer: int, primaries: int) -> Conversion | None:
    """Return the conversion that a picture needs, None for an ordinary one.

    Args:
      transfer, primaries: transfer curve and primaries of the picture, as in ITU-T H.273.
    """
    if transfer in (PQ, HLG):
        return Conversion(transfer, BT2020 if primaries not in PRIMARIES else primaries)
    if primaries in (BT2020, DISPLAY_P3):
        return Conversion(None, primaries)
    return None


def to_sdr(
    picture: UInt16[np.ndarray, "h w 3"], conversion: Conversion, white: int = 65535
) -> UInt8[np.ndarray, "h w 3"]:
    """Return an HDR or wide-gamut picture in sRGB.

    Args:
      picture: R'G'B' codes, 0 … `white`.
      conversion: result of `find_conversion`.
      white: code of full intensity.
    """
    light_of_code = _light_of_code(conversion.transfer, white)
    code_of_root = _code_of_root(conversion.transfer is not None)
    to_bt709 = _to_bt709(conversion.primaries)
    codes = picture.reshape(-1, 3)
    result = np.empty(codes.shape, np.uint8)
    for first in range(0, len(codes), BLOCK):
        block = slice(first, first + BLOCK)
        light = light_of_code.take(codes[block].T)  # [3, n]: faster than [n, 3]
        if conversion.transfer is not None:
            light = _tone_mapped(light, conversion)
        roots = np.sqrt(np.clip(to_bt709 @ light, 0, 1))
        # Codes are tabulated over the root of light, where their steps are nearly even.
        result[block] = code_of_root.take(_index(roots)).T
    return result.reshape(picture.shape)


def _tone_mapped(light: Float[np.ndarray, "3 n"], conversion: Conversion) -> np.ndarray:
    """Compress light in units of PEAK to light in units of WHITE, in [0, 1]."""
    if conversion.transfer == HLG:  # light at the camera: a screen scales it by luminance
        luminance = _to_xyz(conversion.primaries)[1].astype(np.float32) @ light
        light = light * luminance ** np.float32(HLG_GAMMA - 1)
    greatest = light.max(0)
    gain = _gain_of_root().take(_index(np.sqrt(np.minimum(greatest, 1))))
    return light * (gain / np.maximum(greatest, 1))


def _index(values: Float[np.ndarray, "..."]) -> UInt16[np.ndarray, "..."]:
    """Return the indices of values in [0, 1] in a table of 65536 entries."""
    return (values * 65535 + 0.5).astype(np.uint16)


@functools.lru_cache(maxsize=8)
def _light_of_code(transfer: int | None, white: int) -> Float[np.ndarray, "65536"]:
    """Return the light of every code: over PEAK (PQ), of the scene (HLG), or relative to white."""
    code = np.minimum(np.arange(65536) / white, 1)
    if transfer == PQ:
        light = pq_to_light(code) / PEAK
    elif transfer == HLG:
        light = hlg_to_light(code)
    else:
        light = code**DISPLAY_GAMMA
    return light.astype(np.float32)


@functools.lru_cache(maxsize=2)
def _code_of_root(hdr: bool) -> UInt8[np.ndarray, "65536"]:
    """Return the 8-bit code of every root of light."""
    light = (np.arange(65536) / 65535) ** 2
    code = light_to_srgb(light) if hdr else light ** (1 / DISPLAY_GAMMA)
    return np.rint(255 * code).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _gain_of_root() -> Float[np.ndarray, "65536"]:
    """Return the factor from units of PEAK to WHITE, for every root of light."""
    light = np.maximum((np.arange(65536) / 65535) ** 2, 1e-12)
    return (compress(PEAK * light) / WHITE / light).astype(np.float32)


def compress(light: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Compress light of at most PEAK to at most WHITE, both in cd/m² (BT.2390)."""
    peak = light_to_pq(PEAK)
    most = light_to_pq(WHITE) / peak
    value = light_to_pq(light) / peak
    knee = 1.5 * most - 0.5
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    return pq_to_light(np.where(value < knee, value, spline) * peak)


def pq_to_light(code: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return the light in cd/m² of PQ codes in [0, 1] (SMPTE ST 2084)."""
    root = np.power(code, 32 / 2523)
    ratio = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return 10000 * np.power(ratio, 16384 / 2610)


def light_to_pq(light: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."] | np.floating:
    """Return the PQ codes of light in cd/m²; the inverse of `pq_to_light`."""
    root = np.power(np.asarray(light) / 10000, 2610 / 16384)
    return np.power((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root), 2523 / 32)


def hlg_to_light(code: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return the scene's light in [0, 1] of HLG codes (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def light_to_srgb(light: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """Return the sRGB codes in [0, 1] of light in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@functools.lru_cache(maxsize=4)
def _to_bt709(primaries: int) -> Float[np.ndarray, "3 3"]:
    return (np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries)).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _to_xyz(primaries: int) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB to CIE XYZ; its second row gives luminance."""
    colours = np.array([(x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[primaries]]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    return colours * np.linalg.solve(colours, white)
