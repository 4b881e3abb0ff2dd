"""Agents on servers with a Mistral template: their conversations always have its order."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import httpx
import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from support.agent_runs import PARIS, SUM, SUNNY, TOOLS
from support.documented_exchanges import KEY, Server
from support.mistral_requests import encode_request
from support.strict_servers import SERVERS, strict
from support.tool_dialects import CHAT, ScriptedCall

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.messages.results import MISSING_RESULT

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    before_model,
    dynamic_prompt,
    wrap_model_call,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

THREAD: Any = {"configurable": {"thread_id": "1"}}
TODOS = ScriptedCall(
    "write_todos", '{"todos": [{"content": "Look", "status": "in_progress"}]}', "cD5fG8iJ1"
)
FORECAST: dict[str, Any] = {
    "title": "Forecast",
    "description": "A forecast.",
    "type": "object",
    "properties": {"sky": {"type": "string"}},
    "required": ["sky"],
}

Answer = str | list[ScriptedCall]


class Model:
    """A model on vLLM, which refuses what the real one does, and what it answers in order."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._server, self._answers, self._judge = Server(), iter(answers), strict("vllm")
        self._server.answer = self._answer
        self.chat = ChatVoxtral(**{"api_key": KEY, **self._server.settings, **SERVERS["vllm"]})

    @property
    def prompts(self) -> list[str]:
        """What `mistral-common` makes of the requests."""
        return [encode_request(body) for body in self._server.bodies]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        refused = self._judge(request)
        if refused.is_error:
            return refused
        answer = next(self._answers)
        whole = CHAT.whole(answer) if isinstance(answer, str) else CHAT.whole(calls=answer)
        return httpx.Response(200, content=whole.body)


def keep_last(count: int, _: Model) -> Any:
    """Return middleware that sends the last messages only, wherever that cuts."""

    @wrap_model_call
    def trim(request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request.override(messages=request.messages[-count:]))

    return trim


def remind(kind: type[SystemMessage | HumanMessage | AIMessage]) -> Any:
    """Return middleware that adds a message before each call of the model."""

    @before_model
    def add(state: Any, runtime: Any) -> dict[str, Any]:
        return {"messages": [kind("Be brief.")]}

    return add


@before_model
def forget_first(state: Any, runtime: Any) -> dict[str, Any]:
    """Remove the oldest message, wherever that cuts."""
    return {"messages": [RemoveMessage(id=state["messages"][0].id)]}


@dynamic_prompt
def count_messages(request: Any) -> str:
    """Return another system prompt for each call."""
    return f"There are {len(request.messages)} messages."


def summarize_early(model: Model) -> Any:
    return SummarizationMiddleware(model.chat, trigger=("messages", 3), keep=("messages", 1))


def clear_results(model: Model) -> Any:
    edit = ClearToolUsesEdit(trigger=1, keep=0, clear_tool_inputs=True)
    return ContextEditingMiddleware(edits=[edit])


def user(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def decide(*kinds: str) -> Any:
    return Command(resume={"decisions": [{"type": kind} for kind in kinds]})


NEXT = user("And now?")
BOTH: list[Answer] = [[PARIS, SUM], SUNNY, SUNNY]
RUNS: dict[str, tuple[list[Callable[[Model], Any]], list[Answer], list[Any]]] = {
    "tools": ([], BOTH, [NEXT]),
    "a summary": (
        [summarize_early],
        [[PARIS], "They talked.", SUNNY, "They talked.", SUNNY],
        [NEXT],
    ),
    **{
        f"the last {count} messages": ([partial(keep_last, count)], BOTH, [NEXT])
        for count in (1, 2, 3, 4)
    },
    "the oldest message removed": (
        [lambda _: forget_first],
        [[PARIS], [SUM], SUNNY, SUNNY],
        [NEXT],
    ),
    "results cleared": ([clear_results], BOTH, [NEXT]),
    "system messages added": ([lambda _: remind(SystemMessage)], BOTH, [NEXT]),
    "human messages added": ([lambda _: remind(HumanMessage)], BOTH, [NEXT]),
    "answers begun": ([lambda _: remind(AIMessage)], BOTH, [NEXT]),
    "dynamic prompts": ([lambda _: count_messages], BOTH, [NEXT]),
    "todos": ([lambda _: TodoListMiddleware()], [[TODOS, PARIS], SUNNY, [TODOS], SUNNY], [NEXT]),
    "a limit of tool calls": (
        [lambda _: ToolCallLimitMiddleware(run_limit=1)],
        [[PARIS, SUM], SUNNY, SUNNY],
        [NEXT],
    ),
    "a limit of tool calls that ends the run": (
        [lambda _: ToolCallLimitMiddleware(run_limit=1, exit_behavior="end")],
        [[PARIS], [SUM], SUNNY],
        [NEXT],
    ),
    "a limit of model calls that ends the run": (
        [lambda _: ModelCallLimitMiddleware(run_limit=1, exit_behavior="end")],
        [[PARIS], SUNNY],
        [NEXT],
    ),
    "a person's decisions": (
        [lambda _: HumanInTheLoopMiddleware({"get_weather": True, "add": True})],
        [[PARIS, SUM], SUNNY, SUNNY],
        [decide("approve", "reject"), NEXT],
    ),
    "no decision, but a message": (
        [lambda _: HumanInTheLoopMiddleware({"get_weather": True})],
        [[PARIS, SUM], SUNNY, SUNNY],
        [NEXT, user("And then?")],
    ),
}


@pytest.mark.parametrize(("middleware", "answers", "inputs"), RUNS.values(), ids=RUNS)
def test_conversations_of_agents_are_encoded(
    middleware: list[Callable[[Model], Any]], answers: list[Answer], inputs: list[Any]
) -> None:
    model = Model(answers)
    agent = create_agent(
        model.chat,
        tools=TOOLS,
        system_prompt="You tell the weather.",
        middleware=[make(model) for make in middleware],
        checkpointer=InMemorySaver(),
    )
    for given in (user("How is the weather?"), *inputs):
        state = agent.invoke(given, THREAD)
    assert len(model.prompts) == len(answers)
    assert state["messages"][-1].text == answers[-1]


@pytest.mark.parametrize("done", [[], ["aB3dE6gH9"], ["bC4eF7hI0"]])
def test_a_run_that_was_interrupted_in_its_tools_goes_on(
    done: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    model = Model([[PARIS, SUM], SUNNY])
    agent: Any = create_agent(
        model.chat, tools=TOOLS, checkpointer=InMemorySaver(), interrupt_before=["tools"]
    )
    agent.invoke(user("How is the weather?"), THREAD)
    results = [ToolMessage("5", tool_call_id=call_id) for call_id in done]
    agent.update_state(THREAD, {"messages": [*results, *NEXT["messages"]]}, as_node="tools")
    assert agent.invoke(None, THREAD)["messages"][-1].text == SUNNY
    assert model.prompts[1].count(MISSING_RESULT) == 2 - len(done)
    assert model.prompts[1].endswith("[INST]And now?[/INST]")
    assert len(caplog.records) == 2 - len(done)


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_an_agent_with_a_response_format_can_be_asked_again(strategy: Any) -> None:
    fine = '{"sky": "blue"}'
    answer: Answer = fine if strategy is ProviderStrategy else [ScriptedCall("Forecast", fine)]
    model = Model([[PARIS], answer, answer])
    agent: Any = create_agent(
        model.chat,
        tools=TOOLS,
        response_format=strategy(FORECAST),
        checkpointer=InMemorySaver(),
    )
    for given in (user("How is the weather?"), NEXT):
        state = agent.invoke(given, THREAD)
    assert state["structured_response"] == {"sky": "blue"}
    assert len(model.prompts) == 3


def test_with_structured_output_a_conversation_has_the_same_order() -> None:
    model = Model([[ScriptedCall("Forecast", '{"sky": "blue"}')]])
    messages = [HumanMessage("a"), AIMessage("b"), SystemMessage("s")]
    assert model.chat.with_structured_output(FORECAST).invoke(messages) == {"sky": "blue"}
    [prompt] = model.prompts
    assert prompt.endswith("[/AVAILABLE_TOOLS][INST]s[/INST]")
