"""Writes what a browser sends of a form, then becomes the program that reads it: python3 query.py CASE."""
import os
import sys

PROGRAM = "/work/app/query"

CASES = {
    # a value that fills its 64 bytes, and a name that fills its 32: no room is left for the zero behind them
    "full-value": b"comment=" + b"v" * 64,
    "full-name": b"n" * 32 + b"=1",
    # an escape that the end of the file cuts off: after the %, and after its first digit
    "cut-escape": b"a=1&b=100%",
    "cut-digit": b"a=1&b=%4",
    # an escape of letters that no table of 128 has
    "foreign-digit": b"a=%\xe9\xe9",
    # nothing but blanks, and nothing
    "blank": b"a=1&b=++%20",
    "empty": b"a=1&b=",
    # one field more than there is room for
    "fields": b"&".join(b"f%d=%d" % (i, i) for i in range(17)),

    "form": b"name=Ada+Lovelace&city=S%c3%a3o+Paulo++&agree&sum=1%2B1%3d2%26more&a=b=c",
    "bounds": b"n" * 31 + b"=" + b"%76" * 63 + b"&" + b"&".join(b"f%d=%d" % (i, i) for i in range(15)),
    "long": b"comment=" + b"v" * 65,
    "broken": b"a=%zz",
    "nothing": b"",
    "separators": b"&&a=1&&b=2&",
    "nameless": b"=1&+x+=+y",
    "zero": b"a=%00",
    "inside": b"a=%4&b=1",
}

with open("form.txt", "wb") as file:
    file.write(CASES[sys.argv[1]])
os.execv(PROGRAM, [PROGRAM, "form.txt"])
