"""``baseline``: classify the labelled images; the unlabelled ones are not looked at.

Use it to see what the unlabelled images are worth: it is the row that others are compared with.
"""

from lll.methods.classify import CLASSIFY, probe
from lll.methods.method import Method, MethodOptions

METHOD = Method(
    summary="classifying labelled images",
    options=MethodOptions,
    parts=probe,
    stages=lambda options: ((CLASSIFY,),),
    defaults=lambda given: {"classes": "5:all", "labels": 0.5, "activation": "relu"},
)
