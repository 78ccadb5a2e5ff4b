"""``lll encoders``."""

from __future__ import annotations

from lll.cli.flags import Json
from lll.cli.terminal import say, say_json


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
        say(
            f"{encoder.name}: {encoder.size} pixels ({least} to {most}), {encoder.features}"
            f" features, {known}, {encoder.licence}"
        )
        say(f"    {encoder.description}")
    if not as_json:
        say("timm:NAME: any encoder of timm (pip install 'little-label-learners[timm]')")
