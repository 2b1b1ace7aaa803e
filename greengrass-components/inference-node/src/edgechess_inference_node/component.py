"""The inference node on the bus: questions in, legal moves out, always in time; models change underneath meanwhile."""

from __future__ import annotations

import importlib
import logging
from importlib.metadata import version

import anyio
import anyio.to_thread
import msgspec

from edgechess_inference.errors import InferenceError, PlayerFailed, PlayerWordError
from edgechess_inference.ladder.options import ENGINES
from edgechess_inference.ladder.reserve import EngineReserve
from edgechess_inference.player import Answer, PlayerOptions, Question
from edgechess_inference_node.answers import question_of, refusal, request_id_of, response_of
from edgechess_inference_node.control import obey
from edgechess_inference_node.desk import Desk, fingerprint
from edgechess_inference_node.errors import PageServerFailed, RequestRefused
from edgechess_inference_node.metrics import Metrics
from edgechess_inference_node.models import NodeModels, why
from edgechess_inference_node.players import NodePlayers
from edgechess_inference_node.settings import Settings
from edgechess_kit.background import Background
from edgechess_kit.bus import Delivery, Subscription
from edgechess_kit.component import Context
from edgechess_kit.errors import WireError
from edgechess_kit.health import Health
from edgechess_kit.host import Status
from edgechess_kit.messages import (
    InferenceControl,
    InferenceControlResponse,
    InferenceRequest,
    InferenceResponse,
    InferenceStatus,
)

LOG = logging.getLogger(__name__)

STATUS_PERIOD_S = 0.5  # while something changes; what does not change is not said again
RETRY_FIRST_S = 5.0  # of a model that could not be brought at the start; doubles
RETRY_LAST_S = 300.0
GRACE_S = 2.0  # beyond a question's time, for players that keep it themselves
CONTROLS_MAX = 16  # commands in work at once


async def run(context: Context[Settings]) -> None:
    """Serves until it is cancelled. The engine answers from the beginning; models join as their weights arrive.

    Raises JournalError where nothing can be written any more.
    """
    async with Health(context, version=version("edgechess-inference-node")) as health:
        await _Node(context, health).run()


class _Node:
    def __init__(self, context: Context[Settings], health: Health) -> None:
        self._context = context
        self._health = health
        self._metrics = Metrics()
        self._answers = Desk(context, "answered", InferenceResponse)
        self._controls = Desk(context, "controlled", InferenceControlResponse)
        self._models = NodeModels(context)
        self._complaints: dict[str, str] = {}
        """What an operator has to see to: health is "degraded"."""
        self._remarks: dict[str, str] = {}
        """What is not as it was set, though every question has its answer all the same."""
        self._published: InferenceStatus | None = None
        self._players: NodePlayers
        self._tasks: Background

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        context, settings = self._context, self._context.settings
        topics = context.topics
        async with (
            self._models,
            Background() as self._tasks,
            anyio.create_task_group() as work,
            context.bus.subscribe(topics.inference_request, topics.inference_control) as deliveries,
        ):
            options = PlayerOptions(seed=settings.seed, inline=settings.inline, tasks=work)
            factory, rest = ENGINES[settings.engine]
            reserve = EngineReserve(factory, rest, options, work, size=settings.engines)
            self._players = NodePlayers(self._models, reserve, settings.players, options, work)
            try:
                await self._start(reserve)
                await self._listen(deliveries)
            finally:
                with anyio.CancelScope(shield=True):  # bounded by the engines' own timeouts; no process may stay
                    await self._players.close()
                    await reserve.close()
                work.cancel_scope.cancel()
                self._tasks.cancel()

    async def _start(self, reserve: EngineReserve) -> None:
        trouble = await reserve.start()
        if trouble is not None:
            self._remarks["engine"] = f"the built-in engine stands in: {trouble}"
        if self._context.settings.http_port:
            self._tasks.start_soon(self._pages, name="pages")
        self._tasks.start_soon(self._bring_up, name="models")
        await self._health.set("ready", "the engine answers")
        self._tasks.start_soon(self._tell, name="status")

    async def _bring_up(self) -> None:
        """Adapters first: they are only registered here, and a model that comes finds them. Behind one that cannot be
        had, models do not wait."""
        adapters = self._models.wanted_adapters()
        while adapters and await self._bring_adapter(*next(iter(adapters.items()))):
            adapters.pop(next(iter(adapters)))
        async with anyio.create_task_group() as tasks:
            for name, address in self._models.wanted().items():
                tasks.start_soon(self._bring_model, name, address, name=f"bring {name}")
            await self._bring_late(adapters)

    async def _bring_late(self, adapters: dict[str, str]) -> None:
        """The others at once; those that cannot be had again and again, as models are."""
        pause_s = RETRY_FIRST_S
        while True:
            for name, address in list(adapters.items()):
                if await self._bring_adapter(name, address):
                    del adapters[name]
            if not adapters:
                return
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_LAST_S)

    async def _bring_adapter(self, name: str, address: str) -> bool:
        """Whether it is registered, by this or by a control command."""
        key = f"adapter {name}"
        try:
            if not self._models.has_adapter(name):
                await self._models.set_adapter(name, address, new=True, told=False)
        except (RequestRefused, InferenceError) as error:
            if self._complaints.get(key) != f"{key}: {why(error)}":
                LOG.error("adapter %s: %s", name, error)
            self._complaints[key] = f"{key}: {why(error)}"
            return False
        self._complaints.pop(key, None)
        return True

    async def _bring_model(self, name: str, address: str) -> None:
        """Until it serves, by this or by a control command: a store that cannot be reached now may be back soon."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                await self._models.load(name, address, new=True, told=False)
            except RequestRefused as error:  # an operator has loaded something under this name meanwhile
                LOG.info("model %s: %s", name, error)
            except InferenceError as error:
                LOG.error("model %s: %s; trying again in %g s", name, error, pause_s)
                self._complaints[f"model {name}"] = f"{name}: {why(error)}"
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LAST_S)
                continue
            self._complaints.pop(f"model {name}", None)
            return

    # ---------------------------------------------------------------- what comes in

    async def _listen(self, deliveries: Subscription) -> None:
        topics = self._context.topics
        async for delivery in deliveries:
            if delivery.topic == topics.inference_control.name:
                await self._take_control(delivery)
            else:
                await self._take_request(delivery)

    async def _take_request(self, delivery: Delivery) -> None:
        try:
            request = delivery.decode(self._context.topics.inference_request)
        except WireError as error:
            await self._refuse_unread(delivery, error)
            return
        asked = fingerprint(request)
        under_work = self._answers.asked(request.request_id)
        earlier = self._answers.earlier(request.request_id) if under_work is None else None
        if (under_work or (earlier[0] if earlier else asked)) != asked:
            await self._publish(refusal(request.request_id, 400, "`requestId` was used for another question"))
        elif earlier is not None:
            await self._publish(earlier[1])
        elif under_work is None and self._answers.in_work >= self._context.settings.requests:
            self._metrics.requested(request.player, 503)
            await self._publish(
                refusal(request.request_id, 503, f"{self._answers.in_work} questions are in work; ask again later")
            )
        elif under_work is None:
            self._answers.open(request.request_id, asked)
            self._tasks.start_soon(self._answer, request, anyio.current_time(), name="answer")

    async def _refuse_unread(self, delivery: Delivery, error: WireError) -> None:
        LOG.warning("%s", error)
        request_id = request_id_of(delivery.payload)
        if request_id is not None:
            self._metrics.requested("?", 400)
            await self._publish(refusal(request_id, 400, str(error)))

    async def _answer(self, request: InferenceRequest, began: float) -> None:
        kept = False
        try:
            response = await self._response(request, began)
            self._answers.close(request.request_id, response, keep=True)
            kept = True
            self._metrics.requested(request.player, response.status)
            await self._publish(response)
        finally:
            if not kept:
                self._answers.drop(request.request_id)

    async def _response(self, request: InferenceRequest, began: float) -> InferenceResponse:
        try:
            question = question_of(request, self._context.settings.timeout_max_s)
            with anyio.fail_after(question.timeout_s + GRACE_S):
                answer = await self._players.choose(request.player, question)
        except (RequestRefused, PlayerWordError) as error:
            return refusal(request.request_id, 400, str(error))
        except PlayerFailed as error:
            return refusal(request.request_id, 500, str(error))
        except TimeoutError:
            return refusal(request.request_id, 500, f"{request.player} did not answer in time")
        took_s = anyio.current_time() - began
        self._count(request.player, question, answer, took_s)
        return response_of(request, answer, took_s)

    def _count(self, player: str, question: Question, answer: Answer, took_s: float) -> None:
        account = answer.account
        if account is None:
            self._metrics.moved(player, "player", took_s)
            return
        self._metrics.moved(player, "engine" if account.fallback else "model", took_s)
        own = account.attempts[:-1] if account.fallback else account.attempts
        for attempt in own:
            self._metrics.attempted(player, account.adapter, attempt.failure or "taken", attempt.took_s)

    # ---------------------------------------------------------------- control

    async def _take_control(self, delivery: Delivery) -> None:
        topics = self._context.topics
        try:
            control = delivery.decode(topics.inference_control)
        except WireError as error:
            LOG.warning("%s", error)
            request_id = request_id_of(delivery.payload)
            if request_id is not None:
                await self._answer_control(
                    InferenceControlResponse(request_id=request_id, command="?", status=400, reason=str(error)[:300])
                )
            return
        if self._controls.is_open(control.request_id):
            return
        earlier = self._controls.earlier(control.request_id)
        if earlier is not None:
            await self._answer_control(earlier[1])
        elif self._controls.in_work >= CONTROLS_MAX:
            busy = f"{CONTROLS_MAX} commands are in work; ask again later"
            await self._answer_control(
                InferenceControlResponse(
                    request_id=control.request_id, command=control.command, status=500, reason=busy
                )
            )
        else:
            self._controls.open(control.request_id, fingerprint(control))
            self._tasks.start_soon(self._obey, control, name=f"control {control.command}")

    async def _obey(self, control: InferenceControl) -> None:
        done = False
        try:
            response = await obey(control, self._models)
            keep = control.command not in ("list", "status")  # asked again, they say what is then
            self._controls.close(control.request_id, response, keep=keep)
            done = True
        finally:
            if not done:
                self._controls.drop(control.request_id)
        if response.status == 200:
            self._complaints.pop(f"model {control.model}", None)
            self._complaints.pop(f"adapter {control.adapter}", None)
        self._metrics.controlled(control.command, response.status)
        await self._answer_control(response)

    async def _answer_control(self, response: InferenceControlResponse) -> None:
        await self._context.bus.publish(self._context.topics.inference_control_response, response)

    async def _publish(self, response: InferenceResponse) -> None:
        await self._context.bus.publish(self._context.topics.inference_response, response)

    # ---------------------------------------------------------------- what is told

    async def _tell(self) -> None:
        """Status on the bus whenever it is another one, and health in one sentence."""
        while True:
            status = self._status()
            if status != self._published:
                self._published = status
                told = msgspec.structs.replace(status, at=self._context.clock.unix_s())
                await self._context.bus.publish(self._context.topics.inference_status, told)
            await self._health.set(*self._state())
            await anyio.sleep(STATUS_PERIOD_S)

    def _status(self) -> InferenceStatus:
        return InferenceStatus(
            models=self._models.states(),
            adapters=len(self._models.adapters()),
            in_work=self._answers.in_work,
            answered=self._metrics.answered,
            fallbacks=self._metrics.fallbacks,
        )

    def _state(self) -> tuple[Status, str | None]:
        troubles = [*self._complaints.values(), *self._models.problems()]
        if troubles:
            return "degraded", "; ".join(dict.fromkeys(troubles))[:300]
        waiting = [state for state in self._models.states() if state.state == "loading"]
        remarks = [f"the engine answers; on its way: {', '.join(state.model for state in waiting)}"] if waiting else []
        remarks += [*self._remarks.values(), *self._models.remarks()]
        return "ready", "; ".join(remarks)[:300] or None

    async def _pages(self) -> None:
        settings = self._context.settings
        name = "edgechess_inference_node.http_adapter"  # starlette and uvicorn take half a second to import
        pages = (await anyio.to_thread.run_sync(importlib.import_module, name)).pages
        try:
            async with pages(settings.http_host, settings.http_port, self._healthz, self._numbers) as port:
                LOG.info("http://%s:%d/healthz and /metrics", settings.http_host, port)
                await anyio.sleep_forever()
        except PageServerFailed as error:
            self._remarks["pages"] = str(error)
            LOG.error("%s", error)

    def _healthz(self) -> tuple[bool, dict[str, object]]:
        status, reason = self._state()
        models = {state.model: state.state for state in self._models.states()}
        return True, {"status": status, "reason": reason, "models": models, "inWork": self._answers.in_work}

    def _numbers(self) -> str:
        states = self._models.states()
        adapters = self._models.adapters()
        return self._metrics.text(
            {
                "in_work": {(): float(self._answers.in_work)},
                "model_serving": {(("model", state.model),): float(state.name is not None) for state in states},
                "model_swaps": {(("model", state.model),): float(state.swaps) for state in states},
                "model_landed_bytes": {
                    (("model", state.model),): float(state.landed_bytes)
                    for state in states
                    if state.landed_bytes is not None
                },
                "model_waiting": {(("model", state.model),): float(state.waiting) for state in states},
                "adapter_requests": {(("adapter", state.adapter),): float(state.requests) for state in adapters},
                "adapter_legal": {(("adapter", state.adapter),): float(state.legal) for state in adapters},
                "adapter_illegal": {(("adapter", state.adapter),): float(state.illegal) for state in adapters},
                "adapter_loads": {(("adapter", state.adapter),): float(state.loads) for state in adapters},
                "adapter_latency_mean_seconds": {
                    (("adapter", state.adapter),): state.latency_mean_s for state in adapters
                },
                "adapter_load_max_seconds": {(("adapter", state.adapter),): state.load_max_s for state in adapters},
            }
        )
