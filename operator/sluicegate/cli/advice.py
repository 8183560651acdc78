"""What unblocks a deployment, for each reason that it may wait or stand still for.

In capitals stand what only the case at hand tells; NAMESPACE is put in by `advice`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sluicegate.api.reasons import Reason

NOTHING_TO_DO = frozenset(
    {Reason.SERVING, Reason.SCALED_TO_ZERO, Reason.PROMOTED, Reason.VERIFIED, Reason.PODS_READY}
)

_TIME = "Time alone; pods and events below show how far it is."

ADVICE: Mapping[Reason, str] = {
    Reason.PROVISIONING: _TIME,
    Reason.VERIFYING: _TIME,
    Reason.STAGING: _TIME,
    Reason.CANARY: _TIME,
    Reason.FLEET: _TIME,
    Reason.CUTOVER: _TIME,
    Reason.DISCARDING: _TIME,
    Reason.SWAPPING: "Time alone, at most spec.rollout.drainSeconds; to have the old pods back: kubectl "
    "sluice rollout abort NAME -n NAMESPACE.",
    Reason.OBSERVING: "Time alone, spec.rollout.observeSeconds; to go back at once: kubectl sluice rollout "
    "abort NAME -n NAMESPACE.",
    Reason.REVERTING: _TIME,
    Reason.DRAINING: "Time alone, at most spec.rollout.drainSeconds.",
    Reason.SCALING: _TIME,
    Reason.AWAITING_PROMOTION: "A person who lets it serve: kubectl sluice rollout promote NAME "
    "-n NAMESPACE; or spec.rollout.promotion: Automatic.",
    Reason.PAUSED: "spec.paused: false, or an operator without SLUICEGATE_FREEZE.",
    Reason.AWAITING_ANSWER: "An answer through the Service, which the operator asks for again and again.",
    Reason.INSPECTING: "The end of the inspection Job; large checkpoints take minutes to read.",
    Reason.TERMINATING: "The end of the deletion: finalizers of others may keep the object.",
    Reason.SUPERSEDED: "Time alone, unless pods are named that nobody ends: delete those.",
    Reason.INVALID_SPEC: "A corrected spec.",
    Reason.NAME_CONFLICT: "Delete or rename the object in the way, or name the LLMDeployment differently.",
    Reason.WRITE_REFUSED: "What the server's words ask for: quota, a grant, another value, a live webhook.",
    Reason.MODEL_VERSION_NOT_FOUND: "Create that ModelVersion here, or correct spec.modelVersion.",
    Reason.MODEL_VERSION_TERMINATING: "Name a ModelVersion that is not being deleted.",
    Reason.MODEL_VERSION_NOT_READY: "The ModelVersion becoming Ready; its own condition says what it lacks.",
    Reason.ENGINE_REFUSED: "Engine settings that suit the device and the checkpoint.",
    Reason.INSUFFICIENT_ACCELERATORS: "A node with enough accelerators, or a smaller engine.parallelism. "
    "Where other pods hold them: their end, or spec.rollout.capacity: SurgeThenSwap.",
    Reason.UNSCHEDULABLE: "Room on a node: free accelerators or memory, add a node, or correct spec.pod.",
    Reason.POD_CREATION_FAILED: "Pods that the namespace allows: see its quota and its Pod Security level.",
    Reason.POD_CONFIGURATION_FAILED: "The ConfigMap, Secret or claim that the pod names.",
    Reason.IMAGE_PULL_FAILED: "An image that exists, and a pull Secret in spec.pod.imagePullSecrets.",
    Reason.STORE_FAILED: "A source that still has the verified files.",
    Reason.ENGINE_CRASH_LOOPING: "Engine settings that the engine accepts: its last words are above; "
    "kubectl logs -n NAMESPACE POD -c engine has the rest.",
    Reason.ENGINE_OUT_OF_MEMORY: "More resources.memory, or less engine.kvCache.memoryMiB or maxModelLength.",
    Reason.ANSWER_FAILED: "An engine that answers: kubectl logs -n NAMESPACE POD -c engine tells more.",
    Reason.WRONG_DIGEST_SERVED: "The pod is replaced by itself; if not, delete it.",
    Reason.GOLDEN_PROMPTS_FAILED: "The files that the golden prompts were recorded with. If those are wrong: "
    "record them anew, or spec.rollout.verification.goldenPrompts: {policy: Skip, skipReason: ...}.",
    Reason.GOLDEN_PROMPTS_UNANSWERED: "An engine that answers: kubectl logs -n NAMESPACE POD -c engine tells "
    "more.",
    Reason.GOLDEN_PROMPTS_MISSING: "Golden prompts that were recorded with this engine: kubectl sluice "
    "golden record NAME -n NAMESPACE; or another spec.rollout.verification.goldenPrompts.policy.",
    Reason.VERIFICATION_JOB_RUNNING: "The end of the Job, at most "
    "spec.rollout.verification.job.timeoutSeconds after its creation.",
    Reason.VERIFICATION_JOB_FAILED: "A version that the Job lets pass. If the Job is wrong: correct it, or "
    "spec.rollout.verification.job.skipReason, and kubectl sluice rollout retry NAME -n NAMESPACE.",
    Reason.VERIFICATION_WEBHOOK_REFUSED: "A version that the webhook agrees to. If the webhook is wrong: "
    "spec.rollout.verification.webhook.skipReason, and kubectl sluice rollout retry NAME -n NAMESPACE.",
    Reason.VERIFICATION_WEBHOOK_UNANSWERED: "An answer of spec.rollout.verification.webhook.url, which is "
    "asked again and again; or its skipReason.",
    Reason.NO_READY_REPLICAS: "A pod becoming ready; pods and events below say what keeps them.",
    Reason.PROGRESS_DEADLINE_EXCEEDED: "A spec whose pods become ready, or a longer "
    "spec.rollout.progressDeadlineSeconds.",
    Reason.REGRESSION_OBSERVED: "A better version, or other thresholds in "
    "spec.rollout.verification.comparison.",
    Reason.RESTART_REQUIRED: _TIME,
    Reason.HOT_RELOAD_FAILED: "Files that the pods take: their words are above. With "
    "spec.rollout.strategy: BlueGreen they come in new pods.",
    Reason.ROLLED_BACK: "Another spec, or another try: kubectl sluice rollout retry NAME -n NAMESPACE.",
    Reason.ABORTED: "Another spec, or another try: kubectl sluice rollout retry NAME -n NAMESPACE.",
    Reason.IN_USE: "LLMDeployments that no longer name the ModelVersion.",
    Reason.SOURCE_NOT_FOUND: "A new ModelVersion with a source that exists.",
    Reason.SOURCE_UNREACHABLE: "The source answering; it is tried again.",
    Reason.SOURCE_FORBIDDEN: "Credentials that may read the source, in the Secret of source.secretName.",
    Reason.DIGEST_MISMATCH: "The files that the digest names, or a new ModelVersion with the right digest.",
    Reason.CHECKPOINT_INCOMPLETE: "A complete checkpoint, in a new ModelVersion.",
    Reason.CHECKPOINT_CORRUPT: "An undamaged checkpoint, in a new ModelVersion.",
    Reason.NON_FINITE_WEIGHTS: "A checkpoint of finite weights, in a new ModelVersion.",
    Reason.CONFIG_INVALID: "A checkpoint with a valid config.json, in a new ModelVersion.",
    Reason.UNSAFE_PATH: "A checkpoint without paths or links that leave its folder, in a new ModelVersion.",
    Reason.UNSAFE_FORMAT: "A checkpoint in safetensors or GGUF, in a new ModelVersion.",
    Reason.UNSUPPORTED_FORMAT: "A checkpoint in safetensors or GGUF, in a new ModelVersion.",
    Reason.INSUFFICIENT_DISK: "Room on the node's disk, or a node with more of it.",
    Reason.INSPECTION_FAILED: "An inspection that runs: kubectl describe -n NAMESPACE job VERSION-inspect "
    "tells what stopped it.",
}

_KNOWN = {str(reason): reason for reason in Reason}


def advice(reason: str, namespace: str = "NAMESPACE") -> str:
    """What unblocks it; "" where there is nothing to do or the reason is newer than this command."""
    known = _KNOWN.get(reason)
    return ADVICE.get(known, "").replace("NAMESPACE", namespace) if known else ""


def meaning(reason: str) -> str:
    """What the reason means; "" where it is newer than this command."""
    known = _KNOWN.get(reason)
    return known.meaning if known else ""
