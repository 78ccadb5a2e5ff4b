"""Little by little with scikit-learn: eight digits with few labels, then two more arrive."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lll import GradualClassifier


def main() -> None:
    """Fit on the digits 0 to 7, then go on with 8 and 9; half a minute."""
    digits = load_digits()  # rows of 8x8 greys from 0 to 16
    X, X_test, y, y_test = train_test_split(digits.data, digits.target, random_state=0)
    labels = np.where(np.arange(len(y)) % 5, -1, y)  # four of five have no label
    early = y < 8

    model = GradualClassifier(
        pixel_range=(0, 16), epochs=12, width=32, batch_size=64, flip=0, strong_min_area=0.6,
        weak_min_area=0.9, random_state=0,
    )  # fmt: skip
    model.fit(X[early], labels[early])
    old = y_test < 8
    print(f"accuracy on 0 to 7: {model.score(X_test[old], y_test[old]):.3f}")

    model.partial_fit(X[~early], labels[~early])
    print(f"then 8 and 9 came: {model.classes_.tolist()}")
    print(f"accuracy on 0 to 7: {model.score(X_test[old], y_test[old]):.3f}")
    print(f"accuracy on 8 and 9: {model.score(X_test[~old], y_test[~old]):.3f}")


if __name__ == "__main__":
    main()
