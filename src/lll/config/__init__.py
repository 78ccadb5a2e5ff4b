"""RunConfig: every choice that a run depends on; what flags, help and tables say of each."""

from lll.config.run import About, RunConfig, fields_of
from lll.config.toml import differing, read_toml

__all__ = ["About", "RunConfig", "differing", "fields_of", "read_toml"]
