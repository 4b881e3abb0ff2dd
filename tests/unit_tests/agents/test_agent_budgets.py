"""Agents within a budget: the loop ends with an error that nothing tries again."""

from typing import Any

import pytest
from support.agent_runs import PARIS, TOOLS, in_each_call_mode, in_each_dialect, run, scripted
from support.tool_dialects import Dialect

from langchain_voxtral import get_voxtral_usage_callback
from langchain_voxtral.errors import VoxtralBudgetExceededError

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware


@in_each_dialect
@in_each_call_mode
async def test_an_agent_stops_before_the_call_that_would_pass_the_budget(
    dialect: Dialect, call_mode: str
) -> None:
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0, on_failure="error")
    with (
        scripted(dialect, call_mode, [PARIS], [PARIS]) as server,
        get_voxtral_usage_callback(max_cost_usd=0.0001) as usage,
    ):
        agent: Any = create_agent(dialect.chat(server), TOOLS, middleware=[retry])
        with pytest.raises(VoxtralBudgetExceededError, match="nothing was sent"):
            await run(agent, call_mode)
        assert len(server.requests) == usage.total.requests == 2
        assert 0.00007 < usage.total.cost_usd < 0.0001
