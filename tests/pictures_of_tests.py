"""Picture files as people have them, written by Pillow, or by hand where Pillow does not write them."""

import struct
import zlib

import numpy as np
from PIL import Image


def gradient(height=9, width=12, channels=3):
    """uint8 [h, w, channels] in which every pixel differs."""
    values = np.arange(height * width * channels).reshape(height, width, channels)
    return (values * 37 % 251).astype(np.uint8)


def write(path, pixels, *, mode=None, orientation=None, **options):
    """Saves uint8 pixels [h, w] or [h, w, c], with an EXIF orientation if one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.squeeze(pixels))
    image = image.convert(mode) if mode else image
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    image.save(path, **options)


def deep_png(path, values, *, transparent=None):
    """A PNG of 16 bits of values [h, w, 1 to 4] (grey, with alpha, colour, with alpha)."""
    height, width, bands = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if transparent is not None:
        chunks.insert(1, (b"tRNS", np.asarray(transparent, ">u2").tobytes()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def deep_tiff(path, values, *, order="<"):
    """An uncompressed TIFF of 16-bit colours [h, w, 3] in an order of bytes, "<" or ">"."""
    height, width, _ = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    tags = [(256, 4, width), (257, 4, height), (259, 3, 1), (262, 3, 2), (273, 4, 8)]
    tags += [(277, 3, 3), (278, 4, height), (279, 4, len(pixels)), (284, 3, 1)]
    tags.insert(2, (258, 3, None))  # bits of each sample, which do not fit into a tag
    after = 8 + len(pixels)
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        if value is None:
            directory += struct.pack(f"{order}HHII", tag, kind, 3, after + 2 + 12 * len(tags) + 4)
        elif kind == 3:
            directory += struct.pack(f"{order}HHIHH", tag, kind, 1, value, 0)
        else:
            directory += struct.pack(f"{order}HHII", tag, kind, 1, value)
    directory += struct.pack(f"{order}I3H", 0, 16, 16, 16)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, after)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(start + pixels + directory)
