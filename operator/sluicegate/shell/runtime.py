"""Calls to model pods, through a Service one generation or the scores of texts, and the status of one pod or
what it is to serve; and to the webhooks that have to agree to a rollout.

They run beside reconciling and may take their time: what a decision sees is the last answer, and the key
comes back as soon as there is a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sluicegate.core.observed import Answer, Reply, RuntimeStatus, Scores
from sluicegate.core.plan import Ask, Call, CancelReload, Consult, Inquire, Reload, Score
from sluicegate.shell.keys import Key
from sluicegate.shell.pods import NoAnswer, Pods, Report
from sluicegate.shell.webhooks import NoReply, Webhooks

INQUIRY_SECONDS = 10.0
# A question waits for its turn among the users' requests.
ASK_SECONDS = 60.0
# All texts of a question together, one after another.
SCORE_SECONDS = 300.0
CALLS_AT_A_TIME = 128
# Slow webhooks of some make nobody wait for the pods of others.
WEBHOOKS_AT_A_TIME = 32
ANSWERS_KEPT = 8

Subject = tuple[Key, str]
T = TypeVar("T")


class RuntimeCalls:
    """Carries out calls, one at a time for each subject and pod, and keeps the last answers.

    `now` is the wall clock: an answer is dated to when it was asked for. `requeue` is told the key of
    each new answer. `leads` says whether pods may be changed.
    """

    def __init__(
        self,
        pods: Pods,
        webhooks: Webhooks,
        now: Callable[[], datetime],
        requeue: Callable[[Key], None],
        leads: Callable[[], bool],
    ) -> None:
        self._pods = pods
        self._webhooks = webhooks
        self._now = now
        self._requeue = requeue
        self._leads = leads
        self._slots = asyncio.Semaphore(CALLS_AT_A_TIME)
        self._webhook_slots = asyncio.Semaphore(WEBHOOKS_AT_A_TIME)
        self._answers: dict[Key, dict[str, Answer]] = {}
        self._scores: dict[Key, dict[str, Scores]] = {}
        self._replies: dict[Key, dict[str, Reply]] = {}
        self._statuses: dict[Key, dict[str, RuntimeStatus]] = {}
        self._calls: dict[Subject, asyncio.Task[None]] = {}

    def answers(self, key: Key) -> Mapping[str, Answer]:
        """The last answers to the key's Asks, by subject."""
        return dict(self._answers.get(key, {}))

    def scores(self, key: Key) -> Mapping[str, Scores]:
        """The last answers to the key's Scores, by subject."""
        return dict(self._scores.get(key, {}))

    def replies(self, key: Key) -> Mapping[str, Reply]:
        """The last replies to the key's Consults, by subject."""
        return dict(self._replies.get(key, {}))

    def statuses(self, key: Key, pods: frozenset[str]) -> Mapping[str, RuntimeStatus]:
        """The last status of each pod of the key, by uid; what is kept of other pods is dropped."""
        held = self._statuses.get(key, {})
        for uid in held.keys() - pods:
            del held[uid]
        return dict(held)

    def start(self, key: Key, action: Call) -> None:
        """Begin a call, unless the same subject is being called already."""
        match action:
            case Ask():
                self._begin((key, action.subject), self._ask(key, action))
            case Score():
                self._begin((key, action.subject), self._score(key, action))
            case Consult():
                self._begin((key, action.subject), self._consult(key, action))
            case Inquire():
                self._begin((key, action.pod_uid), self._control(key, action))
            case Reload() | CancelReload():
                self._begin((key, action.pod_uid), self._order(key, action))

    def forget(self, key: Key) -> None:
        self._answers.pop(key, None)
        self._scores.pop(key, None)
        self._replies.pop(key, None)
        self._statuses.pop(key, None)
        for (owner, _), call in self._calls.items():
            if owner == key:
                call.cancel()

    async def close(self) -> None:
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def _begin(self, subject: Subject, call: Coroutine[Any, Any, None]) -> None:
        if subject in self._calls:
            call.close()
            return
        task = asyncio.create_task(call, name=f"call {subject[0]} {subject[1]}")
        self._calls[subject] = task
        task.add_done_callback(lambda done: self._finished(subject, done))

    def _finished(self, subject: Subject, task: asyncio.Task[None]) -> None:
        del self._calls[subject]
        if not task.cancelled():
            task.result()
            self._requeue(subject[0])

    async def _ask(self, key: Key, ask: Ask) -> None:
        async with self._slots:
            at = self._now()
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    answer = Answer(at, await self._pods.generate(ask))
            except (NoAnswer, TimeoutError) as failure:
                answer = Answer(at, None, _words(failure, ASK_SECONDS))
        _keep(self._answers.setdefault(key, {}), ask.subject, answer)

    async def _score(self, key: Key, score: Score) -> None:
        async with self._slots:
            at = self._now()
            try:
                async with asyncio.timeout(SCORE_SECONDS):
                    found = await self._pods.score(score)
                scores = Scores(at, found.version, found.log_probabilities, refusal=found.refusal)
            except (NoAnswer, TimeoutError) as failure:
                scores = Scores(at, None, error=_words(failure, SCORE_SECONDS))
        _keep(self._scores.setdefault(key, {}), score.subject, scores)

    async def _consult(self, key: Key, consult: Consult) -> None:
        async with self._webhook_slots:
            at = self._now()
            try:
                async with asyncio.timeout(consult.timeout_seconds):
                    said = await self._webhooks.consult(consult)
                reply = Reply(at, said.status, said.text)
            except (NoReply, TimeoutError) as failure:
                reply = Reply(at, None, error=_words(failure, consult.timeout_seconds))
        _keep(self._replies.setdefault(key, {}), consult.subject, reply)

    async def _order(self, key: Key, order: Reload | CancelReload) -> None:
        heard = self._statuses.setdefault(key, {})
        if last := heard.get(order.pod_uid):
            heard[order.pod_uid] = replace(last, ordered=True)
        await self._control(key, order)

    async def _control(self, key: Key, action: Inquire | Reload | CancelReload) -> None:
        async with self._slots:
            at = self._now()
            try:
                async with asyncio.timeout(INQUIRY_SECONDS):
                    status = _status(at, await self._report(action))
            except (NoAnswer, TimeoutError) as failure:
                words = _words(failure, INQUIRY_SECONDS)
                status = RuntimeStatus(at, None, ready=False, in_flight=0, error=words)
        self._statuses.setdefault(key, {})[action.pod_uid] = status

    async def _report(self, action: Inquire | Reload | CancelReload) -> Report:
        if isinstance(action, Inquire):
            return await self._pods.report(action)
        if not self._leads():
            raise NoAnswer("another operator may lead by now")
        return await (self._pods.reload(action) if isinstance(action, Reload) else self._pods.cancel(action))


def _status(at: datetime, report: Report) -> RuntimeStatus:
    return RuntimeStatus(
        at,
        report.digest,
        report.ready,
        report.in_flight,
        vllm=report.vllm,
        measured=report.measured,
        version=report.version,
        sequence=report.sequence,
        reload=report.reload,
    )


def _keep(answers: dict[str, T], subject: str, answer: T) -> None:
    """Put the newest last; the oldest make room."""
    answers.pop(subject, None)
    answers[subject] = answer
    while len(answers) > ANSWERS_KEPT:
        del answers[next(iter(answers))]


def _words(failure: BaseException, limit: float) -> str:
    return f"no answer within {limit:.0f} s" if isinstance(failure, TimeoutError) else str(failure)
