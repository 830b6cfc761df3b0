/** Requests that work on the embedded model as they stand, by operation; Swagger UI fills them in. */
export const requestExamples: Readonly<Record<string, Record<string, { summary: string; value: object }>>> = {
  createChatCompletion: {
    chat: {
      summary: "A question",
      value: {
        model: "tiny-chat",
        messages: [{ role: "user", content: "What is the capital of France?" }],
        max_tokens: 64,
        temperature: 0,
      },
    },
    stream: {
      summary: "Streamed, with token counts at the end",
      value: {
        model: "tiny-chat",
        messages: [
          { role: "system", content: "You are a helpful assistant." },
          { role: "user", content: "Tell me a short story." },
        ],
        max_tokens: 64,
        stream: true,
        stream_options: { include_usage: true },
      },
    },
  },
  createCompletion: {
    text: {
      summary: "A text to continue",
      value: { model: "tiny-chat", prompt: "Once upon a time", max_tokens: 32, temperature: 0 },
    },
    choices: {
      summary: "Two choices for each of two prompts",
      value: { prompt: ["The sun", "The moon"], n: 2, max_tokens: 16, seed: 1 },
    },
  },
};
