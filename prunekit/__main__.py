"""``python -m prunekit`` is the command line."""

import sys

from prunekit.cli import main

if __name__ == "__main__":
    sys.exit(main())
