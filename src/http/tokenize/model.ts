import * as v from "valibot";
import { ChatCompletionRequest } from "../chat/model.ts";
import { count, flag, model } from "../fields.ts";

const { messages, tools, tool_choice, chat_template_kwargs } = ChatCompletionRequest.pipe[0].entries;
const { reasoning_effort, enable_thinking, reasoning, thinking_budget, verbosity } = ChatCompletionRequest.pipe[0].entries;

/** What the chat template makes of a conversation, the same fields as in chat completions. */
const templateEntries = {
  tools,
  tool_choice,
  chat_template_kwargs,
  reasoning_effort,
  enable_thinking,
  reasoning,
  thinking_budget,
  verbosity,
  add_generation_prompt: flag("End with the beginning of the assistant's turn. Default: true."),
};

export const ApplyTemplateRequest = v.pipe(
  v.object({ messages, model, ...templateEntries }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type ApplyTemplateRequest = v.InferOutput<typeof ApplyTemplateRequest>;

export const ApplyTemplateResponse = v.object({ prompt: v.string() });

const textField = (description: string) => v.nullish(v.pipe(v.string(), v.description(description)));

export const TokenizeRequest = v.pipe(
  v.object({
    content: textField("The text, as llama.cpp's server calls it."),
    prompt: textField("The text, as vLLM calls it."),
    text: textField("The text. Exactly one of `content`, `prompt`, `text` and `messages` is given."),
    messages: v.nullish(messages),
    model,
    add_special: flag("Add the model's special tokens, as completions do. Default with `content`: false."),
    add_special_tokens: flag("The same, as vLLM calls it. Default: true, but false with `content` and `messages`."),
    parse_special: v.nullish(
      v.pipe(
        v.literal(true, "special tokens in a text are always recognised: only true is supported."),
        v.description("Not supported: only true, which changes nothing; special tokens in a text are always recognised."),
      ),
    ),
    with_pieces: flag("Give each token as an object with its `id` and `piece`."),
    return_token_strs: flag("Give the tokens' texts in `token_strs` too."),
    ...templateEntries,
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type TokenizeRequest = v.InferOutput<typeof TokenizeRequest>;

const Piece = v.object({
  id: count,
  piece: v.pipe(
    v.union([v.string(), v.array(count)]),
    v.description("The token's text; its bytes where they are no whole characters."),
  ),
});

export const TokenizeResponse = v.object({
  tokens: v.pipe(v.union([v.array(count), v.array(Piece)]), v.description("Ids, or objects with `with_pieces`.")),
  count,
  max_model_len: v.pipe(count, v.description("Tokens that the model takes.")),
  token_strs: v.optional(v.array(v.string())),
});
export type TokenizeResponse = v.InferOutput<typeof TokenizeResponse>;

export const DetokenizeRequest = v.pipe(
  v.object({
    tokens: v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0))), v.description("Token ids.")),
    model,
    skip_special_tokens: flag("Leave special tokens out. Default: false."),
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type DetokenizeRequest = v.InferOutput<typeof DetokenizeRequest>;

export const DetokenizeResponse = v.pipe(
  v.object({ content: v.string(), prompt: v.string() }),
  v.description("The same text under the names of llama.cpp's server and vLLM."),
);
export type DetokenizeResponse = v.InferOutput<typeof DetokenizeResponse>;
