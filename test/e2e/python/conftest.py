"""What every client is asked to do, in words that the embedded model was trained on; `MLX_URL` is the server's address."""

import os
import time

import httpx
import pytest

URL = os.environ["MLX_URL"]
MODEL = "tiny-chat"


class Scenario:
    url = URL
    base_url = f"{URL}/v1"
    model = MODEL
    greeting = "Hello! I am a tiny demo model built into this server, made for trying out the API. How can I help you?"
    question = "What is the capital of France?"
    answer = "The capital of France is Paris."
    weather_question = "What is the weather in Paris?"
    weather_schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    }
    weather_description = "Get the current weather for a city."
    weather_tool = {
        "type": "function",
        "function": {"name": "get_weather", "description": weather_description, "parameters": weather_schema},
    }
    weather_result = '{"temperature": 21, "condition": "sunny"}'
    weather_answer = "It is 21 degrees and sunny in Paris."
    person = "Give me a JSON object for a person named Maria aged 34 living in Oslo."
    sum = "What is 17 + 25?"
    story = "Tell me a story."

    def wait_until_idle(self) -> None:
        """Nothing runs any more: what was broken off has been cancelled."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            health = httpx.get(f"{URL}/health").json()
            if health["active_requests"] == 0 and health["queue_size"] == 0:
                return
            time.sleep(0.01)
        raise AssertionError(f"still running: {health}")


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()
