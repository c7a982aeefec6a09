"""`python predict.py ...` is `jaxnuc predict ...`, without installation."""

import sys

from jaxnuc.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "predict")
    sys.exit(main())
