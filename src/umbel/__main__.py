"""Makes ``python -m umbel`` the same as the ``umbel`` command."""

from __future__ import annotations

from umbel.cli import main

if __name__ == "__main__":
    main()
