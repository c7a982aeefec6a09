"""`python train.py ...` is `jaxnuc train ...`, without installation."""

import sys

from jaxnuc.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    sys.exit(main())
