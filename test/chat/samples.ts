/** Outputs of every family, written after the families' own chat templates and documentation, with what they mean. */
import type { Family } from "./parse.ts";

export interface Sample extends Family {
  title: string;
  text: string;
  content?: string;
  reasoning?: string;
  calls?: [name: string, args: unknown][];
  ids?: string[];
}

const paris: [string, unknown] = ["get_weather", { city: "Paris", days: 3 }];
const rome: [string, unknown] = ["get_weather", { city: "Rome" }];
const code = 'if (a < b && c > "d") {\n\treturn `</x>`;\n}\n// 🙂\\n';

const json: Sample[] = [
  {
    title: "hermes: a call after a sentence",
    toolParser: "hermes",
    text: 'Let me look.\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>',
    content: "Let me look.",
    calls: [paris],
  },
  {
    title: "hermes: two calls, one in another order and with a string of JSON",
    toolParser: "hermes",
    text: '<tool_call>{"arguments": {"city": "Paris", "days": 3}, "name": "get_weather"}</tool_call>\n<tool_call>\n{"name": "get_weather", "arguments": "{\\"city\\": \\"Rome\\"}"}\n</tool_call>',
    calls: [paris, rome],
  },
  {
    title: "hermes: control characters, stray backslashes and Python's words are made valid",
    toolParser: "hermes",
    text: '<tool_call>{"name": "write_file", "arguments": {"path": "C:\\dir\\u00e9", "text": "a\n\tb \\"q\\" \\\'", "x": [True, None, -1.5e3, {}, []]}}</tool_call>',
    calls: [["write_file", { path: "C:\\dir\u00e9", text: 'a\n\tb "q" \'', x: [true, null, -1500, {}, []] }]],
  },
  {
    title: "hermes: no arguments, more keys, several objects, no end",
    toolParser: "hermes",
    text: '<tool_call>{"id": "x1", "name": "now", "meta": {"a": [1]}}\n{"name": "now", "arguments": null}',
    calls: [
      ["now", {}],
      ["now", {}],
    ],
    ids: ["x1", "id-0"],
  },
  {
    title: "llama: a call without a mark",
    toolParser: "llama3_json",
    text: '{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}',
    calls: [paris],
  },
  {
    title: "llama: calls after the tag, divided by semicolons",
    toolParser: "llama3_json",
    text: '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}; {"type": "function", "name": "get_weather", "parameters": {"city": "Rome"}}',
    calls: [paris, rome],
  },
  {
    title: "llama: a built-in tool, and a function in a tag",
    toolParser: "llama3_json",
    text: '<|python_tag|>get_weather(city="Rome")<function=get_weather>{"city": "Paris", "days": 3}</function>',
    calls: [rome, paris],
  },
  {
    title: "mistral: a list with ids",
    toolParser: "mistral",
    text: '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}, "id": "abcdefghi"}, {"name": "get_weather", "arguments": {"city": "Rome"}}]',
    calls: [paris, rome],
    ids: ["id-0", "id-1"],
  },
  {
    title: "mistral: names and arguments set apart",
    toolParser: "mistral",
    text: 'Sure. [TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 3}[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{"city": "Rome"}',
    content: "Sure.",
    calls: [paris, rome],
    ids: ["id-0", "abcdefghi"],
  },
  {
    title: "deepseek v3: fenced JSON",
    toolParser: "deepseek_v3",
    text: '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris", "days": 3}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    calls: [paris, rome],
  },
  {
    title: "deepseek v3.1: plain JSON",
    toolParser: "deepseek_v31",
    text: 'Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris", "days": 3}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Rome"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    content: "Ok.",
    calls: [paris, rome],
  },
  {
    title: "kimi k2: ids of its own",
    toolParser: "kimi_k2",
    text: '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris", "days": 3}<|tool_call_end|><|tool_call_begin|>functions.get_weather:1<|tool_call_argument_begin|>{"city": "Rome"}<|tool_call_end|><|tool_calls_section_end|>',
    calls: [paris, rome],
    ids: ["functions.get_weather:0", "functions.get_weather:1"],
  },
  {
    title: "minimax m1: one object a line",
    toolParser: "minimax",
    text: '<tool_calls>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_calls>',
    calls: [paris, rome],
  },
  {
    title: "granite 3: a list after a mark",
    toolParser: "granite",
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]',
    calls: [rome],
  },
  {
    title: "phi 4: a list between marks",
    toolParser: "phi4",
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]<|/tool_call|>',
    calls: [rome],
  },
  {
    title: "nemotron: a list between marks",
    toolParser: "nemotron",
    text: '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Rome"}}]</TOOLCALL>',
    calls: [rome],
  },
  {
    title: "cohere: other keys",
    toolParser: "cohere",
    reasoningParser: "cohere",
    text: '<|START_THINKING|>I will look.<|END_THINKING|><|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Rome"}}\n]<|END_ACTION|>',
    reasoning: "I will look.",
    calls: [rome],
    ids: ["0"],
  },
  {
    title: "internlm: one object",
    toolParser: "internlm",
    text: 'I will.<|action_start|><|plugin|>\n{"name": "get_weather", "parameters": {"city": "Rome"}}<|action_end|>',
    content: "I will.",
    calls: [rome],
  },
];

const tagged: Sample[] = [
  {
    title: "qwen3_coder: types from the schema",
    toolParser: "qwen3_coder",
    text: '<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=detailed>\nTrue\n</parameter>\n<parameter=unit>\nC\n</parameter>\n<parameter=at>\n{"lat": 48.8}\n</parameter>\n<parameter=tags>\n[\'a\', "b"]\n</parameter>\n<parameter=limit>\nnull\n</parameter>\n</function>\n</tool_call>',
    calls: [
      ["get_weather", { city: "Paris", days: 3, detailed: true, unit: "C", at: { lat: 48.8 }, tags: ["a", "b"], limit: null }],
    ],
  },
  {
    title: "qwen3_coder: text of any kind, two calls, a forgotten mark",
    toolParser: "qwen3_coder",
    text: `Writing.\n<tool_call>\n<function=write_file>\n<parameter=path>\n42\n</parameter>\n<parameter=text>\n${code}\n</parameter>\n</function>\n</tool_call>\n<function=now>\n</function>`,
    content: "Writing.",
    calls: [
      ["write_file", { path: "42", text: code }],
      ["now", {}],
    ],
  },
  {
    title: "seed_oss: other marks",
    toolParser: "seed_oss",
    reasoningParser: "seed_oss",
    text: "<seed:think>Hm.</seed:think><seed:tool_call>\n<function=get_weather>\n<parameter=city>Rome</parameter>\n</function>\n</seed:tool_call>",
    reasoning: "Hm.",
    calls: [rome],
  },
  {
    title: "glm 4.5: on lines",
    toolParser: "glm",
    reasoningParser: "think",
    text: "\n<think>Look it up.</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>",
    reasoning: "Look it up.",
    calls: [paris, ["now", {}]],
  },
  {
    title: "glm 4.7: without lines, a string as it stands",
    toolParser: "glm",
    text: `<tool_call>write_file<arg_key>text</arg_key><arg_value>${code}</arg_value><arg_key>path</arg_key><arg_value> a </arg_value></tool_call>`,
    calls: [["write_file", { text: code, path: " a " }]],
  },
  {
    title: "glm: JSON after all",
    toolParser: "glm",
    text: '<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>',
    calls: [rome],
  },
  {
    title: "longcat: tags with a prefix",
    toolParser: "longcat",
    reasoningParser: "longcat",
    text: "<longcat_think>\nok\n</longcat_think>\n<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Rome</longcat_arg_value>\n</longcat_tool_call>",
    reasoning: "ok",
    calls: [rome],
  },
  {
    title: "minimax m2: two calls in a section",
    toolParser: "minimax_m2",
    text: '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="get_weather">\n<parameter name="city">\nRome\n</parameter>\n</invoke>\n</minimax:tool_call>',
    calls: [paris, rome],
  },
  {
    title: "deepseek v3.2: parameters that say what they are",
    toolParser: "deepseek_v32",
    text: '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    calls: [paris],
  },
  {
    title: "deepseek v4: another name of the section",
    toolParser: "deepseek_v4",
    text: '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>',
    calls: [rome],
  },
  {
    title: "muse spark: a prefix for all tags",
    toolParser: "muse_spark",
    text: '<atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Rome</atem:parameter>\n</atem:invoke>\n</atem:function_calls>',
    calls: [rome],
  },
  {
    title: "minicpm5: character data",
    toolParser: "minicpm5",
    text: `<function name="write_file"><param name="path">a.js</param><param name="text"><![CDATA[${code}]]></param></function><function name="now"></function>`,
    calls: [
      ["write_file", { path: "a.js", text: code }],
      ["now", {}],
    ],
  },
];

const others: Sample[] = [
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

const reasoning: Sample[] = [
  {
    title: "think: at the beginning",
    reasoningParser: "think",
    text: "<think>\nHm, 2.\n</think>\n\nIt is 2. ",
    reasoning: "Hm, 2.",
    content: "It is 2. ",
    tools: [],
  },
  {
    title: "think: begun by the prompt",
    reasoningParser: "think",
    prompt: "<|im_start|>assistant\n<think>\n",
    text: "Hm.\n</think>\n\nTwo.",
    reasoning: "Hm.",
    content: "Two.",
  },
  {
    title: "think: begun twice",
    reasoningParser: "think",
    prompt: "<think>",
    text: "<think>\nHm.</think>Two.",
    reasoning: "Hm.",
    content: "Two.",
  },
  { title: "think: never ended", reasoningParser: "think", prompt: "<think>\n", text: "Hm, <b> ", reasoning: "Hm, <b>" },
  {
    title: "think: switched off",
    reasoningParser: "think",
    prompt: "<think>\n\n</think>\n\n",
    text: "Two.\n",
    content: "Two.\n",
  },
  {
    title: "think: the mark as a word of the answer",
    reasoningParser: "think",
    text: "Use <think> and </think>.",
    content: "Use <think> and </think>.",
  },
  { title: "think: empty", reasoningParser: "think", text: "<think>\n\n</think>\n\nTwo.", content: "Two." },
  {
    title: "think: a call where the end was forgotten",
    reasoningParser: "think",
    toolParser: "qwen3_coder",
    prompt: "<think>\n",
    text: "I call <tool_call> now.\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    reasoning: "I call <tool_call> now.",
    calls: [["now", {}]],
  },
  {
    title: "think: twice, about a call, and an answer",
    reasoningParser: "think",
    toolParser: "hermes",
    text: '<think>a</think>First.\n<tool_call>{"name": "now"}</tool_call>\n<think>b</think>\nThen.',
    reasoning: "a\nb",
    content: "First.\nThen.",
    calls: [["now", {}]],
  },
  { title: "mistral", reasoningParser: "mistral", text: "[THINK]Hm [x].[/THINK]Two.", reasoning: "Hm [x].", content: "Two." },
  {
    title: "think and answer",
    reasoningParser: "think_answer",
    text: "<think>\nHm.\n</think>\n<answer>\nTwo.\n</answer>",
    reasoning: "Hm.",
    content: "Two.\n",
  },
  {
    title: "granite",
    reasoningParser: "granite",
    text: "Here is my thought process: Hm.\n\nHere is my response: Two.",
    reasoning: "Hm.",
    content: "Two.",
  },
  {
    title: "cohere",
    reasoningParser: "cohere",
    text: "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Two.<|END_RESPONSE|>",
    reasoning: "Hm.",
    content: "Two.",
  },
  { title: "kimi vl", reasoningParser: "kimi_vl", text: "◁think▷Hm.◁/think▷Two.", reasoning: "Hm.", content: "Two." },
  {
    title: "gemma 4: no thought",
    reasoningParser: "gemma4",
    prompt: "<|turn>model\n<|channel>thought\n<channel|>",
    text: "Two.",
    content: "Two.",
  },
  { title: "nothing to look for", text: " <think>a</think> <tool_call>\n", content: " <think>a</think> <tool_call>\n" },
];

export const samples: readonly Sample[] = [...json, ...tagged, ...others, ...reasoning];
