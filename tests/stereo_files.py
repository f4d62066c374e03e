"""Stereo files by hand: bytes of PNG and PFM that share no code with the readers."""

import struct
import zlib

import numpy as np


def png(pixels):
    """PNG of uint8 [h, w] or [h, w, 3], or uint16 [h, w]."""
    height, width = pixels.shape[:2]
    depth, colour = 8 * pixels.itemsize, 2 if pixels.ndim == 3 else 0
    lines = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def pfm(values, *, order="<", scale=None):
    """PFM of numbers [h, w], written number by number from the last row to the first."""
    height, width = np.shape(values)
    scale = ("-1.0" if order == "<" else "1.0") if scale is None else scale
    numbers = b"".join(struct.pack(f"{order}f", v) for row in values[::-1] for v in row)
    return f"Pf\n{width} {height}\n{scale}\n".encode() + numbers


def write(root, contents):
    """{path below a folder: bytes}."""
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def colours(number, height=6, width=8):
    """uint8 [h, w, 3], the first pixel of which is the number."""
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    image[0, 0] = number
    return image


def pair(number, left, right, disparity, *, value=None, height=6, width=8):
    """{path: bytes} of a pair, whose disparities are all `value`, else the number / 8."""
    values = np.full([height, width], number / 8 if value is None else value)
    return {
        left: png(colours(number, height, width)),
        right: png(colours(100 + number, height, width)),
        disparity: pfm(values),
    }
