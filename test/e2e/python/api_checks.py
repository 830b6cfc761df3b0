"""What schemathesis cannot know of this API by itself."""

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.generation import GenerationMode

# Without a limit a request generates until the context is full: nothing is learnt from it, and time is lost.
LIMITS = {"/v1/chat/completions": "max_tokens", "/v1/completions": "max_tokens", "/v1/responses": "max_output_tokens"}

# Of these an answer can be held to one at a time.
STRUCTURES = ("response_format", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "regex", "ebnf", "structured_outputs")

# Random values of these name things that there are not, or texts that are no grammars.
NAMES = ("previous_response_id", "logit_bias", "guided_grammar", "guided_regex", "ebnf", "regex", "structured_outputs", "guided_json")


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes sense of random bodies that satisfy their schemas, or nearly all would be refused for one field of many."""
    body = case.body
    if not is_positive(case) or case.meta.phase.name.value != "fuzzing" or case.media_type != "application/json":
        return
    body = {name: value for name, value in body.items() if name not in NAMES}
    if "model" in body:
        body["model"] = "tiny-chat"
    if case.path == "/v1/chat/completions" and not body.get("logprobs"):
        body.pop("top_logprobs", None)
    if case.path.startswith("/v1/responses") and body.get("input") is None:
        body["input"] = "Hello!"
    if not body.get("stream"):
        body.pop("stream_options", None)
    if not body.get("tools"):
        body.pop("tool_choice", None)
    if "best_of" in body:
        body["best_of"] = 1
    for name in [name for name in STRUCTURES if body.get(name) is not None][1:]:
        del body[name]
    if case.path in LIMITS:
        body[LIMITS[case.path]] = 8
    case.body = body


@schemathesis.check
def refusal_says_why(ctx, response, case):
    """A body that satisfies the schema is refused with the parameter's name; Anthropic's errors have no place for it."""
    if response.status_code != 400 or case.body is NOT_SET or not is_positive(case):
        return
    error = response.json()["error"]
    assert len(error["message"]) > 10, error
    if "/v1/messages" not in case.path:
        assert error["param"] or case.path == "/v1/files", error
