"""Write the table of docs/hostile.md: `python -m tests.hostile`."""

import sys

from tests.hostile.kept import main

if __name__ == "__main__":
    sys.exit(main())
