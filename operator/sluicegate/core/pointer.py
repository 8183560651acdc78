"""The pointer: which files a colour's pods serve. A pod reads it at its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluicegate.api.v1alpha1.modelversion import ModelVersion


@dataclass(frozen=True)
class Files:
    """One verified set of files: the ModelVersion's name, its digest and its source."""

    version: str
    digest: str
    uri: str
    endpoint: str | None
    secret_name: str | None

    def as_json(self) -> dict[str, Any]:
        source = {"uri": self.uri} | ({"endpoint": self.endpoint} if self.endpoint else {})
        return {"version": self.version, "digest": self.digest, "source": source}

    @property
    def claim(self) -> str | None:
        """The PersistentVolumeClaim that holds the source, where it is one."""
        if not self.uri.startswith("pvc://"):
            return None
        return self.uri.removeprefix("pvc://").partition("/")[0]


@dataclass(frozen=True)
class Pointer:
    """The model's files and, with draft-model speculation, the draft model's."""

    model: Files
    draft: Files | None = None

    def as_json(self) -> dict[str, Any]:
        return self.model.as_json() | ({"draft": self.draft.as_json()} if self.draft else {})

    @property
    def files(self) -> tuple[Files, ...]:
        return (self.model, self.draft) if self.draft else (self.model,)


def files_of(model: ModelVersion) -> Files:
    source = model.spec.source
    return Files(model.metadata.name, model.status.digest, source.uri, source.endpoint, source.secret_name)
