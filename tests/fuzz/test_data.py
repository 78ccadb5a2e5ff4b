"""Damaged data and settings: they are read, or refused in one short line; nothing else happens."""

import json
import random
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.fuzz.mutate import mutate, mutate_tree, read_or_refused

from lll import RunConfig
from lll.bench.sweep import read_sweep
from lll.config import read_toml
from lll.data import load_data
from lll.data.decoding import UnreadableError, attempt, calm
from lll.data.formats import FORMATS
from lll.labels.events import read_events

FEW, MANY = 60, 3000
SECONDS = 30  # for one file: more is a hang
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
SWEEP = b"""data = "digits"
methods = ["baseline", "gradual"]
labels = ["4/class", 0.1]
seeds = [0, 1]
settings = {epochs = 4}
[schedules.slow]
classes = "2:4"
"""


def each_seed(name: str, count: int) -> Iterator[random.Random]:
    """Generators by seed; what fails or hangs names its seed, and may be run alone with it."""
    for seed in range(count):
        with in_time(f"{name} seed {seed}"):
            yield random.Random(f"{name} {seed}")


@contextmanager
def in_time(name: str) -> Iterator[None]:
    def hang(*_: object) -> None:
        raise TimeoutError(f"{name} took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        yield
    except GeneratorExit:
        print(name)
        raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def saved(mode: str = "RGB", kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(out, kind, **options)
    return out.getvalue()


def images() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    made = {kind: saved(kind=kind) for kind in FORMATS}
    made |= {f"PNG {mode}": saved(mode) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")}
    made |= {f"JPEG {mode}": saved(mode, "JPEG", progressive=True) for mode in ("L", "CMYK")}
    made |= {"JPEG exif": saved(kind="JPEG", exif=exif), "PNG exif": saved(exif=exif)}
    return made | {"TIFF deflate": saved(kind="TIFF", compression="tiff_deflate")}


def check_images(count: int) -> None:
    for kind, data in images().items():
        with calm():
            for rng in each_seed(kind, count):
                result = attempt(mutate(data, rng), 8, rng.choice(("squash", "crop")))
                if not isinstance(result, UnreadableError):
                    assert (result.shape, result.dtype) == ((8, 8, 3), np.uint8)


def check_zip(path: Path, count: int) -> None:
    members = {f"{c}/{i}.png": saved("1") for c in "ab" for i in range(2)}
    members |= {"labels.csv": b"file,label\na/0.png,a\n", "unlabelled/": b""}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        whole = zipped(members, method)
        for rng in each_seed(f"zip {method}", count):
            path.write_bytes(mutate(whole, rng))
            read_or_refused(lambda: load_data(path, image_size=8, cache=path.parent / "cache"))


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def check_npz(path: Path, count: int) -> None:
    """Damage to the file, and to one array inside it."""
    arrays = {
        "images": np.stack([PIXELS] * 4),
        "labels": np.array(["a", "b", "", "a"]),
        "class_names": np.array(["a", "b"]),
        "ids": np.array(["w", "x", "y", "z"]),
        "images_test": np.stack([PIXELS[..., 0]] * 2) / 255,
        "labels_test": np.array(["a", "b"]),
    }
    members = {}
    for name, array in arrays.items():
        out = BytesIO()
        np.save(out, array)
        members[f"{name}.npy"] = out.getvalue()
    for rng in each_seed("npz", count):
        if rng.random() < 0.3:
            path.write_bytes(mutate(zipped(members), rng))
        else:
            name = rng.choice(list(members))
            path.write_bytes(zipped(members | {name: mutate(members[name], rng)}))
        read_or_refused(lambda: load_data(path, image_size=8))


def check_parquet(path: Path, count: int) -> None:
    """Damage to the file, and to what ``datasets`` wrote into its schema."""
    cells = [{"bytes": saved("1"), "path": f"{i}.png"} for i in range(6)]
    for labels in ([0, 1, 0, 1, -1, None], ["a", "b", "a", None, "", "b"]):
        table = pa.table({"image": cells, "label": labels})
        for compression in ("none", "snappy", "zstd"):
            name = f"parquet {type(labels[0]).__name__} {compression}"
            for rng in each_seed(name, count):
                features = FEATURES if rng.random() < 0.5 else mutate_tree(FEATURES, rng)
                text = json.dumps({"info": {"features": features}}, default=str).encode()
                if rng.random() < 0.2:
                    text = mutate(text, rng)
                given = table.replace_schema_metadata({b"huggingface": text})
                pq.write_table(given, path, compression=compression, row_group_size=4)
                if rng.random() < 0.7:
                    path.write_bytes(mutate(path.read_bytes(), rng))
                read_or_refused(lambda: load_data(path, image_size=8, cache=path.parent / "cache"))


def check_tables(folder: Path, count: int) -> None:
    for i in range(4):
        (folder / f"{i}.png").write_bytes(saved("1"))
    rows = [{"file_name": f"{i}.png", "label": "ab"[i % 2], "split": ""} for i in range(3)]
    tables = {
        "labels.csv": b'file,label,split\n0.png,a,train\n1.png,"b, c",\n2.png,,test\n3,a,train\n',
        "metadata.jsonl": "\n".join(map(json.dumps, rows)).encode(),
    }
    for name, whole in tables.items():
        for rng in each_seed(name, count):
            data = whole if rng.random() < 0.9 else whole.decode().encode("utf-16")
            (folder / name).write_bytes(mutate(data, rng))
            read_or_refused(lambda: load_data(folder, image_size=8, cache=folder.parent / "cache"))
        (folder / name).unlink()
    path = folder / "events.csv"
    for rng in each_seed("events", count):
        path.write_bytes(mutate(b"id,label,epoch,origin\n0.png,a,0,\n'=1,b,12,person\n", rng))
        read_or_refused(lambda: read_events(path, ("a", "b")))


def check_toml(path: Path, count: int) -> None:
    configs = (
        RunConfig(data="digits", classes="2:4:linear", class_order="a,b", labels="0=0.1,3=0.5"),
        RunConfig(data="digits", method="finetune", epochs=4),
        RunConfig(data="digits", method="sandbox", rule="meta_distance"),
    )
    for config in configs:
        whole = config.to_toml().encode()
        for rng in each_seed(f"toml {config.method}", count):
            if rng.random() < 0.5:
                path.write_bytes(mutate(whole, rng))
                read_or_refused(lambda: RunConfig(**read_toml(path)))
            else:
                given = mutate_tree(config.to_dict(), rng)
                if isinstance(given, dict) and all(isinstance(key, str) for key in given):
                    read_or_refused(lambda given=given: RunConfig(**given))
    for rng in each_seed("sweep", count):
        path.write_bytes(mutate(SWEEP, rng))
        read_or_refused(lambda: read_sweep(path, path.parent))


CHECKS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "zip": ("x.zip", check_zip),
    "npz": ("x.npz", check_npz),
    "Parquet": ("x.parquet", check_parquet),
    "tables": ("flat", check_tables),
    "TOML": ("x.toml", check_toml),
}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(tmp_path, kind, count):
    name, check = CHECKS[kind]
    place = tmp_path / name
    if not place.suffix:
        place.mkdir()
    check(place, count)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_damaged_images_are_read_or_unreadable(count):
    check_images(count)
