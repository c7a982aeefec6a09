"""`python eval.py ...` is `jaxnuc evaluate ...`, without installation."""

import sys

from jaxnuc.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    sys.exit(main())
