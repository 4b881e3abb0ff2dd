r"""The prompts printed on DeepInfra's API page of the model, byte for byte."""

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_voxtral.local.prompting.prompt_reader import parse_prompt
from langchain_voxtral.messages import to_turns
from langchain_voxtral.prompts import LLAMA3, render

HISTORY: list[BaseMessage] = [
    HumanMessage("First question"),
    AIMessage("First answer"),
    HumanMessage("Second question"),
    AIMessage("Second answer"),
    HumanMessage("Final question"),
]
HISTORY_PROMPT = (
    "<|start_header_id|>user<|end_header_id|>\n\nFirst question<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nFirst answer<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nSecond question<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nSecond answer<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nFinal question<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
CHEF_ANSWER = (
    "Bonjour! Let me tell you, my friend, cooking lamb is an art form, and I'm more than happy to "
    "share with you not two, but three of my favorite techniques to coax out the rich, unctuous "
    'flavors and tender textures of this majestic protein. First, we have the classic "Sous Vide" '
    'method. Next, we have the ancient art of "Sous le Sable". And finally, we have the more '
    'modern technique of "Hot Smoking."'
)
DOCUMENTED: dict[str, tuple[list[BaseMessage], str]] = {
    "basic": (
        [HumanMessage("Hello!")],
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
    ),
    "history": (HISTORY, f"<|begin_of_text|>{HISTORY_PROMPT}"),
    "system": (
        [SystemMessage("System prompt"), *HISTORY],
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nSystem prompt<|eot_id|>"
            f"{HISTORY_PROMPT}"
        ),
    ),
    "chef": (
        [
            SystemMessage("Respond like a michelin starred chef."),
            HumanMessage("Can you name at least two different techniques to cook lamb?"),
            AIMessage(CHEF_ANSWER),
            HumanMessage("Tell me more about the second method."),
        ],
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
            "Respond like a michelin starred chef.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n"
            "Can you name at least two different techniques to cook lamb?<|eot_id|>"
            f"<|start_header_id|>assistant<|end_header_id|>\n\n{CHEF_ANSWER}<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n"
            "Tell me more about the second method.<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
    ),
}
documented = pytest.mark.parametrize(("messages", "prompt"), DOCUMENTED.values(), ids=DOCUMENTED)


@documented
def test_documented_prompts_are_made_of_their_messages(
    messages: list[BaseMessage], prompt: str
) -> None:
    assert render(to_turns(messages), LLAMA3) == prompt


@documented
def test_documented_prompts_are_read_back(messages: list[BaseMessage], prompt: str) -> None:
    reading = parse_prompt(prompt)
    assert reading.format == "llama3"
    assert reading.turns == tuple(to_turns(messages))
    assert reading.prefill == ""


@documented
@pytest.mark.parametrize("ending", ["\n", ""])
def test_the_pages_looser_samples_read_the_same(
    messages: list[BaseMessage], prompt: str, ending: str
) -> None:
    """Its text samples show one line break after a header, and none after the last."""
    loose = prompt.replace("<|end_header_id|>\n\n", "<|end_header_id|>\n").removesuffix("\n")
    assert parse_prompt(loose + ending) == parse_prompt(prompt)
