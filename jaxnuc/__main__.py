"""`python -m jaxnuc` is the command `jaxnuc`."""

import sys

from jaxnuc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
