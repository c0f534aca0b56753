"""Entry point of `python -m pipeline`."""

import sys

from pipeline.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
