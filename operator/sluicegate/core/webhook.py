"""The gate of a webhook: an address of the user's is asked, and its HTTP status decides."""

from __future__ import annotations

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.gates import WebhookGate
from sluicegate.core.colours import Colour
from sluicegate.core.gate import Gate, asked_at, refused
from sluicegate.core.naming import digest_of
from sluicegate.core.observed import Reply
from sluicegate.core.plan import Consult
from sluicegate.core.problem import Problem
from sluicegate.core.words import beginning_of
from sluicegate.core.world import World

ASK_AGAIN = frozenset({408, 429})
"""Statuses of the kind that refuses which ask for another try by their very meaning."""


def gate(known: World, colour: Colour) -> Gate:
    """Whether the webhook lets the colour serve. What was promoted before needs nobody's word."""
    asked = known.deployment.spec.rollout.verification.webhook
    if asked is None or colour.record.ending is not None:
        return Gate(opens=True)
    if asked.skip_reason is not None:
        return Gate(opens=True, note=f"webhook skipped: {asked.skip_reason}")
    # Not itself: it may hold a secret.
    url = digest_of(asked.url, 8)
    agreed, subject = f"webhook agreed (url {url})", f"webhook/{colour.id}/{url}"
    reply = known.seen.replies.get(subject)
    status = reply.status if reply and reply.status else 0
    if 200 <= status < 300 or colour.record.notes(agreed):
        return Gate(opens=True, note=agreed)
    if reply is not None and 400 <= status < 500 and status not in ASK_AGAIN:
        words = beginning_of(reply.text)
        why = f"the webhook answered HTTP {status}{f': {words}' if words else ''}"
        return refused(known, Reason.VERIFICATION_WEBHOOK_REFUSED, why, "the spec changes")
    question = _question(known, colour, asked, subject)
    return Gate(opens=False, problem=_unanswered(reply), asks=question)


def _unanswered(reply: Reply | None) -> Problem | None:
    if reply is None:
        return None
    # Without its text, which may be another each time: nothing may follow it.
    said = reply.error or f"HTTP {reply.status}"
    return Problem(Reason.VERIFICATION_WEBHOOK_UNANSWERED, f"the webhook: {said}", stalled=False)


def _question(known: World, colour: Colour, asked: WebhookGate, subject: str) -> tuple[Consult, ...]:
    url, meta = asked_at(known, colour), known.deployment.metadata
    question = {
        "namespace": meta.namespace,
        "name": meta.name,
        "rollout": colour.id,
        "version": colour.version,
        "digest": colour.digest,
        "url": f"{url}/v1",
    }
    ask = Consult(subject, asked.url, question, asked.timeout_seconds, "a webhook has to agree")
    return (ask,) if url else ()
