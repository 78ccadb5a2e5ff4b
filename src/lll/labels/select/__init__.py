"""Query strategies: which images to ask about next. One pure function in a file each."""

from lll.labels.select.auto import auto
from lll.labels.select.candidates import Candidates, Strategy
from lll.labels.select.margin import margin
from lll.labels.select.medoids import medoids
from lll.labels.select.random import random
from lll.labels.select.typiclust import typiclust

STRATEGIES: dict[str, Strategy] = {
    "auto": auto,
    "medoids": medoids,
    "typiclust": typiclust,
    "margin": margin,
    "random": random,
}

__all__ = ["STRATEGIES", "Candidates", "Strategy"]
