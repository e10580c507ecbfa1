from .censored import replace_censored
from .tables import read_table

__all__ = ["read_table", "replace_censored"]
