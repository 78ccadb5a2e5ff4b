"""What the Dockerfile copies is there, and is not left out of what a build is sent."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_all_that_is_copied_is_sent():
    text = (ROOT / "Dockerfile").read_text()
    copied = [
        name for line in re.findall(r"^COPY ([^-].*) \S+$", text, re.M) for name in line.split()
    ]
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert len(copied) > 5
    assert sorted(copied) == sorted(sent)
    assert [name for name in copied if not (ROOT / name).exists()] == []
