import { InvalidRequest } from "../../errors.ts";
import { toTemplateMessages } from "../chat/messages.ts";
import { readTemplateVariables } from "../chat/template-variables.ts";
import { readToolOffer } from "../chat/tools.ts";
import { findFormat } from "../chat-format.ts";
import type { HttpContext } from "../context.ts";
import { chooseModel } from "../models/service.ts";
import { showToken } from "../token-text.ts";
import type { ApplyTemplateRequest, DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse } from "./model.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The prompt that chat completions would make of a conversation. */
export async function applyTemplate(context: HttpContext, body: ApplyTemplateRequest): Promise<string> {
  chooseModel(context, body.model);
  const { syntax } = await findFormat(context);
  return context.server.renderChat(toTemplateMessages(body.messages, syntax), {
    tools: readToolOffer(body).shown,
    kwargs: readTemplateVariables(body),
    ...(body.add_generation_prompt != null && { addGenerationPrompt: body.add_generation_prompt }),
  });
}

/** Throws `InvalidRequest` unless there is exactly one text or conversation. */
export async function tokenizeText(context: HttpContext, body: TokenizeRequest): Promise<TokenizeResponse> {
  const { server } = context;
  chooseModel(context, body.model);
  const { text, addsSpecialTokens } = await readSource(context, body);
  const ids = await server.encode(text.toWellFormed(), {
    addSpecialTokens: body.add_special_tokens ?? body.add_special ?? addsSpecialTokens,
  });
  return {
    tokens: body.with_pieces ? ids.map((id) => ({ id, piece: showPiece(server.tokenBytes(id)) })) : ids,
    count: ids.length,
    max_model_len: server.model.contextLength,
    ...(body.return_token_strs && { token_strs: ids.map((id) => showToken(server, id).token) }),
  };
}

export function detokenizeIds(context: HttpContext, body: DetokenizeRequest): DetokenizeResponse {
  const { server } = context;
  chooseModel(context, body.model);
  const { vocabSize } = server.model;
  const wrong = body.tokens.findIndex((id) => id >= vocabSize);
  if (wrong >= 0) {
    const message = `${body.tokens[wrong]} is not a token id (0 to ${vocabSize - 1}).`;
    throw new InvalidRequest(message, `tokens.${wrong}`, "invalid_value");
  }
  const text = server.decode(body.tokens, { skipSpecialTokens: body.skip_special_tokens ?? false });
  return { content: text, prompt: text };
}

/** The text, and whether special tokens are added to such by default. */
async function readSource(context: HttpContext, body: TokenizeRequest): Promise<{ text: string; addsSpecialTokens: boolean }> {
  const names = (["content", "prompt", "text", "messages"] as const).filter((name) => body[name] != null);
  if (names.length !== 1) {
    const found = names.length === 0 ? "none of them" : names.map((name) => `'${name}'`).join(" and ");
    const message = `Exactly one of 'content', 'prompt', 'text' and 'messages' is needed, not ${found}.`;
    throw new InvalidRequest(message, names[1] ?? "content", names.length === 0 ? "missing_required_parameter" : "invalid_value");
  }
  const { messages } = body;
  if (messages != null) return { text: await applyTemplate(context, { ...body, messages }), addsSpecialTokens: false };
  return { text: body.content ?? body.prompt ?? body.text ?? "", addsSpecialTokens: body.content == null };
}

function showPiece(bytes: Uint8Array): string | number[] {
  try {
    return strict.decode(bytes);
  } catch {
    return [...bytes];
  }
}
