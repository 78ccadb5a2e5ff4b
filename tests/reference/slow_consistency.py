"""Slow twins of the consistency learners: one number at a time, as the papers write them."""

import math

import torch


def cross_entropy(logits, target):
    """H of one row's softmax and a class."""
    return -torch.log(torch.exp(logits[target]) / torch.exp(logits).sum())


def best(probabilities):
    """The largest of a row's probabilities, as a float, and its class."""
    values = probabilities.tolist()
    return max(values), values.index(max(values))


class Mean:
    """A running number, which forgets what it began with (`lll.nets.average.kept`)."""

    def __init__(self, value, momentum):
        self.value, self.momentum, self.updates = value, momentum, 0

    def update(self, now):
        keep = min(self.momentum, self.updates / (9 + self.updates))
        self.value = keep * self.value + (1 - keep) * now
        self.updates += 1


def means(classes, momentum):
    return [Mean(1 / classes, momentum) for _ in range(classes)]


def labelled_loss(logits, targets):
    return sum(cross_entropy(row, int(y)) for row, y in zip(logits, targets, strict=True)) / len(
        targets
    )


def unlabelled_loss(strong, weak, weights):
    terms = [
        w * cross_entropy(row, best(p)[1]) for row, p, w in zip(strong, weak, weights, strict=True)
    ]
    return sum(terms) / len(terms)


class Aligned:
    """Berthelot et al. 2020 (ReMixMatch), section 3.1, with the ratio to a power."""

    def __init__(self, classes, momentum, alignment):
        self.alignment = alignment
        self.predicted, self.labelled = means(classes, momentum), means(classes, momentum)

    def align(self, targets, weak):
        for c, (predicted, labelled) in enumerate(zip(self.predicted, self.labelled, strict=True)):
            labelled.update(sum(int(y) == c for y in targets) / len(targets))
            predicted.update(sum(float(p[c]) for p in weak) / len(weak))
        rows = []
        for p in weak:
            scaled = [
                float(p[c]) * ((have.value + 1e-6) / (seen.value + 1e-6)) ** self.alignment
                for c, (have, seen) in enumerate(zip(self.labelled, self.predicted, strict=True))
            ]
            rows.append(torch.tensor([s / sum(scaled) for s in scaled], dtype=weak.dtype))
        return rows


class FixMatch(Aligned):
    """Sohn et al. 2020, algorithm 1."""

    def __init__(self, classes, momentum, alignment, threshold):
        super().__init__(classes, momentum, alignment)
        self.threshold = threshold

    def loss(self, labelled, targets, strong, weak):
        weak = self.align(targets, weak)
        weights = [1.0 if best(p)[0] >= self.threshold else 0.0 for p in weak]
        return labelled_loss(labelled, targets) + unlabelled_loss(strong, weak, weights)


class FreeMatch(Aligned):
    """Wang et al. 2023, equations 5 to 12."""

    def __init__(self, classes, momentum, alignment, fairness):
        super().__init__(classes, momentum, alignment)
        self.fairness = fairness
        self.level = Mean(1 / classes, momentum)
        self.probabilities, self.guesses = means(classes, momentum), means(classes, momentum)

    def loss(self, labelled, targets, strong, weak):
        weak = self.align(targets, weak)
        n, classes = len(weak), len(weak[0])
        self.level.update(sum(best(p)[0] for p in weak) / n)
        for c in range(classes):
            self.probabilities[c].update(sum(float(p[c]) for p in weak) / n)
            self.guesses[c].update(sum(best(p)[1] == c for p in weak) / n)
        top = max(p.value for p in self.probabilities)
        weights = []
        for p in weak:
            sure, guess = best(p)
            threshold = self.level.value * self.probabilities[guess].value / top
            weights.append(float(sure >= threshold))
        loss = labelled_loss(labelled, targets) + unlabelled_loss(strong, weak, weights)
        return loss + self.fairness * self.fair(strong, weights)

    def fair(self, strong, weights):
        rows = [row.softmax(0) for row, w in zip(strong, weights, strict=True) if w]
        if not rows:
            return 0.0
        expected = [
            p.value / h.value if h.value else 0.0
            for p, h in zip(self.probabilities, self.guesses, strict=True)
        ]
        guessed = []
        for c in range(strong.shape[1]):
            count = sum(best(p)[1] == c for p in rows)
            mean = sum(p[c] for p in rows) / len(rows)
            guessed.append(mean / (count / len(rows)) if count else torch.zeros(()))
        return sum(
            e / sum(expected) * torch.log(q / sum(guessed) + 1e-12)
            for e, q in zip(expected, guessed, strict=True)
        )


class SoftMatch(Aligned):
    """Chen et al. 2023, equations 5 to 9."""

    def __init__(self, classes, momentum, alignment, sigmas):
        super().__init__(classes, momentum, alignment)
        self.sigmas = sigmas
        self.mean, self.variance = Mean(1 / classes, momentum), Mean(1.0, momentum)

    def loss(self, labelled, targets, strong, weak):
        weak = self.align(targets, weak)
        sure = [best(p)[0] for p in weak]
        mean = sum(sure) / len(sure)
        self.mean.update(mean)
        self.variance.update(sum((s - mean) ** 2 for s in sure) / (len(sure) - 1))
        weights = [
            math.exp(-((s - self.mean.value) ** 2) / (2 * self.variance.value / self.sigmas**2))
            if s < self.mean.value
            else 1.0
            for s in sure
        ]
        return labelled_loss(labelled, targets) + unlabelled_loss(strong, weak, weights)
