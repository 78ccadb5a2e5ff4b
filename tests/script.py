"""A script of a user's, run by a child of a nursery; a warning is an error."""

import runpy
import sys
import warnings


def main():
    warnings.simplefilter("error")
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
