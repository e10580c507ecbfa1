"""Tables of soil samples from files: text, Excel, Parquet and GIS formats."""

from ..table.table_checks import replace_censored
from .tables import read_table

__all__ = ["read_table", "replace_censored"]
