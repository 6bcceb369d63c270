"""`python -m drift`: the drift service."""

import sys

from drift.app import main

sys.exit(main())
