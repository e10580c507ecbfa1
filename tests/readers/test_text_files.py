"""Tests of encodings and separators of text files."""

import bz2
import gzip
import lzma

import pytest

from sptgnn_sklearn.readers.text_files import decode_text, decompress_bytes, split_columns
from sptgnn_sklearn.table.infer_roles import TableError

TEXT = "id,Höhe,SOC\n1,2.5,3\n2,3.5,4\n"


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        *(("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-32", "")),
        *(("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")),
        *(("latin-1", "cp1252"), ("cp1252", "cp1252")),
    ],
)
def test_encodings(encoding, note):
    """Encodings are detected; guesses are noted."""
    text, notes = decode_text(TEXT.encode(encoding))
    assert text == TEXT
    assert note in " ".join(notes) and bool(notes) == bool(note)
    assert decode_text(TEXT.encode(encoding), encoding) == (TEXT, [])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_compression(compress):
    """Compressed bytes are decompressed, damaged ones raise."""
    packed = compress(TEXT.encode())
    assert decompress_bytes(packed) == TEXT.encode()
    if compress is not bytes:
        with pytest.raises(TableError, match="damaged"):
            decompress_bytes(packed[: len(packed) // 2])


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", [False, True])
def test_separators(sep, quote):
    """Separators are found, also beside other separators in quoted text."""
    word = '"a, b; c|d"' if quote else "word"
    text = "\n".join(sep.join(row) for row in [["x", "y", "t"], ["1", "2", word], ["3", "4", word]])
    names, frame, notes = split_columns(text)
    assert names == ["x", "y", "t"] and notes == []
    assert frame.iloc[1].tolist() == ["3", "4", word.strip('"')]


@pytest.mark.parametrize("sep", ["comma", "semicolon", "tab", "pipe", "blanks"])
def test_separators_by_name(sep):
    """Separators may be given by name."""
    mark = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "blanks": "  "}[sep]
    assert split_columns(f"x{mark}y\n1{mark}2", sep)[0] == ["x", "y"]


def test_lines_may_be_short():
    """Missing fields at the end of a line are missing values."""
    _, frame, _ = split_columns("x,y,z\n1,2,3\n1,2,3\n4,5\n")
    assert frame.isna().to_numpy().tolist() == [[False] * 3, [False] * 3, [False, False, True]]


def test_fields_with_line_ends():
    """A quoted field may hold a line end, also in the column names."""
    names, frame, _ = split_columns('x,"pH\n(H2O)"\n1,"a\nb"\n2,c\n')
    assert names == ["x", "pH\n(H2O)"]
    assert frame[1].tolist() == ["a\nb", "c"]


def test_skipped_rows():
    """A set number of lines is left out."""
    names, frame, notes = split_columns("a,b\n1,2\nx,y\n3,4\n", skip_rows=2)
    assert names == ["x", "y"] and frame.to_numpy().tolist() == [["3", "4"]]
    assert notes == ["left out the first 2 lines, as set"]
