"""``python -m gsparse``, the same as the command ``gsparse``."""

from gsparse.cli import main

if __name__ == "__main__":
    main()
