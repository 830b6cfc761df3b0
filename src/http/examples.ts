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
    tools: {
      summary: "A question that needs a tool",
      value: {
        model: "tiny-chat",
        messages: [{ role: "user", content: "What is the weather in Paris?" }],
        tools: [
          {
            type: "function",
            function: {
              name: "get_weather",
              description: "Current weather in a city",
              parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
            },
          },
        ],
        temperature: 0,
      },
    },
    schema: {
      summary: "An answer that satisfies a schema",
      value: {
        model: "tiny-chat",
        messages: [{ role: "user", content: "Give me a JSON object for a person named Maria aged 34 living in Oslo." }],
        response_format: {
          type: "json_schema",
          json_schema: {
            name: "person",
            strict: true,
            schema: {
              type: "object",
              properties: {
                name: { type: "string", maxLength: 20 },
                age: { type: "integer", minimum: 0, maximum: 150 },
                city: { type: "string", maxLength: 20 },
              },
              required: ["name", "age", "city"],
              additionalProperties: false,
            },
          },
        },
        max_tokens: 64,
        temperature: 0,
      },
    },
    reasoning: {
      summary: "With reasoning, at most 16 tokens of it",
      value: {
        model: "tiny-chat",
        messages: [{ role: "user", content: "What is 2 + 2?" }],
        enable_thinking: true,
        thinking_budget: 16,
        temperature: 0,
      },
    },
  },
  createMessage: {
    message: {
      summary: "A question",
      value: {
        model: "tiny-chat",
        max_tokens: 64,
        messages: [{ role: "user", content: "What is the capital of France?" }],
        temperature: 0,
      },
    },
    stream: {
      summary: "Streamed, with a system prompt",
      value: {
        model: "tiny-chat",
        max_tokens: 64,
        system: [{ type: "text", text: "You are a helpful assistant.", cache_control: { type: "ephemeral" } }],
        messages: [{ role: "user", content: [{ type: "text", text: "Tell me a short story." }] }],
        stream: true,
      },
    },
    tool: {
      summary: "A question that needs a tool, for Anthropic's clients",
      value: {
        model: "tiny-chat",
        max_tokens: 128,
        messages: [{ role: "user", content: "What is the weather in Paris?" }],
        tools: [
          {
            name: "get_weather",
            description: "Current weather in a city",
            input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
          },
        ],
        temperature: 0,
      },
    },
  },
  countMessageTokens: {
    message: {
      summary: "A question",
      value: { model: "tiny-chat", messages: [{ role: "user", content: "What is the capital of France?" }] },
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
    pattern: {
      summary: "A text that matches a pattern, with log-probabilities",
      value: { prompt: "Today is", guided_regex: " [A-Z][a-z]{2,8}day", max_tokens: 16, temperature: 0, logprobs: 2 },
    },
  },
  createResponse: {
    text: {
      summary: "A question",
      value: { model: "tiny-chat", input: "What is the capital of France?", max_output_tokens: 64, temperature: 0 },
    },
    stream: {
      summary: "Items, streamed and not kept",
      value: {
        model: "tiny-chat",
        instructions: "You are a helpful assistant.",
        input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "Tell me a short story." }] }],
        max_output_tokens: 64,
        stream: true,
        store: false,
      },
    },
    schema: {
      summary: "An answer that satisfies a schema",
      value: {
        input: "Name a city and its country.",
        max_output_tokens: 64,
        text: {
          format: {
            type: "json_schema",
            name: "place",
            schema: {
              type: "object",
              properties: { city: { type: "string", maxLength: 20 }, country: { type: "string", maxLength: 20 } },
              required: ["city", "country"],
              additionalProperties: false,
            },
          },
        },
      },
    },
  },
  countInputTokens: { text: { summary: "A question", value: { input: "What is the capital of France?" } } },
  compactResponse: {
    chat: {
      summary: "A short conversation",
      value: {
        model: "tiny-chat",
        input: [
          { role: "user", content: "What is the capital of France?" },
          { role: "assistant", content: "Paris." },
        ],
      },
    },
  },
  createEmbedding: {
    texts: {
      summary: "Two texts",
      value: { input: ["What is the capital of France?", "Paris is the capital of France."] },
    },
    base64: {
      summary: "One text, as bytes",
      value: { input: "The sun", encoding_format: "base64" },
    },
  },
  createBatch: {
    chat: {
      summary: "The requests of a file; its id is what the upload was answered with",
      value: { input_file_id: "file-…", endpoint: "/v1/chat/completions", completion_window: "24h" },
    },
  },
  tokenize: {
    text: {
      summary: "A text, with what each token stands for",
      value: { content: "What is the capital of France?", with_pieces: true },
    },
    chat: { summary: "A conversation", value: { messages: [{ role: "user", content: "What is the capital of France?" }] } },
  },
  detokenize: { ids: { summary: "Some ids", value: { tokens: [84, 104, 101] } } },
  applyTemplate: {
    chat: {
      summary: "A conversation",
      value: {
        messages: [
          { role: "system", content: "You are a helpful assistant." },
          { role: "user", content: "What is the capital of France?" },
        ],
      },
    },
  },
};
