"""OpenAI's Agents SDK, over responses and over chat completions."""

import asyncio

import pytest
from agents import Agent, FunctionTool, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI, BadRequestError
from pydantic import BaseModel

set_tracing_disabled(True)


class Person(BaseModel):
    name: str
    age: int
    city: str


@pytest.fixture(params=[OpenAIResponsesModel, OpenAIChatCompletionsModel], ids=["responses", "chat"])
def create(request, scenario):
    def create_agent(**more):
        client = AsyncOpenAI(base_url=scenario.base_url, api_key="any", max_retries=0)
        model = request.param(model=scenario.model, openai_client=client)
        settings = {"name": "Helper", "model": model, "model_settings": ModelSettings(temperature=0, max_tokens=300)}
        return Agent(**{**settings, **more})

    return create_agent


def test_chat(create, scenario):
    assert Runner.run_sync(create(), scenario.question).final_output == scenario.answer


def test_stream(create, scenario):
    async def run():
        result = Runner.run_streamed(create(), "Hello!")
        events = [event async for event in result.stream_events() if event.type == "raw_response_event"]
        return "".join(event.data.delta for event in events if event.data.type == "response.output_text.delta")

    assert asyncio.run(run()) == scenario.greeting


@pytest.mark.parametrize("streamed", [False, True])
def test_tools(create, scenario, streamed):
    asked = []

    async def tell(_context, arguments):
        asked.append(arguments)
        return scenario.weather_result

    tool = FunctionTool("get_weather", scenario.weather_description, scenario.weather_schema, tell, strict_json_schema=False)
    agent = create(tools=[tool])

    async def run():
        if not streamed:
            return (await Runner.run(agent, scenario.weather_question)).final_output
        result = Runner.run_streamed(agent, scenario.weather_question)
        async for _event in result.stream_events():
            pass
        return result.final_output

    assert asyncio.run(run()) == scenario.weather_answer
    assert asked == ['{"city": "Paris"}']


def test_handoff_and_history(create, scenario):
    first = Runner.run_sync(create(), "My name is Nora.")
    items = first.to_input_list() + [{"role": "user", "content": "What is my name?"}]
    assert "Nora" in Runner.run_sync(create(), items).final_output


def test_structured_output(create, scenario):
    assert Runner.run_sync(create(output_type=Person), scenario.person).final_output == Person(name="Maria", age=34, city="Oslo")


def test_reasoning(create, scenario):
    settings = ModelSettings(temperature=0, extra_body={"enable_thinking": True})
    result = Runner.run_sync(create(model_settings=settings), scenario.sum)
    assert [item.type for item in result.new_items] == ["reasoning_item", "message_output_item"]
    assert "think>" not in result.final_output
    assert result.context_wrapper.usage.output_tokens_details.reasoning_tokens > 5


def test_errors(create):
    with pytest.raises(BadRequestError):
        Runner.run_sync(create(model_settings=ModelSettings(temperature=9)), "Hello!")


def test_abort(create, scenario):
    settings = ModelSettings(temperature=0, extra_body={"ignore_eos": True})

    async def run():
        result = Runner.run_streamed(create(model_settings=settings), scenario.story)
        pieces = 0
        async for event in result.stream_events():
            pieces += event.type == "raw_response_event"
            if pieces == 5:
                result.cancel()
        return pieces

    assert 5 <= asyncio.run(run()) < 1000
    scenario.wait_until_idle()
