"""Shapes and types of every tensor argument are checked in tests, as jaxtyping writes them."""

from jaxtyping import install_import_hook

# Only the rooms of pure tensor functions: the hook must be in place before they are imported.
install_import_hook(["lll.losses", "lll.augment", "lll.steps"], "beartype.beartype")
