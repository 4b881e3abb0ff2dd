"""Arguments of a job that are wrong: what is raised before Ray starts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import ray
from pydantic import ValidationError

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.ray import complete, transcribe

JOBS = pytest.mark.parametrize("job", [complete, transcribe])


@JOBS
@pytest.mark.parametrize("ds", [["Hello!"], "talks/", np.array(["Hello!"])], ids=type)
def test_what_is_no_dataset_is_named(job: Callable[..., Any], ds: Any) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        job(ds, "prompt", base_url="local")
    assert str(caught.value) == (
        f"ds must be a ray.data.Dataset, not {type(ds).__name__}: make one with "
        "ray.data.from_items(), ray.data.from_pandas() or another function of ray.data."
    )
    assert not ray.is_initialized()


@JOBS
@pytest.mark.parametrize(
    ("given", "meant"), [("max_inflight", "max_in_flight"), ("outputs", "output")]
)
def test_a_misspelt_argument_of_the_job_is_named(
    job: Callable[..., Any], given: str, meant: str
) -> None:
    with pytest.raises(ValidationError, match=f"there is no option '{given}'") as caught:
        job(None, "prompt", base_url="local", **{given: 1})
    assert caught.value.__notes__ == [
        f"If '{given}' is an argument of the job, its name is '{meant}'."
    ]


@JOBS
def test_another_wrong_setting_names_no_argument(job: Callable[..., Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        job(None, "prompt", base_url="local", temprature=1)
    assert not hasattr(caught.value, "__notes__")
