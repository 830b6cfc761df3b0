"""OpenAI's SDK for Python."""

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int
    city: str


MARIA = Person(name="Maria", age=34, city="Oslo")


@pytest.fixture
def client(scenario):
    return openai.OpenAI(base_url=scenario.base_url, api_key="any", max_retries=0)


def ask(scenario, text, **more):
    return {"model": scenario.model, "messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def test_chat(client, scenario):
    answer = client.chat.completions.create(**ask(scenario, scenario.question))
    assert answer.choices[0].message.content == scenario.answer
    assert answer.usage.completion_tokens == 10


def test_many_at_once(scenario):
    async def run():
        client = openai.AsyncOpenAI(base_url=scenario.base_url, api_key="any", max_retries=0)
        answers = await asyncio.gather(*(client.chat.completions.create(**ask(scenario, scenario.question)) for _ in range(16)))
        return {answer.choices[0].message.content for answer in answers}

    assert asyncio.run(run()) == {scenario.answer}


def test_stream(client, scenario):
    chunks = list(client.chat.completions.create(**ask(scenario, "Hello!"), stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == scenario.greeting
    assert chunks[-1].usage.total_tokens > 20
    with client.chat.completions.stream(**ask(scenario, "Hello!")) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.content == scenario.greeting
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_tools(client, scenario):
    request = ask(scenario, scenario.weather_question, tools=[scenario.weather_tool])
    message = client.chat.completions.create(**request).choices[0].message
    call = message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call.id, "content": scenario.weather_result}
    request["messages"] += [message.model_dump(), result]
    assert client.chat.completions.create(**request).choices[0].message.content == scenario.weather_answer


def test_streamed_call(client, scenario):
    request = ask(scenario, scenario.weather_question, tools=[scenario.weather_tool])
    with client.chat.completions.stream(**request) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, json.loads(event.arguments)) for event in done] == [("get_weather", {"city": "Paris"})]


def test_structured_output(client, scenario):
    answer = client.chat.completions.parse(**ask(scenario, scenario.person), response_format=Person)
    assert answer.choices[0].message.parsed == MARIA


def test_strict_tool(client, scenario):
    tool = openai.pydantic_function_tool(Person, name="save_person")
    request = ask(scenario, scenario.person, tools=[tool], tool_choice="required", max_tokens=300)
    call = client.chat.completions.parse(**request).choices[0].message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, Person)


def test_reasoning(client, scenario):
    request = ask(scenario, scenario.sum, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
    answer = client.chat.completions.create(**request)
    assert len(answer.choices[0].message.reasoning_content) > 5
    assert "think>" not in answer.choices[0].message.content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 5


def test_responses(client, scenario):
    request = {"model": scenario.model, "temperature": 0}
    first = client.responses.create(**request, input=scenario.question)
    assert first.output_text == scenario.answer
    with client.responses.stream(**request, input="Hello!") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert text == stream.get_final_response().output_text == scenario.greeting
    parsed = client.responses.parse(**request, input=scenario.person, text_format=Person)
    assert parsed.output_parsed == MARIA
    assert client.responses.retrieve(first.id).output_text == scenario.answer
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_embeddings(client, scenario):
    data = client.embeddings.create(model=scenario.model, input=["one", "two"]).data
    assert [len(one.embedding) for one in data] == [192, 192]


def test_files_and_batches(client, scenario):
    body = ask(scenario, scenario.question)
    lines = [{"custom_id": f"n{i}", "method": "POST", "url": "/v1/chat/completions", "body": body} for i in range(3)]
    file = client.files.create(file=("in.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    scenario.wait_until_idle()
    while batch.status not in ("completed", "failed"):
        batch = client.batches.retrieve(batch.id)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert {line["custom_id"] for line in answers} == {"n0", "n1", "n2"}
    texts = {line["response"]["body"]["choices"][0]["message"]["content"] for line in answers}
    assert texts == {scenario.answer}


def test_errors(client, scenario):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{**ask(scenario, "Hello!"), "temperature": 9})
    assert refused.value.body["param"] == "temperature"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**ask(scenario, "Hello!"), "model": "gpt-5"})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**ask(scenario, "word " * 6000))
    assert refused.value.code == "context_length_exceeded"


def test_abort(client, scenario):
    stream = client.chat.completions.create(**ask(scenario, scenario.story), stream=True, extra_body={"ignore_eos": True})
    for _, _chunk in zip(range(5), stream):
        pass
    stream.close()
    scenario.wait_until_idle()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.1).chat.completions.create(**ask(scenario, scenario.story, extra_body={"ignore_eos": True}))
    scenario.wait_until_idle()
