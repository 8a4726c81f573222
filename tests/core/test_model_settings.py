"""The typed settings have the keys of the schema, and keep what they were given."""

from dataclasses import fields, is_dataclass

import pytest
from conftest import schema
from small_training import entry, settings

from pipeline.core.attributes import CELEBA
from pipeline.core.model_settings import ModelSettings, TrainingSettings, decisive

MODEL = schema()["properties"]["models"]["additionalProperties"]["properties"]


def keys_of(kind: type) -> dict:
    """Field names, those of nested settings below theirs."""
    return {f.name: keys_of(f.type) if is_dataclass(f.type) else None for f in fields(kind)}


def test_the_fields_are_the_keys_of_the_schema():
    described = {
        key: dict.fromkeys(value["properties"]) if "properties" in value else None
        for key, value in MODEL.items()
    }
    resolved = dict.fromkeys(["faces_size", "attribute_regions", "exclusive"])
    assert keys_of(TrainingSettings) == described | resolved


def test_settings_keep_every_value_and_write_it_back_in_alphabetical_order():
    given = entry(input_size=[44, 40]) | {"faces_size": [44, 40]}
    given["exclusive"] = {"hair": ["Black_Hair", "Blond_Hair"]}
    kept = settings(exclusive=given["exclusive"])
    written = kept.to_dict()
    given["attribute_regions"] = list(CELEBA.only(given["attributes"]).to_json().values())
    assert written == given
    assert list(written) == sorted(given)
    assert list(written["optimizer"]) == sorted(given["optimizer"])
    assert TrainingSettings.from_dict(written) == kept


def test_what_decides_on_nothing_is_no_setting_of_a_weights_file():
    written = settings().to_dict()
    assert set(written) - set(decisive(written)) == {
        "workers",
        "max_minutes",
        "checkpoint_minutes",
    }
    ModelSettings.from_dict(decisive(written))


@pytest.mark.parametrize("change", [{"wrong": 1.0}, {"optimizer": {"wrong": True}}])
def test_an_unknown_key_is_refused(change):
    with pytest.raises(TypeError, match="wrong"):
        TrainingSettings.from_dict(settings().to_dict() | change)
