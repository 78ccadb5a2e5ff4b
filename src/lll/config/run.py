"""RunConfig: every choice a run depends on, validated, with the defaults of its method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from lll.config.complaint import one_line
from lll.config.presets import DATA_PRESETS, PHOTO_ENCODER
from lll.config.toml import toml_value
from lll.config.values import (
    MOST_EPOCHS,
    ClassOrder,
    ClassSchedule,
    Count,
    LabelSchedule,
    Place,
    RateSchedule,
    Share,
    Text,
)
from lll.errors import UserError, lookup, nearest
from lll.methods import METHODS
from lll.methods.method import Method, MethodOptions, Names
from lll.nets.encoders import CUSTOM_ENCODER, ENCODERS, find_encoder


def _field(group: str, default: Any = ..., **given: Any) -> Any:
    """A field of one of the groups that help texts show."""
    return Field(default, validate_default=True, json_schema_extra={"group": group}, **given)


class RunConfig(BaseModel):
    """Every choice that a run's numbers depend on.

    Defaults come from the field, then from the method, then from the data set's preset;
    what is given wins. Values may be given as they are written in flags and TOML. The options
    that the method owns are given beside the others, and kept in ``options``.
    Raises UserError for an unknown key or a value out of bounds.

    >>> config = RunConfig(data="digits", method="gradual", labels="4/class", temperature=0.2)
    >>> str(config.classes), str(config.labels), config.batch_size, config.options.temperature
    ('8:all', '4/class', 128, 0.2)
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    data: Place = _field("Data", description="data set: a name, a folder, a zip or a file")
    image_size: int = _field(
        "Data", ge=8, le=1024, description="side in pixels of images (the encoder's own)"
    )
    resize: Literal["crop", "squash"] = _field(
        "Data",
        description="crop keeps the shape of photos (pretrained encoders), squash does not",
    )
    test_share: Share = _field(
        "Data", 0.2, description="share for test where the data has no test split"
    )

    method: Annotated[str, Names(METHODS)] = _field(
        "Method", "gradual", description="how to learn; auto on a pretrained encoder"
    )
    epochs: Count = _field("Method", 20, le=MOST_EPOCHS, description="passes over the images")
    batch_size: Count = _field("Method", 525, description="images per step, with and without label")
    labelled_batch_size: Count | None = _field(
        "Method", None, description="fixed number of labelled images per step"
    )
    contrastive_rate: RateSchedule = _field(
        "Method", 1e-3, description="learning rate of encoder and projection head"
    )
    probe_rate: RateSchedule = _field(
        "Method", 1e-2, description="learning rate of the linear probe"
    )
    optimizer: Literal["adam", "sgd"] = _field(
        "Method", "adam", description="adam, or sgd with Nesterov momentum 0.9"
    )
    weight_decay: float = _field(
        "Method", 0.0, ge=0, description="of sgd, not on biases and batch norm"
    )
    from_run: Text | None = _field(
        "Method", None, description="begin with the encoder of this finished run"
    )

    classes: ClassSchedule = _field("Labels", "all", description="classes represented, low:high")
    class_order: ClassOrder = _field(
        "Labels",
        "data",
        description='data, shuffle, class names with commas, or a list: ["a, b", "c"]',
    )
    labels: LabelSchedule = _field(
        "Labels", 1.0, description="share of labels known, low:high, or 4/class"
    )
    label_events: Text | None = _field(
        "Labels", None, description="CSV of id,label,epoch that says what is known when"
    )
    unlabelled_pool: Literal["represented", "all"] = _field(
        "Labels",
        "represented",
        description="unlabelled images come from classes that are represented, or from all",
    )
    validation_share: Share = _field(
        "Labels", 0.1, description="share of training images for validation; 0 for none"
    )
    validation_labels: Literal["known", "all"] = _field(
        "Labels",
        "known",
        description="validate on as many labels as the run knows, or on all of them",
    )

    encoder: Annotated[str, Names(ENCODERS)] = _field(
        "Encoder", "convnet", description="timm:NAME, or one of"
    )
    weights: Text | None = _field(
        "Encoder", None, description="file of weights in place of the encoder's own"
    )
    freeze: bool = _field(
        "Encoder",
        description="learn on the encoder's features and leave it as it is (pretrained encoders)",
    )
    unfreeze: int = _field(
        "Encoder", 0, ge=0, description="train this many of the frozen encoder's last blocks too"
    )
    feature_views: int = _field(
        "Encoder", 2, ge=0, le=16, description="augmented views of each image, of a frozen encoder"
    )
    feature_head: Literal["dense", "identity"] = _field(
        "Encoder", "dense", description="what is trained on features: dense layers, or nothing"
    )
    width: Count = _field(
        "Encoder", 128, description="channels and features of encoder and projection head"
    )
    activation: Literal["relu", "leaky_relu"] = _field(
        "Encoder", "leaky_relu", description="relu or leaky_relu"
    )

    flip: float = _field(
        "Views", 0.5, ge=0, le=1, description="probability of a horizontal mirror in a view"
    )
    strong_view: Literal["zoom", "randaugment"] = _field(
        "Views",
        "zoom",
        description="zoom and recolour as below, or two of RandAugment's operations",
    )
    strong_min_area: float = _field(
        "Views", 0.25, gt=0, le=1, description="least area shown by a strong view"
    )
    strong_brightness: Share = _field("Views", 0.6, description="brightness range of strong views")
    strong_jitter: Share = _field("Views", 0.2, description="colour jitter of strong views")
    weak_min_area: float = _field(
        "Views", 0.75, gt=0, le=1, description="least area shown by a weak view"
    )
    weak_brightness: Share = _field("Views", 0.3, description="brightness range of weak views")
    weak_jitter: Share = _field("Views", 0.1, description="colour jitter of weak views")

    seed: int = _field("Run", 0, ge=0, description="seed of every random choice")
    device: str = _field("Run", "auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16"] = _field(
        "Run", "auto", description="of the networks: bfloat16, float32, or auto: bfloat16 if fast"
    )
    options: SerializeAsAny[MethodOptions] = _field(
        "Method", description="the options that the method owns"
    )

    def __init__(self, **given: Any) -> None:
        given = _paired({name: value for name, value in given.items() if value is not None})
        name = str(given["method"])
        method = lookup(METHODS, name, "method")
        presets = DATA_PRESETS.get(str(given.get("data")), {})
        values = {
            **_encoder_defaults(given),
            **method.defaults(presets | given),
            **presets,
            **given,
        }
        own = {key: values.pop(key) for key in method.options.model_fields if key in values}
        for key in values:
            if key not in type(self).model_fields or key == "options":
                raise UserError(_unknown_key(key, values[key], name))
        try:
            super().__init__(**values, options=method.options(**own))
        except ValidationError as error:
            raise UserError(one_line(error, lambda name: fields_of()[name].help)) from None

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> RunConfig:
        """The configuration of a run folder, also of one that an earlier version wrote.

        Those held the options of all methods, and validated on all labels.
        """
        method = METHODS.get(str(values.get("method", "gradual")))
        others = _owners().keys() - (
            set() if method is None else method.options.model_fields.keys()
        )
        kept = {key: value for key, value in values.items() if key not in others}
        return cls(**({"validation_labels": "all"} | kept))

    @property
    def how(self) -> Method:
        """The method that ``method`` names."""
        return METHODS[self.method]

    @property
    def title(self) -> str:
        """The method for a heading, as in ``sandbox (meta_distance)``."""
        variant = self.how.variant(self.options)
        return f"{self.method} ({variant})" if variant else self.method

    @model_validator(mode="after")
    def _features(self) -> RunConfig:
        if self.how.fit is not None and not self.freeze:
            raise ValueError(
                f"method {self.method!r} learns on features: name a pretrained encoder, as in "
                "--encoder efficientnet_lite2, or give --freeze yes"
            )
        if self.unfreeze and (self.how.fit is not None or not self.freeze):
            raise ValueError(
                "unfreeze is for a frozen encoder and a method that trains it: give --method, as "
                + ", ".join(name for name, method in METHODS.items() if method.fit is None)
            )
        return self

    @model_validator(mode="after")
    def _agree(self) -> RunConfig:
        first = self.how.first_epochs(self.options)
        if first >= self.epochs:
            raise ValueError(
                f"the first stage takes {first} of {self.epochs} epochs and leaves none: "
                "lower pretrain_epochs or raise epochs"
            )
        if self.weight_decay and self.optimizer != "sgd":
            raise ValueError(f"weight_decay {self.weight_decay:g} needs optimizer 'sgd'")
        if self.labelled_batch_size is not None and self.labelled_batch_size >= self.batch_size:
            raise ValueError(
                f"labelled_batch_size {self.labelled_batch_size} leaves no room for unlabelled "
                f"images in batch_size {self.batch_size}: lower it"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are written in TOML; unset fields are left out."""
        values = self.model_dump(mode="json", exclude_none=True)
        options: dict[str, Any] = values.pop("options")
        return values | options

    def to_toml(self) -> str:
        """The resolved configuration as TOML, one documented line per field."""
        about = fields_of(self.method)
        lines = [
            f"{name} = {toml_value(value)}  # {about[name].help}"
            for name, value in self.to_dict().items()
        ]
        return "\n".join(lines) + "\n"


def _paired(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with the method that suits its encoder, or the encoder that its method needs."""
    encoder = str(given.get("encoder", CUSTOM_ENCODER))
    method = METHODS.get(str(given.get("method")))
    if method is not None and method.fit is not None and not given.keys() & {"encoder", "freeze"}:
        return {"encoder": PHOTO_ENCODER, **given}
    learns = encoder == CUSTOM_ENCODER or "freeze" in given or bool(given.get("unfreeze"))
    learns = learns or not find_encoder(encoder).pretrained
    return {"method": "gradual" if learns else "auto", **given}


def _encoder_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the encoder's name decides, unless it is given."""
    name = str(given.get("encoder", "convnet"))
    if name == CUSTOM_ENCODER:
        return {"image_size": 32, "resize": "squash", "freeze": False}
    encoder = find_encoder(name)
    resize = "crop" if encoder.pretrained else "squash"
    # Large steps would undo what the unfrozen blocks have learned elsewhere.
    rate = {"contrastive_rate": 1e-4} if given.get("unfreeze") else {}
    return {"image_size": encoder.size, "resize": resize, "freeze": encoder.pretrained, **rate}


@dataclass(frozen=True)
class About:
    """What flags, help and tables say of a setting; ``by_method``: its default is the method's."""

    group: str
    help: str
    default: Any
    by_method: bool = False


def fields_of(method: str | None = None) -> dict[str, About]:
    """Every setting by name: those of all runs, and the options of ``method``, or of all."""
    by_method = {key for how in METHODS.values() for key in how.defaults({})}
    about = {}
    for name, field in RunConfig.model_fields.items():
        if name != "options":
            default = None if field.is_required() else field.default
            about[name] = About(_group(field), _help(field), default, name in by_method)
    for owner in METHODS if method is None else [method]:
        for name, field in METHODS[owner].options.model_fields.items():
            group = "Options of " + ", ".join(_owners()[name])
            about[name] = About(group, _help(field), field.default, name in by_method)
    return about


def _help(field: FieldInfo) -> str:
    """The field's description, and the names that it may have."""
    tables = (mark.table for mark in field.metadata if isinstance(mark, Names))
    return ": ".join([str(field.description), *(", ".join(table) for table in tables)])


def _group(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["group"]) if isinstance(extra, dict) else ""


def _owners() -> dict[str, list[str]]:
    """Each option that belongs to methods, and the names of those methods."""
    owners: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        for option in method.options.model_fields:
            owners.setdefault(option, []).append(name)
    return owners


def _unknown_key(key: str, value: Any, method: str) -> str:
    if key in (owners := _owners()):
        able = " or ".join(map(repr, owners[key]))
        return f"{key} {value!r} needs method {able}, not {method!r}"
    return f"unknown key {key!r}: {nearest(key, fields_of(method))}"
