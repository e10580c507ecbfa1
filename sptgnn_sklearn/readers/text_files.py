"""Encoding, separator and header of delimited text files."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from ..table.infer_roles import TableError
from .header import header_row

__all__ = ["decode_text", "decompress_bytes", "split_columns"]

BLANKS = r"\s+"
# By priority among separators that split the lines equally well.
_SEPARATORS = {";": "semicolon", "\t": "tab", "|": "pipe", ",": "comma", BLANKS: "blanks"}
_WORDS = {
    **{"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "blank": BLANKS},
    **{"blanks": BLANKS, "space": BLANKS, " ": BLANKS},
}
_PREVIEW_ROWS = 300
_MIN_SHARE = 0.5  # of lines with the same number of fields
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}
_BINARY = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_QUOTED_OR_WORD = re.compile(r'"([^"]*)"|(\S+)')


class _Row(NamedTuple):
    fields: list[str]
    line: int  # of its last line, from 1


class _Split(NamedTuple):
    """Rows of the first lines under one separator."""

    separator: str
    rows: list[_Row]
    width: int
    share: float


def decompress_bytes(content: bytes) -> bytes:
    """Return the content of a file, decompressed if it is a gzip, bzip2 or xz file.

    Raises
    ------
    TableError
        If the compressed data is damaged.

    Examples
    --------
    >>> import gzip
    >>> from sptgnn_sklearn.readers.text_files import decompress_bytes
    >>> decompress_bytes(gzip.compress(b"x,y"))
    b'x,y'
    """
    for magic, decompress in _OPENERS.items():
        if content.startswith(magic):
            try:
                return decompress(content)
            except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
                raise TableError(
                    f"the compressed data is damaged ({error}): copy or download it again."
                ) from error
    return content


def decode_text(content: bytes, encoding: str | None = None) -> tuple[str, list[str]]:
    """Decode a text file: by its byte order mark, as UTF-8 or else as cp1252.

    Parameters
    ----------
    content : bytes
    encoding : str, default=None
        None detects it.

    Returns
    -------
    text : str
        With newlines as line ends.
    notes : list of str
        A note if the encoding was guessed.

    Raises
    ------
    TableError
        If the content is not text in this encoding, or not text at all.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.text_files import decode_text
    >>> decode_text("x,Höhe".encode("utf-16"))
    ('x,Höhe', [])
    >>> decode_text("x,Höhe".encode("latin-1"))[1]
    ['not UTF-8 (byte 0xf6 in line 1), read as cp1252; set encoding= if letters are wrong']
    """
    notes: list[str] = []
    if encoding is not None:
        try:
            text = content.decode(encoding)
        except LookupError as error:
            raise TableError(
                f"encoding={encoding!r} is unknown: use utf-8, utf-16, cp1252, latin-1 or another "
                "encoding of Python."
            ) from error
        except UnicodeError as error:
            raise TableError(f"not text in encoding={encoding!r}: {error}.") from error
        text = text.removeprefix("\ufeff")
    else:
        text, notes = _detect(content)
    if _BINARY.search(text[:100_000]):
        raise TableError(
            "not a text file: it holds control characters. Supported are delimited text, .xlsx, "
            ".parquet, .gpkg, .shp and .geojson; convert other formats to one of these."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _detect(content: bytes) -> tuple[str, list[str]]:
    for mark, name in _BOMS:
        if content.startswith(mark):
            try:
                return content.decode(name), []
            except UnicodeError as error:
                raise TableError(
                    f"begins with the byte order mark of {name}, but is damaged: {error}."
                ) from error
    sample = content[:4000]
    for name, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        half = sample[start::2]
        if len(half) > 4 and half.count(0) > 0.6 * len(half):
            try:
                return content.decode(name), [f"no byte order mark, read as {name}"]
            except UnicodeError:
                break
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
    try:
        text, name = content.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        text, name = content.decode("latin-1"), "latin-1"
    return text, [
        f"not UTF-8 (byte 0x{byte:02x} in line {line}), read as {name}; set encoding= if letters "
        "are wrong"
    ]


def split_columns(
    text: str, sep: str | None = None, skip_rows: int | None = None
) -> tuple[list[str], pd.DataFrame, list[str]]:
    r"""Split delimited text into columns of text.

    Parameters
    ----------
    text : str
    sep : str, default=None
        Separator, or "comma", "semicolon", "tab", "pipe" or "blanks". None finds it.
    skip_rows : int, default=None
        Number of lines before the column names. None finds them.

    Returns
    -------
    names : list of str
    frame : DataFrame of str
        Labeled by position.
    notes : list of str
        Lines that were left out.

    Raises
    ------
    TableError
        If no separator splits the lines into the same number of fields, or a line has more fields
        than there are names.

    Examples
    --------
    >>> from sptgnn_sklearn.readers.text_files import split_columns
    >>> names, frame, notes = split_columns("# lab 7\nx;y\n1,5;2\n")
    >>> names, frame.to_numpy().tolist(), notes
    (['x', 'y'], [['1,5', '2']], ['left out 1 comment line: # lab 7'])
    """
    lines = text.split("\n")
    notes: list[str] = []
    if skip_rows:
        notes.append(f"left out the first {skip_rows} lines, as set")
        lines = [""] * skip_rows + lines[skip_rows:]
    if match := re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\ufeff ")):
        sep, lines[0] = sep or match[1], ""  # Excel reads the separator from this line
    comments = [i for i, line in enumerate(lines) if line.lstrip().startswith("#")]
    kept = list(lines)
    for i in comments:
        kept[i] = ""
    if not any(line.strip() for line in kept):
        raise TableError("is empty.")
    split = _best_split(kept, sep)
    start = header_row([row.fields for row in split.rows if len(row.fields) >= split.width - 1])
    rows = [row for row in split.rows if len(row.fields) >= split.width - 1][start:]
    names, header_line = [name.strip() for name in rows[0].fields], rows[0].line
    named = _header_in_comment(lines, comments, split, names, header_line)
    if named is not None:
        names, header_line = named, max(i for i in comments if i < header_line) + 1
        comments.remove(header_line - 1)
    for i, line in enumerate(kept[: header_line - 1]):
        if line.strip() and i not in comments:
            notes.append(f"left out line {i + 1} above the column names: {line.strip()[:60]}")
    if comments:
        word = "line" if len(comments) == 1 else "lines"
        first = lines[comments[0]].strip()[:60]
        notes.append(f"left out {len(comments)} comment {word}: {first}")
    data = [row.fields for row in split.rows if row.line > header_line]
    if len(names) == split.width - 1:
        # R writes no name of its row names; other programs write a separator at the end of lines.
        trailing = all(not fields[-1].strip() for fields in data if len(fields) == split.width)
        names = [*names, ""] if trailing else ["row name", *names]
    for row in split.rows:
        if row.line > header_line and len(row.fields) > len(names):
            raise TableError(
                f"line {row.line} has {len(row.fields)} fields, but there are {len(names)} column "
                f"names in line {header_line} (separator: "
                f"{_SEPARATORS.get(split.separator, sep)}): correct this line, or set sep=."
            )
    return names, _read_body(kept, header_line, split.separator, len(names)), notes


def _best_split(lines: list[str], sep: str | None) -> _Split:
    """Return the rows under the separator that gives most lines the same number of fields."""
    preview = lines[: _PREVIEW_ROWS + next(i for i, line in enumerate(lines) if line.strip())]
    if sep is not None:
        separator = _WORDS.get(sep, sep)
        if separator != BLANKS and len(separator) != 1:
            raise TableError(
                f"sep={sep!r} must be one character, or comma, semicolon, tab, pipe or blanks."
            )
        found = _split(preview, separator)
        if found.width < 2:
            raise TableError(
                f"sep={sep!r} does not occur in most lines; the first is {_first_line(lines)!r}."
            )
        return found
    splits = [_split(preview, separator) for separator in _SEPARATORS]
    best = max(splits, key=lambda split: round(split.share, 2) if split.width > 1 else 0)
    if best.width < 2 or best.share < _MIN_SHARE:
        raise TableError(
            "no separator (comma, semicolon, tab, pipe or blanks) splits its lines into the same "
            f"number of columns; the first is {_first_line(lines)!r}: set sep= or skip_rows=."
        )
    return best


def _split(lines: list[str], separator: str) -> _Split:
    rows: list[_Row] = []
    if separator == BLANKS:
        for number, line in enumerate(lines, 1):
            fields = [a or b for a, b in _QUOTED_OR_WORD.findall(line)]
            rows += [_Row(fields, number)] if fields else []
    else:
        reader = csv.reader(
            (f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True
        )
        try:
            rows += [_Row(fields, reader.line_num) for fields in reader if any(fields)]
        except csv.Error as error:
            raise TableError(f"line {reader.line_num}: {error}.") from error
    counts = Counter(len(row.fields) for row in rows)
    width = max(counts, key=lambda n: (counts[n], n), default=0)
    return _Split(separator, rows, width, counts[width] / max(1, sum(counts.values())))


def _header_in_comment(
    lines: list[str], comments: list[int], split: _Split, names: list[str], header_line: int
) -> list[str] | None:
    """Return column names from the comment above the first row, if that row holds data."""
    above = [i for i in comments if i < header_line - 1]
    numbers = sum(re.fullmatch(r"[-+]?[\d.,]+", name) is not None for name in names)
    if not above or 2 * numbers < len(names):
        return None
    line = lines[above[-1]].lstrip().lstrip("#").strip()
    fields = _split([line], split.separator).rows
    if not fields or len(fields[0].fields) != split.width:
        return None
    return [field.strip() for field in fields[0].fields]


def _read_body(lines: list[str], start: int, separator: str, width: int) -> pd.DataFrame:
    body = io.StringIO("\n".join(lines[start:]))
    try:
        return pd.read_csv(
            body,
            sep=separator,
            header=None,
            names=list(range(width)),
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(width), dtype=str)
    except (pd.errors.ParserError, ValueError) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found is None:
            reason = str(error).strip().splitlines()[0]
            raise TableError(f"cannot be split into columns: {reason}") from error
        raise TableError(
            f"line {int(found[2]) + start} has {found[3]} fields, but there are {width} column "
            "names: correct this line, or set sep=."
        ) from error


def _first_line(lines: list[str]) -> str:
    return next(line for line in lines if line.strip())[:80]
