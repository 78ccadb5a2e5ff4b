"""RunConfig: every choice a run depends on, validated, with the defaults of its method."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from lll.errors import UserError, nearest
from lll.labels.schedule import (
    Schedule,
    class_schedule,
    label_schedule,
    rate_schedule,
)

METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "baseline": {"classes": "5:all", "labels": 0.5, "activation": "relu"},
    "self_supervised": {"classes": "5:all", "labels": 0.5, "activation": "relu"},
    "finetune": {
        "classes": "5:all",
        "labels": 0.5,
        "activation": "relu",
    },
    "gradual": {"classes": "8:all", "labels": "0.01:0.9", "probe_rate": "0.01:0.03"},
    "sandbox": {
        "classes": "all",
        "labels": "0.1:0.9",
        "contrastive_rate": 0.01,
        "rule": "reclassify_weighted",
    },
}
"""What a method changes of RunConfig's own defaults."""

DATA_PRESETS: dict[str, dict[str, Any]] = {
    # 1,438 small training images: smaller batches give enough updates, validation accuracy
    # has settled after 14 epochs (a minute on two cores), and a mirrored, tinted or
    # half-hidden digit is another digit or none.
    "digits": {
        "epochs": 14,
        "batch_size": 128,
        "flip": 0.0,
        "strong_min_area": 0.6,
        "strong_brightness": 0.3,
        "strong_jitter": 0.1,
        "weak_min_area": 0.9,
        "weak_brightness": 0.1,
        "weak_jitter": 0.02,
    },
}
"""What a data set changes of the method's defaults."""


def _joined(value: Any) -> Any:
    """Names with commas, also where a list is given; a path as text."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, Path) else value


def _names(value: Any) -> Any:
    """A list of names as it is, also where a flag holds it as it stands in TOML."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return tomllib.loads(f"names = {value}")["names"]
    except tomllib.TOMLDecodeError:
        return value


def _place(value: Any) -> Any:
    """A path as well-formed text, whatever its bytes are."""
    from lll.data.paths import as_text  # brings NumPy, which `lll --help` can do without

    text = _joined(value)
    return as_text(text) if isinstance(text, str) else text


_AS_TEXT = PlainSerializer(str)
Text = Annotated[str, BeforeValidator(_joined)]
Place = Annotated[str, BeforeValidator(_place)]
ClassOrder = Annotated[str | tuple[str, ...], BeforeValidator(_names)]
ClassSchedule = Annotated[Schedule, BeforeValidator(class_schedule), _AS_TEXT]
LabelSchedule = Annotated[Schedule, BeforeValidator(label_schedule), _AS_TEXT]
RateSchedule = Annotated[Schedule, BeforeValidator(rate_schedule), _AS_TEXT]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

MOST_EPOCHS = 100_000  # planned one by one: ten times as many take a minute


class RunConfig(BaseModel):
    """Every choice that a run's numbers depend on.

    Defaults come from the field, then from the method, then from the data set's preset;
    what is given wins. Values may be given as they are written in flags and TOML.
    Raises UserError for an unknown key or a value out of bounds.

    >>> config = RunConfig(data="digits", method="gradual", labels="4/class")
    >>> str(config.classes), str(config.labels), config.batch_size
    ('8:all', '4/class', 128)
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    data: Place = Field(description="data set: a name, a folder, a zip or a file")
    method: str = Field(
        "gradual", description="baseline, self_supervised, finetune, gradual or sandbox"
    )
    rule: str | None = Field(None, description="the extra encoder step of the sandbox method")
    from_run: Text | None = Field(None, description="finetune the encoder of this finished run")

    classes: ClassSchedule = Field(
        "all", description="classes represented, low:high", validate_default=True
    )
    class_order: ClassOrder = Field(
        "data", description='data, shuffle, class names with commas, or a list: ["a, b", "c"]'
    )
    labels: LabelSchedule = Field(
        1.0, description="share of labels known, low:high, or 4/class", validate_default=True
    )
    unlabelled_pool: Literal["represented", "all"] = Field(
        "represented",
        description="unlabelled images come from classes that are represented, or from all",
    )
    epochs: Count = Field(20, le=MOST_EPOCHS, description="passes over the training images")
    pretrain_epochs: int = Field(
        0, ge=0, description="first epochs, self-supervised, of finetune: half of them unless given"
    )
    batch_size: Count = Field(525, description="images per step, labelled and unlabelled")
    labelled_batch_size: Count | None = Field(
        None, description="fixed number of labelled images per step"
    )
    contrastive_rate: RateSchedule = Field(
        1e-3, description="learning rate of encoder and projection head", validate_default=True
    )
    probe_rate: RateSchedule = Field(
        1e-2, description="learning rate of the linear probe", validate_default=True
    )

    encoder: str = Field("convnet", description="convnet or resnet18")
    width: Count = Field(128, description="channels and features of encoder and projection head")
    activation: Literal["relu", "leaky_relu"] = Field(
        "leaky_relu", description="relu or leaky_relu"
    )
    contrast: Literal["info_nce", "nt_xent"] = Field(
        "info_nce", description="info_nce (cross-view negatives) or nt_xent (2N negatives)"
    )
    temperature: float = Field(0.1, gt=0, description="temperature of the contrastive loss")
    similarity: Literal["dot", "inverse_distance"] = Field(
        "dot", description="dot or inverse_distance, in the reclassify rules"
    )
    direction: Literal["attract", "repel"] = Field(
        "attract", description="attract or repel, in the meta_distance rule"
    )

    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal mirror in a view")
    strong_min_area: float = Field(
        0.25, gt=0, le=1, description="least area shown by a strong view"
    )
    strong_brightness: Share = Field(0.6, description="brightness range of strong views")
    strong_jitter: Share = Field(0.2, description="colour jitter of strong views")
    weak_min_area: float = Field(0.75, gt=0, le=1, description="least area shown by a weak view")
    weak_brightness: Share = Field(0.3, description="brightness range of weak views")
    weak_jitter: Share = Field(0.1, description="colour jitter of weak views")

    image_size: int = Field(
        32, ge=8, le=1024, description="side in pixels that images are resized to"
    )
    validation_share: Share = Field(0.1, description="share of training images for validation")
    test_share: Share = Field(0.2, description="share for test where the data has no test split")
    seed: int = Field(0, ge=0, description="seed of every random choice")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the networks: bfloat16, float32, or auto, bfloat16 on GPUs"
    )

    def __init__(self, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value is not None}
        method = str(given.get("method", "gradual"))
        data = str(given.get("data"))
        values = METHOD_DEFAULTS.get(method, {}) | DATA_PRESETS.get(data, {}) | given
        if method == "finetune" and "from_run" not in values:
            epochs = str(values.get("epochs", 20))
            values.setdefault("pretrain_epochs", int(epochs) // 2 if epochs.isdecimal() else 0)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError(_one_line(error)) from None

    @model_validator(mode="after")
    def _agree(self) -> RunConfig:
        if self.rule is not None and self.method != "sandbox":
            raise ValueError(f"rule {self.rule!r} needs method 'sandbox', not {self.method!r}")
        if self.from_run is not None and self.method != "finetune":
            raise ValueError(f"from_run needs method 'finetune', not {self.method!r}")
        if self.pretrain_epochs and self.method != "finetune":
            raise ValueError(f"pretrain_epochs needs method 'finetune', not {self.method!r}")
        if self.method == "finetune" and self.pretrain_epochs >= self.epochs:
            raise ValueError(
                f"pretrain_epochs {self.pretrain_epochs} leaves none of {self.epochs} epochs "
                "to finetune: lower it or raise epochs"
            )
        if self.labelled_batch_size is not None and self.labelled_batch_size >= self.batch_size:
            raise ValueError(
                f"labelled_batch_size {self.labelled_batch_size} leaves no room for unlabelled "
                f"images in batch_size {self.batch_size}"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are written in TOML; unset fields are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """The resolved configuration as TOML, one documented line per field."""
        lines = [
            f"{name} = {_toml_value(value)}  # {type(self).model_fields[name].description}"
            for name, value in self.to_dict().items()
        ]
        return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    # JSON's strings are TOML's, but for surrogate pairs and a bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file; UserError that names the file if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not readable as TOML: {error}") from None


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Names of the fields in which two configurations (`RunConfig.to_dict`) differ."""
    return sorted(k for k in {*first, *second} if first.get(k) != second.get(k))


def _one_line(error: ValidationError) -> str:
    """The first complaint of ``error`` as one line that names the key and the remedy."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {name!r}: {nearest(name, RunConfig.model_fields)}"
    if first["type"] == "missing":
        return f"{name} is missing: {RunConfig.model_fields[name].description}"
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    given = first.get("input")
    shown = "" if str(given) in message else f" (given {given!r})"
    return f"{name}: {message[:1].lower()}{message[1:]}{shown}"
