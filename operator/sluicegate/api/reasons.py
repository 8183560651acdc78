"""Reasons of conditions and events: one word that programs may compare, each with what it means."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition of an LLMDeployment or a ModelVersion has its status."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # What is as it should be.
    SERVING = "Serving", "The wanted version answers through the Service."
    SCALED_TO_ZERO = "ScaledToZero", "No replica is wanted, and none runs."
    PROMOTED = "Promoted", "The Service points at the wanted version."
    VERIFIED = "Verified", "Every byte of the files was read, hashed and checked."
    PODS_READY = "PodsReady", "Pods of the wanted version are ready."

    # What is under way.
    PROVISIONING = "Provisioning", "New pods come up."
    VERIFYING = "Verifying", "New pods are ready and are asked before they may serve."
    STAGING = "Staging", "The running pods bring the files of the new version beside those that they serve."
    CANARY = "Canary", "One pod has changed to the new version and has to answer right."
    FLEET = "Fleet", "The pods change to the new version, one after another."
    CUTOVER = "Cutover", "The Service moves from the old pods to the new."
    OBSERVING = "Observing", "The new version serves and is watched; the old one can take over again."
    REVERTING = (
        "Reverting",
        "The new version failed or is wanted no more; the Service moves back to the old pods, or pods change "
        "back.",
    )
    DRAINING = "Draining", "Old pods finish the requests that they have."
    DISCARDING = "Discarding", "The new pods have failed and are removed; what served before serves on."
    SCALING = "Scaling", "The number of ready pods is not yet the wanted one."
    AWAITING_PROMOTION = "AwaitingPromotion", "A person has to promote the new version before it goes on."
    PAUSED = (
        "Paused",
        "spec.paused, or a freeze, holds the change to another version or other settings.",
    )
    SWAPPING = (
        "Swapping",
        "The old pods go, to make room for the new; nobody answers until these are verified.",
    )
    AWAITING_ANSWER = "AwaitingAnswer", "Pods are ready, and no answer through the Service was seen yet."
    INSPECTING = "Inspecting", "A Job reads and checks the files."
    TERMINATING = "Terminating", "The object is being deleted, and its children with it."
    SUPERSEDED = "Superseded", "The spec asks for something else now; what it asked for before is removed."

    # What needs somebody.
    INVALID_SPEC = "InvalidSpec", "The spec contradicts itself; nothing is touched until it is corrected."
    NAME_CONFLICT = "NameConflict", "An object of somebody else has the name of a child; it is left alone."
    WRITE_REFUSED = (
        "WriteRefused",
        "The API server, a quota, an admission policy or a webhook that nobody answers for refuses a child.",
    )
    MODEL_VERSION_NOT_FOUND = "ModelVersionNotFound", "The spec names a ModelVersion that does not exist."
    MODEL_VERSION_TERMINATING = "ModelVersionTerminating", "The ModelVersion is being deleted."
    MODEL_VERSION_NOT_READY = "ModelVersionNotReady", "The files of the ModelVersion are not verified."
    ENGINE_REFUSED = "EngineRefused", "The engine settings do not suit the device or the checkpoint."
    INSUFFICIENT_ACCELERATORS = (
        "InsufficientAccelerators",
        "No node has as many accelerators as a replica needs, or new pods wait until they are free.",
    )
    UNSCHEDULABLE = "Unschedulable", "No node has room for a pod now."
    POD_CREATION_FAILED = "PodCreationFailed", "The API server refuses the pods."
    POD_CONFIGURATION_FAILED = "PodConfigurationFailed", "A pod names something that does not exist."
    IMAGE_PULL_FAILED = "ImagePullFailed", "An image of a pod cannot be pulled."
    STORE_FAILED = "StoreFailed", "The model files could not be brought into a pod."
    ENGINE_CRASH_LOOPING = "EngineCrashLooping", "The engine ends again and again."
    ENGINE_OUT_OF_MEMORY = "EngineOutOfMemory", "The engine was killed for the memory it took."
    ANSWER_FAILED = "AnswerFailed", "Pods are ready, and a request to them failed."
    WRONG_DIGEST_SERVED = "WrongDigestServed", "A pod serves other files than its pointer names."
    GOLDEN_PROMPTS_FAILED = (
        "GoldenPromptsFailed",
        "Recorded answers are not as likely as they were.",
    )
    GOLDEN_PROMPTS_UNANSWERED = (
        "GoldenPromptsUnanswered",
        "Pods do not say how likely the recorded answers are.",
    )
    GOLDEN_PROMPTS_MISSING = (
        "GoldenPromptsMissing",
        "No golden prompt was recorded with the pods' engine.",
    )
    VERIFICATION_JOB_RUNNING = (
        "VerificationJobRunning",
        "A Job tries the new pods, which may serve when it has succeeded.",
    )
    VERIFICATION_JOB_FAILED = "VerificationJobFailed", "The Job that tried the new pods has failed."
    VERIFICATION_WEBHOOK_REFUSED = "VerificationWebhookRefused", "The webhook has refused the new version."
    VERIFICATION_WEBHOOK_UNANSWERED = (
        "VerificationWebhookUnanswered",
        "The webhook that has to agree does not answer.",
    )
    NO_READY_REPLICAS = "NoReadyReplicas", "No pod is ready."
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded", "New pods took longer than the deadline allows."
    RESTART_REQUIRED = "RestartRequired", "A version cannot come into the running pods; new ones come."
    HOT_RELOAD_FAILED = (
        "HotReloadFailed",
        "A pod has refused the new version, or gone back from it by itself.",
    )
    REGRESSION_OBSERVED = "RegressionObserved", "The new version is worse than the one before it allows."
    ROLLED_BACK = "RolledBack", "The wanted version failed; what served before serves on."
    ABORTED = "Aborted", "A person has ended the rollout before it was promoted."
    IN_USE = "InUse", "The ModelVersion is kept until no LLMDeployment uses it."

    # What an inspection found wrong.
    SOURCE_NOT_FOUND = "SourceNotFound", "The source has no such repository, commit, claim or folder."
    SOURCE_UNREACHABLE = "SourceUnreachable", "The source does not answer."
    SOURCE_FORBIDDEN = "SourceForbidden", "The source refuses the credentials."
    DIGEST_MISMATCH = "DigestMismatch", "The files have another digest than the spec says."
    CHECKPOINT_INCOMPLETE = "CheckpointIncomplete", "A file that the checkpoint names is missing."
    CHECKPOINT_CORRUPT = "CheckpointCorrupt", "A file is truncated, unreadable or not part of the checkpoint."
    NON_FINITE_WEIGHTS = "NonFiniteWeights", "A weight is not a number or infinite."
    CONFIG_INVALID = "ConfigInvalid", "config.json is not JSON or names no architecture."
    UNSAFE_PATH = "UnsafePath", "A path or a link leads out of the source."
    UNSAFE_FORMAT = "UnsafeFormat", "A weight file is in a format that runs code when it is read."
    UNSUPPORTED_FORMAT = "UnsupportedFormat", "No weight file is in a format that can be served."
    INSUFFICIENT_DISK = "InsufficientDisk", "The disk has no room for the files."
    INSPECTION_FAILED = "InspectionFailed", "The inspection ended without a result."
