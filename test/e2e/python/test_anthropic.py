"""Anthropic's SDK for Python."""

import anthropic
import pytest
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int
    city: str


@pytest.fixture
def client(scenario):
    return anthropic.Anthropic(base_url=scenario.url, api_key="any", max_retries=0)


def ask(scenario, text, **more):
    messages = [{"role": "user", "content": text}]
    # The client has no parameter for it any more.
    greedy = {"extra_body": {"temperature": 0}}
    return {"model": scenario.model, "max_tokens": 300, "messages": messages, **greedy, **more}


def tool(scenario):
    return {"name": "get_weather", "description": scenario.weather_description, "input_schema": scenario.weather_schema}


def test_chat(client, scenario):
    answer = client.messages.create(**ask(scenario, scenario.question))
    assert answer.content[0].text == scenario.answer
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == 10


def test_stream(client, scenario):
    with client.messages.stream(**ask(scenario, "Hello!")) as stream:
        assert "".join(stream.text_stream) == scenario.greeting
        assert stream.get_final_message().content[0].text == scenario.greeting


def test_tools(client, scenario):
    request = ask(scenario, scenario.weather_question, tools=[tool(scenario)])
    asked = client.messages.create(**request)
    assert asked.stop_reason == "tool_use"
    call = next(block for block in asked.content if block.type == "tool_use")
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": scenario.weather_result}
    request["messages"] += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    assert client.messages.create(**request).content[0].text == scenario.weather_answer


def test_streamed_call(client, scenario):
    with client.messages.stream(**ask(scenario, scenario.weather_question, tools=[tool(scenario)])) as stream:
        message = stream.get_final_message()
    assert [block.input for block in message.content if block.type == "tool_use"] == [{"city": "Paris"}]


def test_forced_call(client, scenario):
    choice = {"type": "tool", "name": "get_weather"}
    answer = client.messages.create(**ask(scenario, scenario.story, tools=[tool(scenario)], tool_choice=choice))
    assert isinstance(answer.content[-1].input["city"], str)


def test_structured_output(client, scenario):
    answer = client.messages.parse(**ask(scenario, scenario.person), output_format=Person)
    assert answer.parsed_output == Person(name="Maria", age=34, city="Oslo")


def test_thinking(client, scenario):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    request = ask(scenario, scenario.sum, thinking=thinking, max_tokens=2000)
    with client.messages.stream(**request) as stream:
        kinds = [block.type for block in stream.get_final_message().content]
    assert kinds == ["thinking", "text"]


def test_count_tokens(client, scenario):
    request = ask(scenario, scenario.question)
    counted = client.messages.count_tokens(model=request["model"], messages=request["messages"])
    assert counted.input_tokens == client.messages.create(**request).usage.input_tokens


def test_errors(client, scenario):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(**ask(scenario, "word " * 6000))
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**{**ask(scenario, "Hello!"), "model": "claude-3"})


def test_abort(client, scenario):
    request = ask(scenario, scenario.story, max_tokens=3000, extra_body={"ignore_eos": True})
    with client.messages.stream(**request) as stream:
        for _, _event in zip(range(5), stream):
            pass
    scenario.wait_until_idle()
