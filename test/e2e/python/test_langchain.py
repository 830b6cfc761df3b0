"""LangChain's ChatOpenAI."""

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import BadRequestError
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int
    city: str


def create(scenario, **more):
    settings = {"model": scenario.model, "base_url": scenario.base_url, "api_key": "any", "temperature": 0, "max_retries": 0}
    return ChatOpenAI(**{**settings, **more})


def test_chat(scenario):
    answer = create(scenario).invoke(scenario.question)
    assert answer.content == scenario.answer
    assert answer.usage_metadata["output_tokens"] == 10
    answers = create(scenario).batch([scenario.question] * 8)
    assert {one.content for one in answers} == {scenario.answer}


def test_stream(scenario):
    assert "".join(chunk.content for chunk in create(scenario).stream("Hello!")) == scenario.greeting


def test_tools(scenario):
    model = create(scenario).bind_tools([scenario.weather_tool])
    question = HumanMessage(scenario.weather_question)
    asked = model.invoke([question])
    call = asked.tool_calls[0]
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result = ToolMessage(content=scenario.weather_result, tool_call_id=call["id"])
    assert model.invoke([question, asked, result]).content == scenario.weather_answer


def test_structured_output(scenario):
    maria = Person(name="Maria", age=34, city="Oslo")
    assert create(scenario).with_structured_output(Person, method="json_schema").invoke(scenario.person) == maria
    by_function = create(scenario, max_tokens=300).with_structured_output(Person, method="function_calling")
    assert isinstance(by_function.invoke(scenario.person), Person)


def test_reasoning(scenario):
    model = create(scenario, extra_body={"enable_thinking": True})
    answer = model.invoke(scenario.sum)
    assert "think>" not in answer.content
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 5


def test_responses(scenario):
    answer = create(scenario, use_responses_api=True).invoke(scenario.question)
    assert answer.text == scenario.answer


def test_embeddings(scenario):
    # Otherwise the client makes tokens of OpenAI's vocabulary.
    embeddings = OpenAIEmbeddings(model=scenario.model, base_url=scenario.base_url, api_key="any", check_embedding_ctx_length=False)
    assert [len(vector) for vector in embeddings.embed_documents(["one", "two"])] == [192, 192]


def test_errors(scenario):
    with pytest.raises(BadRequestError) as refused:
        create(scenario, temperature=9).invoke("Hello!")
    assert refused.value.body["param"] == "temperature"


def test_abort(scenario):
    stream = create(scenario, extra_body={"ignore_eos": True}).stream(scenario.story)
    for _, _chunk in zip(range(5), stream):
        pass
    stream.close()
    scenario.wait_until_idle()
