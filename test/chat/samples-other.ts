/** Calls in notations of their own, and formats with messages. */
import { paris, rome, type Sample } from "./sample.ts";

export const otherSamples: readonly Sample[] = [
  {
    title: "gemma 4: nested values, reasoning in a channel",
    toolParser: "gemma4",
    reasoningParser: "gemma4",
    text: '<|channel>thought\nLook.\n<channel|><|tool_call>call:get_weather{at:{lat:48.8,<|"|>k y<|"|>:[<|"|>a,}b<|"|>,true,null]},city:<|"|>Paris "x"<|"|>,days:3}<tool_call|><|tool_call>call:now{}<tool_call|>',
    reasoning: "Look.",
    calls: [
      ["get_weather", { at: { lat: 48.8, "k y": ["a,}b", true, null] }, city: 'Paris "x"', days: 3 }],
      ["now", {}],
    ],
  },
  {
    title: "functiongemma",
    toolParser: "functiongemma",
    text: "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:3}<end_function_call>",
    calls: [paris],
  },
  {
    title: "gemma 3: a fenced block",
    toolParser: "gemma3",
    text: 'Wait.\n```tool_code\nget_weather(city="Paris", days=3)\n```',
    content: "Wait.",
    calls: [paris],
  },
  {
    title: "gemma 3: a list",
    toolParser: "gemma3",
    text: '[get_weather(city="Paris", days=3)]',
    calls: [paris],
  },
  {
    title: "pythonic: a list with every kind of value",
    toolParser: "pythonic",
    text: '[get_weather(city=\'Par\\\'is\\n\', days=1_000, at={\'lat\': -.5, "x": (1, 2,)}, tags=["a", """b"c"""], limit=None, detailed=True), now()]',
    calls: [
      [
        "get_weather",
        { city: "Par'is\n", days: 1000, at: { lat: -0.5, x: [1, 2] }, tags: ["a", 'b"c'], limit: null, detailed: true },
      ],
      ["now", {}],
    ],
  },
  {
    title: "pythonic: between marks",
    toolParser: "pythonic",
    text: '<|python_start|>[get_weather(city="Rome")]<|python_end|>',
    calls: [rome],
  },
  {
    title: "pythonic: JSON after all",
    toolParser: "pythonic",
    text: '{"name": "get_weather", "parameters": {"city": "Rome"}}',
    calls: [rome],
  },
  {
    title: "lfm2",
    toolParser: "lfm2",
    text: '<|tool_call_start|>[get_weather(city="Paris", days=3)]<|tool_call_end|>Checking.',
    content: "Checking.",
    calls: [paris],
  },
  {
    title: "minicpm 3: in a fence",
    toolParser: "lfm2",
    reasoningParser: "minicpm3",
    text: '<|thought_start|>\nHm.\n<|thought_end|>\n<|tool_call_start|>\n```python\nget_weather(city="Rome")\n```\n<|tool_call_end|>',
    reasoning: "Hm.",
    calls: [rome],
  },
  {
    title: "olmo 3: one call a line",
    toolParser: "olmo3",
    text: '<function_calls>\nget_weather(city="Paris", days=3)\nget_weather(city="Rome")\n</function_calls>',
    calls: [paris, rome],
  },
  {
    title: "harmony: reasoning, a preamble, a call",
    toolParser: "harmony",
    prompt: "<|start|>user<|message|>hi<|end|><|start|>assistant",
    text: '<|channel|>analysis<|message|>Need the weather.<|end|><|start|>assistant<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris", "days": 3}<|call|>',
    reasoning: "Need the weather.",
    content: "Let me look.",
    calls: [paris],
  },
  {
    title: "harmony: the recipient in the role, two blocks of reasoning",
    toolParser: "harmony",
    prompt: "<|start|>assistant",
    text: '<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary<|constrain|>json<|message|>{"city":"Rome"}',
    reasoning: "One.\nTwo.",
    calls: [rome],
  },
  {
    title: "harmony: an answer",
    toolParser: "harmony",
    prompt: "<|start|>assistant",
    text: "<|channel|>analysis<|message|>Simple.<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4.\n\nDone.<|return|>",
    reasoning: "Simple.",
    content: "2 + 2 = 4.\n\nDone.",
  },
  {
    title: "harmony: a message that the prompt has begun",
    toolParser: "harmony",
    prompt: "<|start|>assistant<|channel|>analysis<|message|>",
    text: "Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
    reasoning: "Hm.",
    content: "Yes.",
  },
];
