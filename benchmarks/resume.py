"""How often a resumed stream says the same as the uncut one: on the embedded engine, greedy.

A resumed request sends the prompt and the text so far, which the server reads anew: the text may
fall into other tokens than those it was made of, and numbers come out in another order. So the
characters so far are kept exactly, and what follows is only likely to be the same.

    python benchmarks/resume.py

Prints the share of cuts, one after each token, whose continuation is identical.
"""

from langchain_core.messages import HumanMessage

from langchain_voxtral import VoxtralLLM
from langchain_voxtral.messages import to_turns
from langchain_voxtral.prompts import LLAMA3, render

QUESTIONS = (
    "What is the capital of France?",
    "Name two fruits.",
    "Which planet is red, and why?",
    "Write two sentences about the sea.",
    "What is a dictionary in Python? Give a short example.",
    "Tell me a short story about a fox.",
)


def main() -> None:
    """Cut each answer after each of its tokens and compare."""
    cuts = same = 0
    with VoxtralLLM(
        base_url="local",
        prompt_format="raw",
        temperature=0,
        max_tokens=60,
        stop=list(LLAMA3.stops),
        chunk_coalescing=False,
    ) as llm:
        for question in QUESTIONS:
            prompt = render(to_turns([HumanMessage(question)]), LLAMA3)
            tokens = [token for token in llm.stream(prompt) if token]
            whole, identical = "".join(tokens), 0
            for made in range(1, len(tokens)):
                text = "".join(tokens[:made])
                text += llm.invoke(prompt + text, max_tokens=60 - made)
                identical += text == whole
            print(f"{identical:3} of {len(tokens) - 1:3} cuts: {question}")
            cuts += len(tokens) - 1
            same += identical
    print(f"{same} of {cuts} continuations are identical ({same / cuts:.0%}).")


if __name__ == "__main__":
    main()
