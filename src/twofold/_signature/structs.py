"""What a dataclass, TypedDict, msgspec Struct or pydantic model says about its fields, in one form.

No package is imported for this: a class of pydantic exists only where its user has imported pydantic.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from twofold._signature.namespaces import hints_of_class
from twofold._signature.place import Place
from twofold._signature.types import MISSING

__all__ = ["Member", "StructClass", "struct_class", "unenforced"]

# pydantic settings that change or refuse values beyond what its annotations say
PYDANTIC_CHECKS = (
    "str_to_lower",
    "str_to_upper",
    "str_strip_whitespace",
    "str_min_length",
    "str_max_length",
)


@dataclass(frozen=True, slots=True)
class Member:
    """One field: `attribute` in Python, `name` in rows and columns, `default` as the user wrote it.

    `absent`: the key is left out of a TypedDict where there is no value. `metadata`: beside the hint (pydantic).
    """

    attribute: str
    name: str
    hint: Any
    default: Any = MISSING
    factory: Callable[[], Any] | None = None
    absent: bool = False
    metadata: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class StructClass:
    """A struct class and its fields. `make`: how an instance is made from its values."""

    owner: type
    kind: typing.Literal["dataclass", "typeddict", "msgspec", "pydantic"]
    members: tuple[Member, ...]
    make: typing.Literal["positional", "keywords", "dict", "validate"]


def struct_class(hint: Any, place: Place) -> StructClass | None:
    """The struct that this hint is, or None. ModelError for one whose fields cannot be read.

    `place.role` "output" lists what an instance has, "input" what its constructor takes.
    """
    if not isinstance(hint, type):
        return None
    if hasattr(hint, "__pydantic_fields__"):
        return _pydantic(hint, place)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, place)
    if isinstance(hint, msgspec.StructMeta):
        return _msgspec(hint, place)
    if hasattr(hint, "__required_keys__") and hasattr(hint, "__optional_keys__"):
        return _typeddict(hint, place)
    return None


def _dataclass(owner: type, place: Place) -> StructClass:
    hints = hints_of_class(owner, place)
    listed = [f for f in dataclasses.fields(owner) if f.init or place.role == "output"]
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar) or hint is dataclasses.InitVar:
            place.refuse(f"has the InitVar `{owner.__name__}.{name}`, which is no field. Make it a field.")
    members = tuple(
        Member(
            attribute=f.name,
            name=f.name,
            hint=hints[f.name],
            default=MISSING if f.default is dataclasses.MISSING else f.default,
            factory=None if f.default_factory is dataclasses.MISSING else f.default_factory,
        )
        for f in listed
    )
    made_here = owner.__dataclass_params__.init  # type: ignore[attr-defined]
    plain = made_here and not any(f.kw_only for f in listed)
    return StructClass(owner, "dataclass", members, "positional" if plain else "keywords")


def _msgspec(owner: Any, place: Place) -> StructClass:
    hints = hints_of_class(owner, place)
    names, shown, defaults = owner.__struct_fields__, owner.__struct_encode_fields__, owner.__struct_defaults__
    padded = (msgspec.NODEFAULT,) * (len(names) - len(defaults)) + tuple(defaults)
    members = []
    for attribute, name, default in zip(names, shown, padded, strict=True):
        factory = getattr(default, "factory", None) if type(default).__name__ == "Factory" else None
        missing = default is msgspec.NODEFAULT or factory is not None
        members.append(Member(attribute, name, hints[attribute], MISSING if missing else default, factory))
    return StructClass(owner, "msgspec", tuple(members), "keywords")


def _typeddict(owner: Any, place: Place) -> StructClass:
    members = []
    for name, written in hints_of_class(owner, place).items():
        hint, absent = written, name not in owner.__required_keys__
        while (said := getattr(typing.get_origin(hint), "_name", None)) in ("Required", "NotRequired", "ReadOnly"):
            hint = typing.get_args(hint)[0]
            absent = absent if said == "ReadOnly" else said == "NotRequired"
        members.append(Member(name, name, hint, None if absent else MISSING, absent=absent))
    return StructClass(owner, "typeddict", tuple(members), "dict")


def _pydantic(owner: Any, place: Place) -> StructClass:
    if not owner.__dict__.get("__pydantic_complete__", True):
        try:
            rebuild = getattr(owner, "model_rebuild", None)
            if rebuild is None:
                import pydantic.dataclasses

                rebuild = lambda: pydantic.dataclasses.rebuild_dataclass(owner)  # noqa: E731
            rebuild()
        except Exception as error:
            place.refuse(
                f"is the pydantic model `{owner.__name__}`, which is not complete: {error}. "
                "Define the names its annotations use at the top of the file."
            )
    if getattr(owner, "__pydantic_root_model__", False):
        place.refuse(f"is the RootModel `{owner.__name__}`, which has no named fields. Write a BaseModel with fields.")
    config = _pydantic_config(owner)
    by_alias = config.get("validate_by_alias", True) is not False
    members = []
    for attribute, info in owner.__pydantic_fields__.items():
        missing = info.is_required() or info.default_factory is not None
        members.append(
            Member(
                attribute=attribute,
                name=_pydantic_name(attribute, info, by_alias, place),
                hint=info.annotation,
                default=MISSING if missing else info.default,
                factory=info.default_factory,
                metadata=tuple(info.metadata),
            )
        )
    # a pydantic dataclass has no model_validate: its constructor validates
    make: Any = "validate" if hasattr(owner, "model_validate") else "keywords"
    return StructClass(owner, "pydantic", tuple(members), make)


def _pydantic_config(owner: Any) -> dict[str, Any]:
    config: dict[str, Any] = getattr(owner, "model_config", None) or getattr(owner, "__pydantic_config__", None) or {}
    return config


def _pydantic_name(attribute: str, info: Any, by_alias: bool, place: Place) -> str:
    alias = info.serialization_alias or info.alias if place.role == "output" else info.validation_alias or info.alias
    if alias is None or (place.role == "input" and not by_alias):
        return attribute
    if not isinstance(alias, str):
        place.refuse(
            f"has a field `{attribute}` with the alias {alias!r}, which names no one key. Write one str alias."
        )
    return alias


def unenforced(struct: StructClass, leftovers: Iterable[object]) -> str:
    """What the class itself checks when an instance is made, "" for nothing.

    A model on columns never makes an instance, so that there these checks would not run.
    """
    owner: Any = struct.owner
    found = [repr(item) for item in leftovers]
    if struct.kind == "pydantic":
        decorated = owner.__pydantic_decorators__
        found += [*decorated.field_validators, *decorated.model_validators]
        found += [*decorated.validators, *decorated.root_validators]
        config = _pydantic_config(owner)
        found += [f"{name}={config[name]!r}" for name in PYDANTIC_CHECKS if config.get(name)]
        if config.get("allow_inf_nan") is False:
            found.append("allow_inf_nan=False")
        found += _overridden_post_init(owner)
    if struct.kind != "typeddict" and hasattr(owner, "__post_init__"):
        found.append("__post_init__")
    return ", ".join(found)


def _overridden_post_init(owner: Any) -> list[str]:
    """The user's own `model_post_init`; models with private attributes get a generated one, which checks nothing."""
    made = [base.__dict__["model_post_init"] for base in owner.__mro__ if "model_post_init" in base.__dict__]
    own = [f for f in made if f.__module__ != "pydantic.main" and f.__name__ != "init_private_attributes"]
    return ["model_post_init"] if own else []
