"""``self_supervised``: contrast all images; labels reach a linear probe and nothing else.

Use it where nearly nothing is labelled yet and the encoder shall owe nothing to labels, as for
`lll embed` or as the beginning of `finetune`.

Source: SimCLR (Chen et al. 2020, arXiv:2002.05709), with a probe trained beside it.
"""

from lll.methods.classify import PROBE
from lll.methods.contrast import CONTRAST, ContrastOptions, parts
from lll.methods.method import Method

METHOD = Method(
    summary="contrasting views of all images, and a linear probe",
    options=ContrastOptions,
    parts=parts,
    stages=lambda options: ((CONTRAST, PROBE),),
    defaults=lambda given: {"classes": "5:all", "labels": 0.5, "activation": "relu"},
)
