"""Whether one model can take another's place in a running engine, judged from their files alone.

The engine was built for the model that it serves: its layers, its tokenizer, its chat template and its
defaults for sampling stay. So all but the values of the weights has to be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sluicegate_engine.reload.refusal import RefusedError, restart_required
from sluicegate_engine.reload.snapshot import CONFIG, Snapshot

Check = Callable[[Snapshot, Snapshot], RefusedError | None]

_OF_NO_MEANING = frozenset({"_name_or_path", "_from_model_config", "transformers_version"})
"""Fields that tools write to say what they are; no engine reads them."""
_GENERATION = "generation_config.json"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_TEMPLATE_FIELD = "chat_template"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER_WORDS = ("token", "vocab", "merges", "spiece", "sentencepiece", "tekken")


def compare(serving: Snapshot, wanted: Snapshot) -> None:
    """Raises RefusedError RestartRequired with the first thing that an engine cannot change in place."""
    for check in CHECKS:
        if refusal := check(serving, wanted):
            raise refusal


def _same_architecture(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    now, then = serving.config.get("architectures"), wanted.config.get("architectures")
    if now == then:
        return None
    return restart_required("ArchitectureDiffers", f"it is {then}, and this pod runs {now}")


def _same_config(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    return _differ("ConfigDiffers", CONFIG, serving.config, wanted.config)


def _same_chat_template(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    if _chat_template(serving) == _chat_template(wanted):
        return None
    return restart_required("ChatTemplateDiffers", "its chat template is another than the one this pod uses")


def _same_tokenizer(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    names = {name for name in serving.files.keys() | wanted.files.keys() if _is_tokenizers(name)}
    for name in sorted(names):
        if _essence(serving.files.get(name)) != _essence(wanted.files.get(name)):
            return restart_required("TokenizerDiffers", f"{name} is not the one of the tokenizer in this pod")
    return None


def _same_generation_config(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    now, then = (each.files.get(_GENERATION) or {} for each in (serving, wanted))
    return _differ("GenerationConfigDiffers", _GENERATION, now, then)


def _same_other_files(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    for name in sorted((serving.files.keys() | wanted.files.keys()) - {_GENERATION, *_TEMPLATES}):
        if _essence(serving.files.get(name)) != _essence(wanted.files.get(name)):
            return restart_required("FilesDiffer", f"{name} is not the one that this pod has read")
    return None


def _same_tensors(serving: Snapshot, wanted: Snapshot) -> RefusedError | None:
    now, then = serving.tensors, wanted.tensors
    for name in sorted(now.keys() | then.keys()):
        if name not in then:
            said = f"it lacks the tensor {name}, which this pod serves"
        elif name not in now:
            said = f"it has the tensor {name}, which the model in this pod has not"
        elif now[name] != then[name]:
            said = f"its tensor {name} is {then[name]}, and in this pod {now[name]}"
        else:
            continue
        return restart_required("TensorsDiffer", said)
    return None


CHECKS: tuple[Check, ...] = (
    _same_architecture,
    _same_config,
    _same_chat_template,
    _same_tokenizer,
    _same_generation_config,
    _same_other_files,
    _same_tensors,
)


def _differ(
    reason: str, name: str, serving: Mapping[str, Any], wanted: Mapping[str, Any]
) -> RefusedError | None:
    for field in sorted((serving.keys() | wanted.keys()) - _OF_NO_MEANING):
        now, then = serving.get(field), wanted.get(field)
        if now != then:
            said = f"{field} in {name} is {_short(then)}, and in this pod {_short(now)}"
            return restart_required(reason, said)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_tokenizers(name: str) -> bool:
    return any(word in name for word in _TOKENIZER_WORDS)


def _chat_template(snapshot: Snapshot) -> list[Any]:
    config = snapshot.files.get(_TOKENIZER_CONFIG)
    inline = config.get(_TEMPLATE_FIELD) if isinstance(config, dict) else None
    return [inline, *(snapshot.files.get(name) for name in _TEMPLATES)]


def _essence(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {field: value for field, value in content.items() if field not in _OF_NO_MEANING}
