"""AdaptShot with its defaults, and room for all labels, on images in a folder; see `peer.py`.

    python peer_adaptshot.py FOLDER

FOLDER holds PNG files and tasks.json: ``scored`` (files), ``answers``, and ``tasks``, of each the
``files`` and ``labels`` to learn from. The accuracy of each task is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from adaptshot import AdaptShotConfig, FewShotLearner
from adaptshot.core import learner as inside
from PIL import Image


def main(folder: Path) -> None:
    """Print the list of accuracies."""
    given = json.loads((folder / "tasks.json").read_text())
    remember_embeddings()
    images = [Image.open(folder / name).convert("RGB") for name in given["scored"]]
    accuracies = []
    for task in given["tasks"]:
        files = [str(folder / name) for name in task["files"]]
        learner = FewShotLearner(AdaptShotConfig(max_buffer_size=max(100, len(files))))
        learner.load_support_images(files, task["labels"])
        told = [int(learner.predict(image).prediction) for image in images]
        right = [a == b for a, b in zip(told, given["answers"], strict=True)]
        accuracies.append(sum(right) / len(right))
        sys.stderr.write(f"{len(accuracies)} of {len(given['tasks'])} tasks\n")
    sys.stdout.write(json.dumps(accuracies))


def remember_embeddings() -> None:
    """Encode an image once and not for each task; what is done with encodings stays AdaptShot's."""
    encode, known = inside.extract_embedding, dict[bytes, Any]()

    def remembered(image: Image.Image, *how: Any, **more: Any) -> Any:
        key = image.tobytes()
        if key not in known:
            known[key] = encode(image, *how, **more)
        return known[key]

    inside.extract_embedding = remembered


if __name__ == "__main__":
    main(Path(sys.argv[1]))
