"""``python -m lightapi`` is the ``lightapi`` command."""

import sys

from lightapi.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
