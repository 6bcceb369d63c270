"""`python -m gatekeeper`."""

import sys

from gatekeeper.app import main

if __name__ == "__main__":
    sys.exit(main())
