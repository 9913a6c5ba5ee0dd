"""Looks for words in the files of a database, as somebody does who has a copy of the disk."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import zstandard

FRAME = b"\x28\xb5\x2f\xfd"
"""What compressed values begin with. What is compressed is read too, as far as it goes."""
PIECE = 64


def words_found(words: Iterable[str], files: Iterable[Path]) -> set[str]:
    """Return which of the words stand in any of the files, compressed or not."""
    wanted = {word: word.encode() for word in words}
    found: set[str] = set()
    for file in files:
        raw = file.read_bytes()
        for text in (raw, *_decompressed(raw)):
            found.update(word for word, spelled in wanted.items() if spelled in text)
    return found


def files_under(folder: Path) -> list[Path]:
    """Return every file of a folder and the folders in it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def _decompressed(raw: bytes) -> Iterator[bytes]:
    start = raw.find(FRAME)
    while start >= 0:
        yield _frame(raw[start : start + 400_000])
        start = raw.find(FRAME, start + 1)


def _frame(raw: bytes) -> bytes:
    """Return what can be read of a frame, which other bytes may interrupt."""
    reader, text = zstandard.ZstdDecompressor().decompressobj(), b""
    for place in range(0, len(raw), PIECE):
        try:
            text += reader.decompress(raw[place : place + PIECE])
        except zstandard.ZstdError:
            return text
        if reader.eof:
            return text
    return text
