"""Picture files as uint8 arrays, decoded by Pillow: upright, one range, one number of channels. No TensorFlow."""

import dataclasses
import functools
import sys

import numpy as np
from PIL import Image, ImageOps

from rdarts_tf.tasks.image_classification.data import DatasetError, check_size

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
FITS = ("squash", "crop", "pad")
_GROUNDS = ("white", "black")
_ORIENTATION = 0x0112  # EXIF
_GREY = ("1", "L", "LA", "La")
# Pillow knows these formats by their beginning, but decodes none of them, or only with other programs.
_NOT_DECODED = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# Of 16-bit colours Pillow keeps the high bytes; read in the other order of bytes it keeps the low ones.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


class PictureError(Exception):
    """A file that cannot be decoded; the message says why in a few words."""


@dataclasses.dataclass(frozen=True)
class Form:
    """What all pictures of a data set are brought to.

    Attributes:
        size: side or (height, width), None as they are.
        fit: to another aspect by "squash", a central "crop", or "pad" all around.
        channels: 1 (grey), 3 (colour) or 4 (with transparency); None: colour if any is.
        background: "white" or "black", below transparent pixels and around padded ones; None: white
            and black.
    Raises:
        DatasetError: none of these.
    """

    size: int | tuple[int, int] | None = None
    fit: str = "squash"
    channels: int | None = None
    background: str | None = None

    def __post_init__(self):
        check_size(self.size)
        if self.channels not in (None, *MODES):
            raise DatasetError(
                f"cannot make channels={self.channels!r}; give 1 (grey), 3 (colour) or 4 (with "
                "transparency)"
            )
        if self.fit not in FITS:
            raise DatasetError(f"unknown fit={self.fit!r}; there are: {', '.join(FITS)}")
        if self.fit != "squash" and self.size is None:
            raise DatasetError(f"fit={self.fit} needs a size, such as size=32")
        if self.background not in (None, *_GROUNDS):
            raise DatasetError(f"unknown background={self.background!r}; give white or black")

    @property
    def ground(self):
        """The colour below transparent pixels."""
        return self.background or "white"


def is_picture(file):
    """Whether Pillow decodes the format that a file has, or that its suffix promises."""
    known, accepting = _formats()
    if file.suffix.lower() in known:
        return True
    try:
        with Image.open(file, formats=accepting):
            return True
    except (OSError, ValueError, SyntaxError):
        return False


@functools.cache
def _formats():
    """(suffixes of formats that are decoded, formats that can be told by the beginning of a file)."""
    Image.init()
    decoded = set(Image.OPEN) - set(_NOT_DECODED)
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in decoded}
    return suffixes, [name for name in decoded if Image.OPEN[name][1]]


def _told(read):
    """Turns whatever Pillow raises of a broken file into a PictureError."""

    @functools.wraps(read)
    def told(file, *args, **kwargs):
        try:
            return read(file, *args, **kwargs)
        except PictureError:
            raise
        except Exception as error:  # the decoders raise struct.error, IndexError, zlib.error ...
            lines = str(error).replace(f"'{file}'", "it").strip().splitlines()
            raise PictureError(f"{type(error).__name__}: {lines[0] if lines else ''}") from error

    return told


@_told
def is_colour(file):
    """Whether a picture has colours: by its mode, or where it has a palette by its pixels."""
    with Image.open(file) as image:
        if image.mode in ("P", "PA"):
            pixels, _ = _with_channels(image, 3, "white")
            return bool(np.ptp(np.asarray(pixels), axis=-1).any())
        grey = image.mode in (*_GREY, "F") or image.mode.startswith("I")
        return not grey and not _raw_mode(image).startswith("LA")


@_told
def highest(file):
    """The largest value of a picture of 16 bits; 0: it has fewer."""
    with Image.open(file) as image:
        values = _deep(image, file)
        return 0 if values is None else int(values.max(initial=0))


@_told
def read(file, form, *, bits=16):
    """Decodes a picture as Pillow does.

    Args:
        form: Form with its `channels`.
        bits: how many bits the data set's 16-bit pictures use; they are multiplied by 2^(8 - bits).
    Returns:
        (uint8 [h, w, channels], whether a pixel of the file is transparent).
    Raises:
        PictureError: it cannot be decoded.
    """
    with Image.open(file) as image:
        deep = _deep(image, file)
        if deep is not None:
            image = _of_values(image, deep, bits)
        return _formed(ImageOps.exif_transpose(image), form)


def formed(pixels, form):
    """uint8 [h, w, 1 to 4] -> as `read`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _formed(image, form)[0]


def _formed(image, form):
    image, transparent = _with_channels(image, form.channels, form.ground)
    if form.size is not None:
        image = _resized(image, form)
    pixels = np.asarray(image)
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels, transparent


def _with_channels(image, channels, ground):
    """(image in its mode of MODES, whether a pixel is transparent)."""
    transparent = False
    if image.has_transparency_data:
        image = image.convert("RGBA")
        transparent = image.getchannel("A").getextrema()[0] < 255
        if channels < 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return image.convert(MODES[channels]), transparent


def _resized(image, form):
    """Bilinear, the filter widened where the image shrinks."""
    height, width = sides(form.size)
    bilinear = Image.Resampling.BILINEAR
    if form.fit == "crop":
        return ImageOps.fit(image, (width, height), bilinear)
    if form.fit == "pad":
        ground = form.background or "black"
        return ImageOps.pad(image, (width, height), bilinear, color=ground)
    return image.resize((width, height), bilinear)


def sides(size):
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else tuple(size)


def _raw_mode(image):
    """How the file has its pixels, e.g. "RGB;16B"; "" where it is not said."""
    args = image.tile[0].args if getattr(image, "tile", None) else ()
    first = args if isinstance(args, str) else next(iter(args or ()), "")
    return first if isinstance(first, str) else ""


def _deep(image, file):
    """The values of a picture of 16 bits, uint16 [h, w, 1 to 4]; None: it has fewer."""
    if image.mode == "F":
        raise PictureError("floating-point pixels have no agreed range, save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise PictureError("pixels outside of 0 to 65535, save it with 8 or 16 bits")
        return values.astype(np.uint16)[..., np.newaxis]
    bands, _, order = _raw_mode(image).partition(";16")
    if bands == "LA" and order == "B":
        pairs = _decoded_as(file, "RGBA").astype(np.uint16)  # two bytes of L, two of A
        return pairs[..., ::2] << 8 | pairs[..., 1::2]
    if bands not in ("RGB", "RGBA") or order not in _OTHER_ORDER:
        return None
    low = _decoded_as(file, f"{bands};16{_OTHER_ORDER[order]}")
    return np.asarray(image).astype(np.uint16) << 8 | low


def _decoded_as(file, raw_mode):
    """uint8 [h, w, bands] of a file whose pixels are taken for those of a raw mode."""
    with Image.open(file) as image:
        image.tile = [
            tile._replace(
                args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:])
            )
            for tile in image.tile
        ]
        return np.asarray(image)


def _of_values(image, values, bits):
    """The picture of 8 bits of uint16 values [h, w, bands], otherwise like `image`."""
    scaled = values >> bits - 8 if bits > 8 else values.astype(np.uint32) << 8 - bits
    pixels = np.minimum(scaled, 255).astype(np.uint8)
    hidden = image.info.get("transparency")
    if hidden is not None:  # one value, or one for each band
        opaque = np.where((values == np.asarray(hidden)).all(axis=-1, keepdims=True), 0, 255)
        pixels = np.concatenate((pixels, opaque.astype(np.uint8)), axis=-1)
    made = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    made.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return made
