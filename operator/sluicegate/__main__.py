"""`python -m sluicegate` is the command line."""

import sys

from sluicegate.cli.main import main

sys.exit(main())
