"""Files of stereo data: images, masks, and disparities as PFM, NPY, and PNG of KITTI and of Sintel. No TensorFlow.

Whatever a file claims about its size is checked before anything of that size is made.
"""

import pathlib
import re
import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

from rdarts_tf.errors import UserError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")
_MOST_PIXELS = 2**27
_PFM = re.compile(rb"(Pf|PF)\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,32})\s")
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_REPAIR = "repair or remove it"


class FormatError(UserError):
    """A file of stereo data cannot be read; the message says which and why."""


def read_image(path):
    """uint8 [H, W, 3]; grey is repeated, transparency left out.

    Raises:
        FormatError: it cannot be read, is too large, or has more than 8 bits a channel.
    """
    image_size(path)
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise FormatError(f"{path} has more than 8 bits a channel; convert it to 8")
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def image_size(path):
    """(H, W) by the header of an image; a PNG has to have an end, too."""
    path = pathlib.Path(path)
    if path.suffix.lower() == ".png":
        width, height, *_ = _png_header(path)
    else:
        try:
            with Image.open(path) as image:
                width, height = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error
    return _checked(path, height, width)


def read_mask(path):
    """bool [H, W]: which pixels of an image are not black."""
    return read_image(path).any(axis=-1)


def read_disparity(path, encoding=None):
    """float32 [H, W], NaN where unknown.

    Args:
        encoding: of ENCODINGS; None: as the suffix tells, of PNG "kitti".
    Raises:
        FormatError: it cannot be read, or is none.
    """
    _, read = _FORMATS[encoding or encoding_of(path)]
    disparity = read(pathlib.Path(path)).astype(np.float32)
    return np.where(np.isfinite(disparity), disparity, np.float32(np.nan))


def disparity_size(path, encoding=None):
    """(H, W) by the header of a file of disparities, with the checks of `read_disparity` that it allows."""
    size, _ = _FORMATS[encoding or encoding_of(path)]
    return size(pathlib.Path(path))


def encoding_of(path):
    """The encoding that a suffix tells."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            f"{path} has a suffix of no format of disparities; give {', '.join(SUFFIXES)}"
        )
    return SUFFIXES[suffix]


def _pfm_size(path):
    return _pfm_header(path)[:2]


def _read_pfm(path):
    """Rows from bottom to top; a negative scale means little-endian, its magnitude nothing."""
    height, width, order, start = _pfm_header(path)
    values = np.fromfile(path, f"{order}f4", height * width, offset=start)
    return values.reshape(height, width)[::-1]


def _pfm_header(path):
    """(H, W, "<" or ">", where the pixels begin)."""
    beginning, length = _beginning(path, 256)
    found = _PFM.match(beginning)
    if not found:
        raise FormatError(
            f"{path} is no PFM file, which begins with Pf, sizes and scale; {_REPAIR}"
        )
    kind, width, height, scale = found.groups()
    if kind == b"PF":
        raise FormatError(f"{path} is a PFM file of three channels; disparities have one")
    height, width = _checked(path, int(height), int(width))
    try:
        little = float(scale) < 0
    except ValueError as error:
        raise FormatError(f"{path} has the scale {scale.decode()}, no number; {_REPAIR}") from error
    if length != found.end() + 4 * height * width:
        raise FormatError(
            f"{path} has {length - found.end()} bytes of pixels, but {height}x{width} need "
            f"{4 * height * width}; {_REPAIR}"
        )
    return height, width, "<" if little else ">", found.end()


def _npy_size(path):
    return _read_npy(path).shape


def _read_npy(path):
    """The array, of which nothing is in memory yet."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise FormatError(f"{path} holds {what}; save numbers [height, width]")
    _checked(path, *array.shape)
    return array


def _kitti_size(path):
    return _encoded_size(path, (16, 0), "16-bit grey, as KITTI's (256 times the disparity)")


def _read_kitti(path):
    """16 bits: 256 times the disparity, 0 where unknown (Geiger et al. 2012, Menze and Geiger 2015)."""
    _kitti_size(path)
    values = _pixels(path)
    return np.where(values > 0, values / np.float32(256), np.nan)


def _sintel_size(path):
    return _encoded_size(path, (8, 2), "8-bit colour, as Sintel's")


def _read_sintel(path):
    """4 R + G / 64 + B / 16384 (Butler et al. 2012, the description of its stereo data)."""
    _sintel_size(path)
    return _pixels(path) @ np.array([4, 1 / 64, 1 / 16384], np.float32)


def _pixels(path):
    try:
        with Image.open(path) as image:
            return np.array(image).astype(np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def _encoded_size(path, kind, words):
    width, height, *found = _png_header(path)
    if tuple(found) != kind:
        depth, colour = found
        raise FormatError(
            f"{path} is a PNG of {depth} bits and colour type {colour}, not {words}; convert it, or "
            f"tell its encoding"
        )
    return _checked(path, height, width)


def _png_header(path):
    """(W, H, bits, colour type)."""
    beginning, length = _beginning(path, 26)
    if len(beginning) < 26 or beginning[:8] != _PNG or beginning[12:16] != b"IHDR":
        raise FormatError(f"{path} is no PNG image; {_REPAIR}")
    with open(path, "rb") as file:
        file.seek(max(length - 64, 0))
        if _PNG_END not in file.read():
            raise FormatError(f"{path} is a PNG image without an end, it was cut off; {_REPAIR}")
    return struct.unpack(">IIBB", beginning[16:])


def _beginning(path, num):
    """(the first bytes of a file, how many it has)."""
    try:
        with open(path, "rb") as file:
            return file.read(num), file.seek(0, 2)
    except OSError as error:
        raise _unreadable(path, error) from error


def _checked(path, height, width):
    """(H, W)."""
    if not 0 < height * width <= _MOST_PIXELS:
        raise FormatError(
            f"{path} says that it has {height}x{width} pixels; possible are 1 to {_MOST_PIXELS}, {_REPAIR}"
        )
    return height, width


def _unreadable(path, error):
    reason = "no image" if isinstance(error, UnidentifiedImageError) else error
    reason = getattr(error, "strerror", None) or reason
    return FormatError(f"cannot read {path} ({reason}); {_REPAIR}")


# {encoding: (size, read)}
_FORMATS = {
    "pfm": (_pfm_size, _read_pfm),
    "npy": (_npy_size, _read_npy),
    "kitti": (_kitti_size, _read_kitti),
    "sintel": (_sintel_size, _read_sintel),
}
SUFFIXES = {".pfm": "pfm", ".npy": "npy", ".png": "kitti"}
ENCODINGS = tuple(_FORMATS)
