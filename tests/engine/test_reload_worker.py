"""What a worker answers when it is asked for what it cannot do: it never raises."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sluicegate_engine.reload.engine_orders import RANK_ORDERS, EngineOrders
from sluicegate_engine.reload.worker import ReloadExtension, never_raises


class Worker(ReloadExtension):
    """A worker of a vLLM that is not there."""

    vllm_config = SimpleNamespace()
    model_runner = SimpleNamespace(get_model=lambda: None)


@pytest.fixture(autouse=True)
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.config", None)


def test_a_worker_in_another_vllm_serves_and_is_not_changed_in_place() -> None:
    said = Worker().sluicegate_describe()
    assert (said["ok"], said["reason"]) == (False, "RestartRequired")
    assert said["message"].startswith("UnsupportedEngine: ")


@pytest.mark.parametrize("order", ["staging", "switch", "restore"])
def test_without_a_stage_a_worker_says_so(order: str) -> None:
    said = getattr(Worker(), f"sluicegate_{order}")()
    assert (said["ok"], said["reason"]) == (False, "NothingStaged")


def test_there_may_be_nothing_to_give_back() -> None:
    assert Worker().sluicegate_release() == {"ok": True}


def test_a_defect_is_an_answer_and_the_end_of_the_process_is_none() -> None:
    def fail(error: BaseException) -> None:
        raise error

    said = never_raises(fail)(ZeroDivisionError("by zero"))
    assert said == {"ok": False, "reason": "WorkerFailed", "message": "ZeroDivisionError: by zero"}
    with pytest.raises(SystemExit):
        never_raises(fail)(SystemExit())


def test_every_order_to_the_ranks_is_a_method_of_theirs() -> None:
    methods = {name for name in vars(ReloadExtension) if name.startswith("sluicegate_")}
    assert {f"sluicegate_{order}" for order in RANK_ORDERS} == methods


async def test_the_gate_carries_no_other_orders() -> None:
    orders = EngineOrders()
    orders.attach(SimpleNamespace(state=SimpleNamespace(engine_client=None)))
    with pytest.raises(ValueError, match="no such order: sleep"):
        await orders.carry_out("sleep", {})
