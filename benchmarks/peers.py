"""The library against its peers, on the same work, in alternation.

    python benchmarks/peers.py
    python benchmarks/peers.py --peer keras

keras: the `gradual` step on `convnet` (two strong views, contrast, weak view, classify) written
plainly in Keras 3 on TensorFlow, in float32 and in its mixed_bfloat16; ours takes the precision
that `auto` picks, and the ratio is to the faster of the two. lightly: contrast alone, with
lightly's transform, data loader and loss around the same encoder; ours takes NT-Xent there too.
Peers are installed by pip into environments of their own in the repository root, and kept;
remove ``.venv-bench-*`` to renew.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import (
    HERE,
    ROOT,
    NotAvailable,
    Worker,
    alternate,
    ratios,
    save,
    show,
    show_line,
    shown,
    spread,
    version,
)


@dataclass(frozen=True)
class Peer:
    """A competitor: its script, what pip installs for it, and what of ours it is set against.

    ``seconds`` is how long a round of each side lasts; ``target`` the ratio that is wanted.
    ``variants`` are flags of the script by name: ours is set against the fastest.
    """

    script: str
    packages: tuple[str, ...]
    work: str
    ours: tuple[str, ...]
    seconds: float
    target: float
    variants: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"": ()})


def same_torch() -> str:
    """The requirement that gives a peer the torch that the library runs on here."""
    return f"torch=={(version('torch') or '2.13.0').partition('+')[0]}"


PEERS = {
    "keras": Peer(
        "peers_keras.py",
        ("tensorflow-cpu", "keras>=3"),
        "gradual step, contrast and classify",
        ("--precision", "auto"),
        3.0,
        1.5,
        {p: ("--precision", p) for p in ("float32", "mixed_bfloat16")},
    ),
    "lightly": Peer(
        "peers_lightly.py",
        (same_torch(), "torchvision", "lightly"),
        "contrast alone, views and loading included",
        ("--steps", "contrast", "--contrast", "nt_xent", "--precision", "float32"),
        6.0,
        3.0,
    ),
}


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of the environment ``.venv-bench-NAME``, made if it is not there.

    Raises NotAvailable, with pip's last line, if it cannot be made.
    """
    folder = ROOT / f".venv-bench-{name}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    show_line(f"peers: installing {', '.join(packages)} into {folder.name} ...")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    except (NotAvailable, OSError) as error:
        raise NotAvailable(f"not installed: {error}") from None
    stamp.write_text(wanted)
    return python


def measure(name: str, peer: Peer, rounds: int, batch: int) -> dict[str, Any]:
    """Images per second of ours and of the peer in turn; ours / the fastest, round by round."""
    python = environment(name, peer.packages)
    size = ["--batch", str(batch)]
    with ExitStack() as stack:
        ours = stack.enter_context(
            Worker(f"ours-beside-{name}", [HERE / "ours.py", *size, *peer.ours])
        )
        theirs = {
            how: stack.enter_context(
                Worker(
                    f"{name}{how and '-' + how}", [HERE / peer.script, *size, *flags], python=python
                )
            )
            for how, flags in peer.variants.items()
        }
        rates = alternate([ours, *theirs.values()], rounds, peer.seconds)
        fastest = list(map(max, zip(*(rates[one.name] for one in theirs.values()), strict=True)))
        return {
            "work": peer.work,
            "batch": batch,
            "ours": {**ours.ready, "images_per_second": spread(rates[ours.name])},
            "peer": {
                how: {**one.ready, "images_per_second": spread(rates[one.name])}
                for how, one in theirs.items()
            },
            "ratio": ratios(rates[ours.name], fastest),
            "target": peer.target,
        }


def measured_or_not(name: str, rounds: int, batch: int) -> dict[str, Any]:
    """`measure`, or why it could not be."""
    try:
        return {"name": name, **measure(name, PEERS[name], rounds, batch)}
    except NotAvailable as error:
        return {"name": name, "work": PEERS[name].work, "not_available": str(error)}


def row(result: dict[str, Any]) -> list[str]:
    """One line of the table."""
    if "not_available" in result:
        return [result["name"], result["work"], result["not_available"], "", "", ""]
    peers = result["peer"]
    versions = ", ".join(f"{k} {v}" for k, v in next(iter(peers.values()))["versions"].items())
    return [
        f"{result['name']} ({versions})",
        f"{result['work']}, batch {result['batch']}, {result['ours']['threads']} threads",
        shown(result["ours"]["images_per_second"]),
        "; ".join(f"{how} {shown(p['images_per_second'])}".strip() for how, p in peers.items()),
        shown(result["ratio"], ".2f", "x"),
        f"{result['target']:g}x",
    ]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()]
        raise NotAvailable((errors or lines or [f"exit {done.returncode}"])[-1])


def main() -> None:
    """Measure against every peer, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", action="append", choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=525)
    given = parser.parse_args()
    results = []
    for name in given.peer or PEERS:
        show_line(f"peers: {name} ...")
        results.append(measured_or_not(name, given.rounds, given.batch))
    columns = ("peer", "work", "ours, images/s", "peer, images/s", "ours / fastest", "wanted")
    show("Peers on the same cores: median (least – greatest)", columns, [row(r) for r in results])
    save("peers", {"peers": results})


if __name__ == "__main__":
    main()
