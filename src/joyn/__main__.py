"""`python -m joyn` is `joyn`."""

import sys

from joyn.cli import main

sys.exit(main())
