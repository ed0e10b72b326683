"""Writes an address book, then becomes the program that reads it: python3 book.py CASE."""
import os
import struct
import sys

PROGRAM = "/work/app/contacts"


def record(tag, body, length=None):
    return tag + struct.pack(">H", len(body) if length is None else length) + body


def phones(count, *numbers):
    return record(b"T", bytes([count]) + b"".join(bytes([len(number)]) + number for number in numbers))


def picture(width, height, grey):
    return record(b"P", struct.pack(">HH", width, height) + grey)


NAME = record(b"C", b"Ada Lovelace")

CASES = {
    # a name longer than the 48 bytes that every name gets
    "long-name": [record(b"C", b"A" * 400)],
    # one telephone is announced, sixteen follow
    "more-phones": [NAME, phones(1, *[b"5550100"] * 16)],
    # 256 * 257 grey values are 256 when counted in 16 bits
    "large-picture": [NAME, picture(256, 257, b"\x80" * 65_000)],
    # a body that ends behind the end of the file
    "short-file": [record(b"C", b"Ada", length=40)],

    "book": [
        NAME, phones(2, b"5550100", b"5550101"), picture(3, 2, bytes([10, 20, 30, 40, 50, 60])),
        record(b"X", b"from a later version"), record(b"C", b"B" * 47), phones(0),
        record(b"C", "Zoë".encode()), phones(1, b""), picture(0, 0, b""),
    ],
    "large": [NAME, picture(200, 300, b"\x64" * 60_000), phones(40, *[b"1"] * 40)],
    "broken": [NAME, record(b"T", b"\x02\x07555")],
    "none": [],
    "orphan": [phones(1, b"5550100")],
    "again": [NAME, phones(2, b"1", b"2"), phones(1, b"3"), picture(1, 1, b"\x05")],
    "crowd": [NAME] * 257,
}

with open("book.cbk", "wb") as file:
    records = CASES[sys.argv[1]]
    file.write(b"CBK1" + struct.pack(">H", len(records)) + b"".join(records))
os.execv(PROGRAM, [PROGRAM, "book.cbk"])
