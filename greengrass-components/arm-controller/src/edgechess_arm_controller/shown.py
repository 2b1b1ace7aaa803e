"""What everybody may see of the arms: `devices/arm/state`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edgechess_arm_controller.slots import Slot
from edgechess_arm_controller.state import State
from edgechess_kit.messages import ArmState, ArmStatus, SlotState
from edgechess_robots.arm import Arm


def shown(state: State, arms: Mapping[str, Arm]) -> ArmState:
    """Without time and number, so that two can be compared."""
    table = state.table
    job = table.job.job_id if table.job else state.waiting.job.job_id if state.waiting else None
    return ArmState(
        arms=tuple(_status(arm, state) for arm in arms.values()),
        stopped=table.stopped is not None,
        lease_token=table.token,
        lease_holder=table.holder,
        job_id=job,
        step=state.step,
        tray=tuple(_slot_state(slot) for slot in table.slots.trays()),
        rack=tuple(_slot_state(slot) for slot in table.slots.racks()),
    )


def _status(arm: Arm, state: State) -> ArmStatus:
    name, condition, view = arm.name, state.conditions[arm.name], state.views[arm.name]
    now = arm.state()
    holding = state.table.hand(name) if now.holding is not False else None
    tool = now.tool
    mode: Literal["offline", "starting", "idle", "moving", "parked", "stopped", "fault"] = now.mode
    if condition.phase == "blocked" and holding is None and mode != "stopped":
        mode = "fault"  # it may look well, but it was given up: an operator must see that a person is needed
    elif now.mode == "idle" and now.parked:
        mode = "parked"
    return ArmStatus(
        name=name,
        kind=arm.kind,
        mode=mode,
        parked=now.parked,
        holding=holding,
        felt=view.holding if view.fresh else None,
        joints_deg=tuple(round(joint, 1) for joint in now.joints_deg),
        tool_mm=(round(tool.x_mm), round(tool.y_mm), round(tool.z_mm)) if tool else (),
        alarm=now.alarm or (condition.reason if condition.phase in ("blocked", "loaded") else None),
        dead_man=now.dead_man,
    )


def _slot_state(slot: Slot) -> SlotState:
    return SlotState(slot=slot.name, piece=slot.piece, doubtful=slot.doubtful)
