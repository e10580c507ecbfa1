"""``python -m sptgnn_sklearn``: see `cli`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
