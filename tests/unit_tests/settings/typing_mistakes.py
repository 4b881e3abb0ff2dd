"""Mistakes of users; `make lint` runs mypy on it."""

from langchain_voxtral import ChatVoxtral

ChatVoxtral(temperature="hot")  # type: ignore[arg-type]
ChatVoxtral(tempreature=0.1)  # type: ignore[call-arg]
ChatVoxtral(api_key=5)  # type: ignore[arg-type]
ChatVoxtral(stop=5)  # type: ignore[arg-type]
ChatVoxtral(model_name="x")  # type: ignore[call-arg]  # runs; checkers offer the names of fields
ChatVoxtral(prompt_format="chatml")  # type: ignore[arg-type]
ChatVoxtral().invoke(5)  # type: ignore[arg-type]
