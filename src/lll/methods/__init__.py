"""The methods. To add one: a file with a `Method`, and a line in `METHODS`."""

from __future__ import annotations

from lll.methods import (
    auto,
    baseline,
    distil,
    finetune,
    fixmatch,
    freematch,
    gradual,
    kernel,
    logistic,
    propagate,
    sandbox,
    self_supervised,
    softmatch,
)
from lll.methods.method import Method

METHODS: dict[str, Method] = {
    "baseline": baseline.METHOD,
    "self_supervised": self_supervised.METHOD,
    "finetune": finetune.METHOD,
    "gradual": gradual.METHOD,
    "sandbox": sandbox.METHOD,
    "logistic": logistic.METHOD,
    "propagate": propagate.METHOD,
    "kernel": kernel.METHOD,
    "auto": auto.METHOD,
    "fixmatch": fixmatch.METHOD,
    "freematch": freematch.METHOD,
    "softmatch": softmatch.METHOD,
    "novel": distil.METHOD,
}
