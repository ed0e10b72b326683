"""Writes a piece of music, then becomes the program that mixes it: python3 mixer.py CASE."""
import os
import struct
import sys

PROGRAM = "/work/app/mixer"


def piece(frames, channels, *steps):
    return b"MIX1" + struct.pack(">HB", frames, channels) + b"".join(steps)


def track(begin, frames, *samples):
    return b"T" + struct.pack(">HH", begin, frames) + struct.pack(f">{len(samples)}h", *samples)


def echo(delay):
    return b"E" + struct.pack(">h", delay)


def fade(frames):
    return b"F" + struct.pack(">H", frames)


TURN = b"R"

CASES = {
    # 257 frames of 255 channels are 65535 samples; 258 are 254 when counted in 16 bits
    "samples": piece(258, 255, track(0, 10, *[7] * 2550)),
    # the same with the loudest piece that there is, which is only printed
    "largest": piece(65535, 255),
    # frame 59990 and 8192 more are 2646 when counted in 16 bits
    "end": piece(60000, 1, track(59990, 8192, *[7] * 8192)),
    # frame 39990 and 26000 more are 454; of two channels, so that they are fewer than the piece has samples
    "end-stereo": piece(40000, 2, track(39990, 26000, *[7] * 52000)),
    # an echo before its sound
    "early-echo": piece(400, 1, track(0, 3, 1, 2, 3), echo(-8)),
    "earliest-echo": piece(400, 1, echo(-32768)),
    # a fade over no frames at all
    "no-fade": piece(4, 1, track(0, 4, 1, 2, 3, 4), fade(0)),
    # no last frame
    "no-frames": piece(0, 2, TURN),

    "song": piece(6, 2, track(0, 3, 100, -100, 200, -200, 300, -300), track(2, 2, 1, 2, 3, 4), echo(2), TURN, fade(4)),
    "bounds": piece(257, 255, track(0, 257, *[1] * 65535), track(256, 1, *[32767] * 255), track(257, 0), echo(257), echo(0)),
    "long": piece(65535, 1, track(0, 65535, *[-32768] * 65535), track(65534, 1, -5), TURN, fade(65535)),
    "late": piece(3, 1, track(2, 2, 1, 2)),
    "late-echo": piece(3, 1, echo(4)),
    "short": piece(3, 1, track(0, 3, 1, 2)),
    "empty": piece(0, 0, track(0, 0), echo(0), fade(1)),
    "one": piece(1, 1, track(0, 1, -9), TURN, fade(1)),
    "step": piece(1, 1, b"X"),
    "other": b"MIX2" + bytes(8),
}

with open("music.mix", "wb") as file:
    file.write(CASES[sys.argv[1]])
os.execv(PROGRAM, [PROGRAM, "music.mix"])
