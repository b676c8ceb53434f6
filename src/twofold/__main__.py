"""`python -m twofold`: the same as the `twofold` command."""

from __future__ import annotations

from twofold._cli import main

if __name__ == "__main__":
    main()
