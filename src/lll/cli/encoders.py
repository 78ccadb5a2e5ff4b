"""``lll encoders``."""

from __future__ import annotations

from rich.console import Console

from lll.cli.flags import Json
from lll.cli.show import say_json


def encoders(as_json: Json = False) -> None:
    """List the encoders: size in pixels, features, whether pretrained, licence."""
    from lll.nets.encoders import ENCODERS

    for encoder in ENCODERS.values():
        if as_json:
            say_json(
                {
                    "name": encoder.name,
                    "size": encoder.size,
                    "sizes": list(encoder.sizes),
                    "features": encoder.features,
                    "pretrained": encoder.pretrained,
                    "licence": encoder.licence,
                    "description": encoder.description,
                }
            )
            continue
        least, most = encoder.sizes
        known = "pretrained" if encoder.pretrained else "from scratch"
        _say(
            f"{encoder.name}: {encoder.size} pixels ({least} to {most}), {encoder.features}"
            f" features, {known}, {encoder.licence}\n    {encoder.description}"
        )
    if not as_json:
        _say("timm:NAME: any encoder of timm (pip install 'little-label-learners[timm]')")


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)
