"""Writes a picture, then becomes the program that reads it: python3 picture.py CASE."""
import os
import struct
import sys

PROGRAM = "/work/app/picture"
GREYS = [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


def literal(*pixels):
    return bytes([len(pixels) - 1, *pixels])


def run(length, pixel):
    return bytes([0x80 + length - 2, pixel])


def picture(width, palette, *rows, colours=None, comment=None):
    head = b"RLP1" + struct.pack(">HHH", width, len(rows), len(palette) if colours is None else colours)
    tail = b"" if comment is None else b"#" + bytes([len(comment)]) + comment
    return head + b"".join(bytes(colour) for colour in palette) + b"".join(rows) + tail


FULL = run(128, 2) * 8  # a row of 1024 pixels, the widest

CASES = {
    # wider than the row that it is unpacked into
    "wide": picture(4000, GREYS, run(125, 1) * 32),
    # a width that fits, and a last run that goes on behind it
    "last-run": picture(1024, GREYS, run(128, 1) * 7 + run(126, 1) + run(129, 1)),
    # the same with literal pixels
    "last-literals": picture(1024, GREYS, run(128, 1) * 7 + run(127, 1) + literal(*[1] * 128)),
    # more colours than a pixel can name
    "colours": picture(1, [(1, 2, 3)] * 400, literal(0)),
    # a pixel that has no colour in the palette
    "pixel": picture(4, GREYS, literal(0, 1, 3, 2)),
    # a comment longer than a line
    "comment": picture(1, GREYS, literal(0), comment=b"A" * 255),

    "small": picture(4, GREYS, literal(0, 1, 2, 0), run(4, 1), literal(2) + run(3, 0), comment=b"Four by three"),
    "full": picture(1024, GREYS * 85 + [(9, 9, 9)], FULL, run(128, 0) * 4 + run(128, 255) * 3 + run(127, 1) + literal(2),
                    comment=b"x" * 80),
    "short": picture(4, GREYS, literal(0, 1)),
    "empty": picture(0, []),
    "one": picture(1, GREYS, literal(2), comment=b""),
    "trailer": picture(2, GREYS, run(2, 1)) + b"more",
}

with open("picture.rlp", "wb") as file:
    file.write(CASES[sys.argv[1]])
os.execv(PROGRAM, [PROGRAM, "picture.rlp"])
