/** What can be seen at a request alone, refused before anything is computed. */
import { InvalidRequest } from "../errors.ts";
import type { GenerationRequest } from "./request.ts";

export interface RequestLimits {
  contextLength: number;
  vocabSize: number;
  /** Whether a sequence of this length could be held when it were alone. */
  fitsAlone(length: number): boolean;
}

/** Throws `InvalidRequest`. */
export function checkRequest({ promptTokens, maxTokens, logprobs }: GenerationRequest, limits: RequestLimits): void {
  const { contextLength, vocabSize } = limits;
  const length = promptTokens.length;
  if (length === 0) throw new InvalidRequest("The prompt has no tokens.", "prompt");
  if (maxTokens !== null && !(maxTokens >= 0)) throw new InvalidRequest(`${maxTokens} is no number of tokens.`, "max_tokens");
  if (logprobs !== null && !(Number.isInteger(logprobs) && logprobs >= 0)) {
    throw new InvalidRequest(`${logprobs} is no number of log-probabilities.`, "logprobs");
  }
  if (length > contextLength || (length === contextLength && maxTokens !== 0)) {
    throw new InvalidRequest(
      `This model's maximum context length is ${contextLength} tokens, but the prompt has ${length}.`,
      "messages",
      "context_length_exceeded",
    );
  }
  if (promptTokens.some((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize))) {
    throw new InvalidRequest(`The prompt has token ids outside of the vocabulary of ${vocabSize}.`, "prompt");
  }
  if (maxTokens !== 0 && !limits.fitsAlone(length + 1)) {
    throw new InvalidRequest(`The prompt's ${length} tokens do not fit into the memory of this server.`, "messages");
  }
}
