"""Saving: fitted estimators and checkpoints as files that are whole or refused."""

from .container import FileError
from .models import load_model, save_model

__all__ = ["FileError", "load_model", "save_model"]
