"""The configuration as the workflow uses it: validated, defaults filled in, `like:` resolved."""

import difflib
import json
import shlex
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from pipeline.core.attributes import AttributeSet, value_name
from pipeline.core.errors import UserError
from pipeline.core.model_settings import backbone_of, misfit, starts_from_imagenet

Config = dict[str, Any]
LARGEST = 100_000  # entries
# Attributes are columns beside these: of labels.csv, of faces/, of predict's faces.csv.
RESERVED = {
    "image", "image_name", "split", "identity", "celeb_id", "x_1", "y_1", "width", "height",
    "lefteye_x", "lefteye_y", "righteye_x", "righteye_y", "nose_x", "nose_y", "leftmouth_x",
    "leftmouth_y", "rightmouth_x", "rightmouth_y", "photograph", "face", "left", "top", "right",
    "bottom", "fault", "mean",
}  # fmt: skip
WITH_WORDS = {"folder", "fairface", "utkface"}  # sources whose labels are cells of a table
LONGEST = 65_536  # bytes of a list of names: half of what Linux takes in one argument


def complete(config: Config, schema: Config) -> Config:
    """Return ``config`` with ``like:`` resolved and the schema's defaults filled in.

    Everything that is wrong is a ``UserError`` of one sentence: a misspelt key, a value of the
    wrong kind, a name that no entry has, a model that cannot be trained.
    """
    _check_size(config)
    _check_keys(config)
    whole = dict(config)
    if isinstance(whole.get("models"), dict):
        whole["models"] = {name: _resolve(whole["models"], name) for name in whole["models"]}
    _check_renamed(whole)
    whole = _completed(whole, schema)
    errors = list(Draft202012Validator(schema).iter_errors(whole))
    if errors:
        raise UserError(_sentence(min(errors, key=partial(_distance, config))))
    for name, dataset in whole["datasets"].items():
        for check in (_check_unfold, _check_attributes, _check_list):
            check(f"datasets.{name}", dataset)
    _check_names(whole)
    _check_models(whole)
    _add_shares(whole)
    return whole


def _check_size(config: Config) -> None:
    """A few YAML anchors that refer to each other stand for more entries than memory holds."""
    entries, waiting = 0, [config]
    while waiting:
        value: Any = waiting.pop()
        if isinstance(value, dict | list | tuple):
            waiting += value.values() if isinstance(value, dict) else value
            entries += len(value)
        if entries > LARGEST:
            raise UserError(
                f"The configuration has more than {LARGEST:,} entries, because YAML anchors (&) are"
                " repeated in each other; write out what you mean."
            )


def _check_keys(value: Any, *place: str) -> None:
    """Keys are text: YAML reads `64:` and `no:` as a number and a truth value."""
    for key, below in value.items() if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise UserError(
                f"The configuration has the key {key!r} at {'.'.join(place) or 'the top level'},"
                " which is no text to YAML; write it in quotes, or indent it where it belongs."
            )
        _check_keys(below, *place, key)


def _check_renamed(config: Config) -> None:
    """Keys of earlier versions that are written in another way now."""
    compare = config.get("compare")
    if isinstance(compare, dict) and {"with", "without"} & compare.keys():
        pair = [compare.get("with", "attparsenet")]
        pair += [compare.get("without", "attparsenet_without_masks")]
        raise UserError(
            "The configuration's compare.with and compare.without have become pairs; write compare:"
            f" {{pairs: [[{', '.join(map(str, pair))}]]}} instead."
        )


def _completed(value: Any, schema: Any) -> Any:
    """The value with the schema's defaults in what it leaves out.

    Numbers take the place of text, as which --config 'seeds=[65]' brings them.
    """
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        keys, others = schema.get("properties", {}), schema.get("additionalProperties")
        defaults = {key: of["default"] for key, of in keys.items() if "default" in of}
        whole = value | {key: defaults[key] for key in defaults if key not in value}
        return {key: _completed(below, keys.get(key, others)) for key, below in whole.items()}
    if isinstance(value, list):
        return [_completed(item, schema.get("items")) for item in value]
    if isinstance(value, str) and "type" in schema and "string" not in schema["type"]:
        with suppress(ValueError):
            return json.loads(value)
    return value


def _resolve(models: Config, name: str, seen: tuple[str, ...] = ()) -> Config:
    """A model's entry over the entries that it is ``like``, key by key."""
    entry = models[name]
    if not isinstance(entry, dict):
        raise UserError(
            f"The configuration is wrong at models.{name}: {entry!r} is no model's settings; indent"
            " these below its name."
        )
    if "like" not in entry:
        return entry
    like = entry["like"]
    if not isinstance(like, str) or like in (*seen, name) or like not in models:
        raise UserError(
            f"The configuration's models.{name}.like names {like!r}, which is not another model;"
            f" models are {', '.join(sorted(models))}."
        )
    own = {key: value for key, value in entry.items() if key != "like"}
    return _overlaid(_resolve(models, like, (*seen, name)), own)


def _overlaid(below: Config, above: Config) -> Config:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlaid(merged[key], value) if both else value
    return merged


def _distance(config: Config, error: ValidationError) -> tuple[bool, list[str]]:
    """Sorts errors: in what the user wrote before what another model took over by ``like``."""
    path = [str(step) for step in error.absolute_path]
    taken = len(path) > 1 and path[0] == "models" and "like" in config["models"].get(path[1], {})
    return taken, path


def _sentence(error: ValidationError) -> str:
    """What jsonschema found, as one sentence that names the key and what may stand there."""
    place = ".".join(str(step) for step in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema.get("properties", {}))
        wrong = sorted(set(error.instance) - set(allowed))[0]
        hint = _hint(wrong, allowed, "known keys")
        return f"The configuration has an unknown key {wrong!r} at {place}; {hint}"
    description = error.schema.get("description", "").rstrip(".")
    expected = f" (expected: {description})" if description else ""
    return f"The configuration is wrong at {place}: {error.message}{expected}."


def _hint(wrong: str, known: list[str], title: str = "known") -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{title}: {', '.join(known)}."


def _check_names(config: Config) -> None:
    """Names that point at other entries must have one; attributes belong to a data set."""
    datasets, models = sorted(config["datasets"]), sorted(config["models"])
    sets = {
        name: AttributeSet.of(of["attributes"], of["unfold"]).names
        for name, of in config["datasets"].items()
    }
    attributes = sorted({name for names in sets.values() for name in names})
    _check_known("dataset", [config["dataset"]], datasets)
    _check_known("train", config["train"], models)
    _check_known("judge_on", config["judge_on"], datasets)
    _check_known("compare.pairs", compared_models(config), models)
    _check_known("predict.model", [config["predict"]["model"]], models)
    for name, model in config["models"].items():
        if model["last_layer_of"] is not None:
            others = [other for other in models if not config["models"][other]["last_layer_of"]]
            _check_known(f"models.{name}.last_layer_of", [model["last_layer_of"]], others)
        for key in ("attributes", "groups"):
            _check_known(f"models.{name}.{key}", model[key], attributes)
    for name, dataset in config["datasets"].items():
        for key in ("filter", "same_as"):
            _check_known(f"datasets.{name}.{key}", dataset[key], list(sets[name]))
    for group in config["evaluate"]["groups"]:
        _check_known("evaluate.groups", group, attributes)


def _check_known(key: str, names: Iterable[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(
                f"The configuration's {key} names {name!r}, which is not there;"
                f" {_hint(name, known)}"
            )


def _check_unfold(key: str, dataset: Config) -> None:
    """What is unfolded is an attribute, of a source with words, into attributes of other names."""
    attributes = dataset["attributes"] or {}
    taken = set(attributes)
    for column, values in dataset["unfold"].items():
        names = [value_name(column, value) for value in values]
        if dataset["source"] not in WITH_WORDS:
            raise UserError(
                f"The configuration's {key}.unfold is set, and source: {dataset['source']} has"
                " labels of yes and no alone; leave it out."
            )
        if column not in attributes:
            raise UserError(
                f"The configuration's {key}.unfold names {column!r}, which is not among the data"
                f" set's attributes; name it there with its regions, as in attributes: {{{column}:"
                " all}."
            )
        if len(set(names) - taken) < len(names):
            raise UserError(
                f"The configuration's {key}.unfold makes of {column} the attributes"
                f" {', '.join(names)}, of which two have one name, or one that is taken; rename a"
                " value, there and in the column."
            )
        taken |= set(names)


def _check_attributes(key: str, dataset: Config) -> None:
    """Names of attributes are columns of their own, and of predictions with an ending."""
    own = AttributeSet.of(dataset["attributes"], dataset["unfold"]).names
    for name in {*(dataset["attributes"] or ()), *own}:
        if name in RESERVED or name.endswith("_logit"):
            raise UserError(
                f"The configuration's {key}.attributes names {name!r}, which is another column of"
                " its files; give the attribute a different name, there and in labels.csv."
            )


def _check_list(key: str, dataset: Config) -> None:
    """Settings travel to a stage inside of one argument of a command, as quoted JSON."""
    if len(shlex.quote(json.dumps(dataset["names"]))) > LONGEST:
        raise UserError(
            f"The configuration's {key}.names lists {len(dataset['names']):,} names, too many for a"
            " command; put them into a text file, one a line, and name that file."
        )


def _check_models(config: Config) -> None:
    """A model's settings go together; ImageNet weights have a place to be fetched from."""
    for name, model in config["models"].items():
        if found := misfit(model):
            key, why = found
            raise UserError(f"The configuration's models.{name}.{key} {why}.")
        backbone = backbone_of(model["network"], model["backbone"])
        if starts_from_imagenet(model) and backbone not in config["imagenet"]:
            raise UserError(
                f"The configuration's models.{name} is pretrained, and imagenet has no weights of"
                f" {backbone}; set pretrained: false, or write imagenet:"
                f" {{{backbone}: {{sha256: <its hash>, mirrors: [<address or path>]}}}}."
            )


def compared_models(config: Config) -> list[str]:
    """Names of the models of ``compare.pairs``, each once."""
    return sorted({name for pair in config["compare"]["pairs"] for name in pair})


def _add_shares(config: Config) -> None:
    """The models of the comparison at each share of train, as entries of their own."""
    for share in config["compare"]["shares"]:
        for name in compared_models(config) if share != 1 else []:
            model = config["models"][name]
            if model["last_layer_of"]:
                raise UserError(
                    f"The configuration's models.{name}.last_layer_of is set, and that model is"
                    f" trained on all of train, not on {share:g}; set compare: {{shares: [1]}}."
                )
            if model["stratified_subset"]:
                raise UserError(
                    f"The configuration's models.{name}.stratified_subset is set, and compare"
                    f" trains {name} on {share:g} of train, which it would override; leave it out,"
                    " or set compare: {shares: [1]}."
                )
            config["models"][share_name(name, share)] = {**model, "share": share}


def own_share(model: dict[str, Any]) -> float:
    """The share of the train split that an entry of ``models`` learns from by its own settings.

    Of ``stratified_subset`` a fifth is valid (``training.data.stratified``).
    """
    subset = model["stratified_subset"]
    return float(model["share"] if subset is None else 0.8 * subset)


def share_name(model: str, share: float) -> str:
    """Name of a model trained on a share of train: the model's own where the share is the whole."""
    return model if share == 1 else f"{model}_share_{share:g}"
