"""``python -m lll``: the command line."""

from lll.cli import main

if __name__ == "__main__":
    main()
