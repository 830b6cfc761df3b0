import type { FinishReason, GeneratedToken, GenerationChunk, InferenceServer } from "../engine/request.ts";

/** Output that can be shown: text, and with logprobs the tokens that make it. */
export interface OutputPiece {
  text: string;
  tokens: GeneratedToken[];
  finishReason: FinishReason | null;
  /** In the last piece: the stop string that ended the output; null: none did. */
  stopString: string | null;
}

/**
 * Turns the engine's chunks into pieces, or null while nothing can be shown. With logprobs, tokens whose text is still held
 * back wait for it, so that the token list always spells the text; those that only ended the output are left out.
 */
export function createGrouper(server: InferenceServer, withTokens: boolean): (chunk: GenerationChunk) => OutputPiece | null {
  let waiting: GeneratedToken[] = [];
  return ({ text, tokens, finishReason, stopString = null }) => {
    if (withTokens) waiting = waiting.length === 0 ? tokens : [...waiting, ...tokens];
    if (text === "" && finishReason === null) return null;
    const shown = finishReason === "stop" ? withoutEnd(server, text, waiting) : waiting;
    waiting = [];
    return { text, tokens: withTokens ? shown : [], finishReason, stopString };
  };
}

/** Drops the last tokens as long as the text does not end with them: end tokens and parts of a stop string. */
function withoutEnd(server: InferenceServer, text: string, tokens: GeneratedToken[]): GeneratedToken[] {
  const shown = Buffer.from(text);
  let count = text === "" ? 0 : tokens.length;
  while (count > 0) {
    const bytes = server.tokenBytes(tokens[count - 1]!.id);
    if (bytes.length > 0 && shown.subarray(-bytes.length).equals(bytes)) break;
    count--;
  }
  return tokens.slice(0, count);
}
