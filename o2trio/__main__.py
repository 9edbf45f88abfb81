"""``python -m o2trio`` is the ``o2trio`` command."""

import sys

from .cli import main

sys.exit(main())
