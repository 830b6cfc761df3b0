import type { Output } from "./output.ts";
import type { Generation, GenerationChunk } from "./request.ts";
import type { Sequence } from "./sequence.ts";

/** What the caller holds of a running request. `leave`: called when nobody reads any more. */
export function openGeneration(sequence: Sequence, output: Output, cancel: () => void, leave: () => void): Generation {
  return {
    id: sequence.id,
    promptTokenCount: sequence.prompt.length,
    get completionTokenCount() {
      return sequence.output.length;
    },
    get cachedTokenCount() {
      return sequence.cachedTokens;
    },
    times: sequence.times,
    cancel,
    async *[Symbol.asyncIterator](): AsyncGenerator<GenerationChunk> {
      try {
        for (;;) {
          const chunk = await output.next();
          if (chunk === null) return;
          yield chunk;
          if (chunk.finishReason !== null) return;
        }
      } finally {
        leave();
        cancel();
      }
    },
  };
}
