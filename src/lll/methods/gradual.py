"""``gradual``: contrast all images, then classify the labelled ones; both reach the encoder.

With the schedules of the configuration, in which labels and classes grow, this is gradual
supervision, the idea of this project.

Use it on small images (up to about 48 pixels), from scratch, while labels and classes arrive.
"""

from lll.methods.classify import CLASSIFY
from lll.methods.contrast import CONTRAST, ContrastOptions, parts
from lll.methods.method import Method

METHOD = Method(
    summary="contrasting views of all images, then classifying",
    options=ContrastOptions,
    parts=parts,
    stages=lambda options: ((CONTRAST, CLASSIFY),),
    defaults=lambda given: {"classes": "8:all", "labels": "0.01:0.9", "probe_rate": "0.01:0.03"},
)
