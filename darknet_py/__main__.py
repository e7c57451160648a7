"""The program: what the installed command and python -m darknet_py run."""

import sys

from .starting import quiet_interrupts

with quiet_interrupts():
    from .cli import main

if __name__ == "__main__":
    sys.exit(main())
