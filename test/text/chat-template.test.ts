import { describe, expect, test } from "bun:test";
import type { ChatMessage, ChatTemplateOptions } from "../../src/engine/request.ts";
import { InvalidRequest } from "../../src/errors.ts";
import { ChatTemplate, type TemplateOptions } from "../../src/text/chat-template.ts";
import { strftime } from "../../src/text/strftime.ts";

const user: ChatMessage[] = [{ role: "user", content: "Hi" }];

function render(source: string, kwargs: Record<string, unknown> = {}, messages: ChatMessage[] = user): string {
  const template = new ChatTemplate({ chat_template: source });
  expect(template.problem).toBeNull();
  return template.render(messages, { kwargs });
}

/** The `InvalidRequest` that rendering ends with. */
function refusal(template: ChatTemplate, messages: ChatMessage[] = user, options: TemplateOptions = {}): InvalidRequest {
  try {
    template.render(messages, options);
  } catch (error) {
    if (error instanceof InvalidRequest) return error;
    throw error;
  }
  throw new Error("it rendered");
}

describe("which template", () => {
  const named = [
    { name: "default", template: "plain {{ messages[0].content }}" },
    { name: "tool_use", template: "tools {{ tools | length }}" },
  ];

  test("a list has one for tools; a separate file wins", () => {
    const template = new ChatTemplate({ chat_template: named });
    expect(template.render(user)).toBe("plain Hi");
    expect(template.render(user, { tools: [] })).toBe("plain Hi");
    expect(template.render(user, { tools: [{}, {}] })).toBe("tools 2");
    expect(new ChatTemplate({ chat_template: named }, "file").render(user, { tools: [{}] })).toBe("file");
    expect(new ChatTemplate({ chat_template: [{ name: "rag", template: "only" }] }).render(user)).toBe("only");
    expect(
      refusal(
        new ChatTemplate({
          chat_template: [
            { name: "a", template: "" },
            { name: "b", template: "" },
          ],
        }),
      ).param,
    ).toBe("messages");
  });

  test("separate ones without a default are added to those of the config", () => {
    const template = new ChatTemplate({ chat_template: "plain" }, [{ name: "tool_use", template: "with tools" }]);
    expect(template.render(user)).toBe("plain");
    expect(template.render(user, { tools: [{}] })).toBe("with tools");
  });

  test("one of another name does not stand in for a default that does not compile", () => {
    const template = new ChatTemplate({}, [
      { name: "default", template: "{% if %}" },
      { name: "rag", template: "documents" },
    ]);
    expect(refusal(template).message).toContain("chat template cannot be used");
  });

  test("none, or one that does not compile: only rendering is refused", () => {
    for (const config of [{}, { chat_template: null }, { chat_template: 7 }, { chat_template: [] }]) {
      const template = new ChatTemplate(config);
      expect(template.problem).toContain("this model has no chat template");
      expect(refusal(template).message).toContain("this model has no chat template");
      expect(refusal(template).param).toBe("messages");
    }
    const broken = new ChatTemplate({ chat_template: "{% if %}" });
    expect(broken.problem).toContain("chat template cannot be used");
    expect(refusal(broken).message).toBe(broken.problem!);
  });
});

describe("variables", () => {
  test("special tokens as text or object, only those that are set", () => {
    const config = {
      chat_template:
        "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ additional_special_tokens }}|{{ add_bos_token is defined }}",
      bos_token: "<s>",
      eos_token: { content: "</s>", special: true },
      pad_token: null,
      add_bos_token: true,
      additional_special_tokens: ["<a>", { content: "<b>" }],
    };
    expect(new ChatTemplate(config).render(user)).toBe("<s>|</s>|False|['<a>', '<b>']|False");
  });

  test("tools and documents are none when absent, kwargs override all but messages and tools", () => {
    expect(render("{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ x }}", { x: 3 })).toBe(
      "True True True 3",
    );
    expect(render("{{ add_generation_prompt }}", { add_generation_prompt: false })).toBe("False");
    const template = new ChatTemplate({
      chat_template: "{{ add_generation_prompt }}{{ range }}{{ bos_token }}",
      bos_token: "<s>",
    });
    const options: ChatTemplateOptions = {
      addGenerationPrompt: false,
      kwargs: { add_generation_prompt: true, range: "r", bos_token: "b" },
    };
    expect(template.render(user, options)).toBe("Falserb");
    expect(refusal(template, user, { kwargs: { messages: [] } }).param).toBe("chat_template_kwargs");
  });

  test("strftime_now is Python's, in English", () => {
    const year = String(new Date().getFullYear());
    expect(render("{{ strftime_now('%Y') }}")).toBe(year);
    const date = new Date(2024, 1, 3, 14, 5, 9);
    expect(strftime(date, "%d %b %Y, %A %B %-d %H:%M:%S %I%p %j %y %% %Q %e")).toBe(
      "03 Feb 2024, Saturday February 3 14:05:09 02PM 034 24 % %Q  3",
    );
  });
});

describe("like Python's jinja2", () => {
  const value = { b: "é <&> '\"\u2028", a: [1, 2.5, 1e-7, true, null], empty: {}, none: [] };

  // Expected texts printed by jinja2 3.1.6 with the environment of transformers.
  test.each([
    ["{{ v | tojson }}", `{"b": "é <&> '\\"\u2028", "a": [1, 2.5, 1e-07, true, null], "empty": {}, "none": []}`],
    ["{{ v.a | tojson(indent=2) }}", "[\n  1,\n  2.5,\n  1e-07,\n  true,\n  null\n]"],
    [
      "{{ v | tojson(ensure_ascii=True, sort_keys=True, separators=(',', ':')) }}",
      `{"a":[1,2.5,1e-07,true,null],"b":"\\u00e9 <&> '\\"\\u2028","empty":{},"none":[]}`,
    ],
    ["{{ {'a': {'b': [1]}} | tojson(indent=4) }}", '{\n    "a": {\n        "b": [\n            1\n        ]\n    }\n}'],
    ["{{ v.a }} {{ v.empty }} {{ none }} {{ true }} {{ 3.0 }} {{ nothing }}", "[1, 2.5, 1e-07, True, None] {} None True 3.0 "],
    ["{{ {'k': \"it's\"} }} {{ ['a\\n'] }}", "{'k': \"it's\"} ['a\\n']"],
    ["{{ 'a' ~ 1 ~ none ~ true ~ nothing }}", "a1NoneTrue"],
    ["{{ none | string }}{{ 1.5 | string }}{{ false | string }}", "None1.5False"],
    ["[{{ '\\n x \\n'.strip('\\n') }}]", "[ x ]"],
    ["[{{ '\\n x \\n'.rstrip() }}{{ '\\n x'.lstrip('\\n') }}{{ '  x ' | trim }}{{ 'xyx' | trim('x') }}]", "[\n x xxy]"],
    ["{{ '</think>\\n\\n  a'.split('</think>')[-1].lstrip('\\n') }}", "  a"],
    ["{{ ', '.join(['a', 'b']) }}{{ 'abc'.find('c') }}{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'aba'.count('a') }}", "a, b2x2"],
    ["{{ v.missing is defined }}{{ v['missing'] is defined }}{{ v[nothing] is defined }}", "FalseFalseFalse"],
    ["{% for k, w in [('x', 1), ('y', 2)] %}{{ k }}{{ w }}{% endfor %}{% for c in 'ab' %}[{{ c }}]{% endfor %}", "x1y2[a][b]"],
    ["{{ '  ' * 2 }}|{{ 1 + 2 }}{{ 1.5 + 1.5 }}{{ 'a' + 'b' }}{{ [1] + [2] }}", "    |33.0ab[1, 2]"],
    ["{% if v %}\n  {% if true %}\nx\n  {% endif %}\n{% endif %}\ny\n", "x\ny"],
    ["{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"],
    ["{%- macro say(x, y='d') -%}{{ x }}{{ y }}{%- endmacro -%}{{ say('a') }}{{ say('b', y=none) }}", "adbNone"],
    ["{% generation %}kept{% endgeneration %}", "kept"],
  ])("%s", (source, expected) => {
    expect(render(source, { v: value })).toBe(expected);
  });

  test("carriage returns in the source count as line ends", () => {
    expect(render("{% if true %}\r\nx\r\n{% endif %}\r\n")).toBe("x\n");
  });
});

describe("messages", () => {
  const json = "{{ messages | tojson }}";
  const rendered = (messages: ChatMessage[], source = json): unknown => JSON.parse(render(source, {}, messages));

  test("content parts become one text, null becomes empty, other parts are refused", () => {
    const parts = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
      { type: "refusal", refusal: "c" },
    ];
    expect(rendered([{ role: "user", content: parts }, { role: "assistant", content: null }, { role: "assistant" }])).toEqual([
      { role: "user", content: "abc" },
      { role: "assistant", content: "" },
      { role: "assistant", content: "" },
    ]);
    const error = refusal(new ChatTemplate({ chat_template: json }), [
      { role: "user", content: [{ type: "image_url", image_url: {} }] },
    ]);
    expect([error.param, error.message]).toEqual([
      "messages",
      'this model takes text only, not a content part of type "image_url"',
    ]);
  });

  test("a template that loops over parts gets parts", () => {
    const source = "{% for m in messages %}{% for part in m['content'] %}<{{ part.text }}>{% endfor %}{% endfor %}";
    expect(render(source, {}, [{ role: "user", content: "hi" }])).toBe("<hi>");
  });

  test("arguments are objects where they parse to one", () => {
    const call = (text: unknown) => ({ role: "assistant", tool_calls: [{ function: { name: "f", arguments: text } }, null] });
    const args = (text: unknown) => render("{{ messages[0].tool_calls[0].function.arguments | tojson }}", {}, [call(text)]);
    expect(args('{"a":[1]}')).toBe('{"a": [1]}');
    expect(args("")).toBe("{}");
    expect(args({ a: 1 })).toBe('{"a": 1}');
    for (const text of ["[1]", "{broken", "null"]) expect(JSON.parse(args(text))).toBe(text);
    // A template that wants the text gets it.
    expect(render("{{ 'x' + messages[0].tool_calls[0].function.arguments }}", {}, [call('{"a":1}')])).toBe('x{"a":1}');
  });

  test("developer is system to templates that do not know it", () => {
    const messages: ChatMessage[] = [{ role: "developer", content: "x" }];
    expect(render("{{ messages[0].role }}", {}, messages)).toBe("system");
    expect(render("{{ messages[0].role }}{# developer #}", {}, messages)).toBe("developer");
  });

  test("the caller's messages are left alone", () => {
    const messages: ChatMessage[] = [
      { role: "assistant", content: null, tool_calls: [{ function: { name: "f", arguments: '{"a":1}' } }] },
    ];
    const before = JSON.stringify(messages);
    render(json, {}, messages);
    expect(JSON.stringify(messages)).toBe(before);
  });

  test("__proto__ is a key like any other", () => {
    const text = '{"role": "user", "content": "x", "__proto__": {"polluted": true}, "constructor": 1}';
    const message = JSON.parse(text) as ChatMessage;
    const args = '{"__proto__": {"polluted": true}}';
    const call = { role: "assistant", tool_calls: [{ function: { name: "f", arguments: args } }] };
    expect(render(json, {}, [message])).toBe(`[${text}]`);
    expect(render("{{ messages[0].tool_calls[0].function.arguments | tojson }}", {}, [call])).toBe(args);
    expect(render("{{ messages[0].toString }}{{ messages[0].hasOwnProperty }}{{ messages[0].polluted }}", {}, [message])).toBe(
      "",
    );
    expect(
      render("{{ x.__proto__.polluted }}", JSON.parse('{"x": {"__proto__": {"polluted": "p"}}}') as Record<string, unknown>),
    ).toBe("p");
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test("lone surrogates and NUL go through", () => {
    expect(render("{{ messages[0].content }}", {}, [{ role: "user", content: "\ud800\u0000x" }])).toBe("\ud800\u0000x");
  });
});

describe("what goes wrong is an InvalidRequest", () => {
  test("raise_exception gives the template's own words", () => {
    const error = refusal(
      new ChatTemplate({ chat_template: "{{ raise_exception('roles must alternate ' + messages[0].role) }}" }),
    );
    expect([error.param, error.message]).toEqual(["messages", "roles must alternate user"]);
  });

  test.each([
    ["{{ messages.foo.bar() }}"],
    ["{{ nothing() }}"],
    ["{{ 'x' + messages }}"],
    ["{{ 1 / messages }}"],
    ["{{ messages | no_such_filter }}"],
    ["{{ messages is no_such_test }}"],
    ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    ["{% for x in range(1000000000) %}{% endfor %}"],
    ["{{ range(1, 2, 0) }}"],
    ["{% break %}"],
  ])("%s", (source) => {
    expect(refusal(new ChatTemplate({ chat_template: source })).param).toBe("messages");
  });

  test("no messages, or messages nested too deep", () => {
    const template = new ChatTemplate({ chat_template: "{{ messages | tojson }}" });
    expect(refusal(template, []).message).toBe("messages must not be empty");
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    expect(refusal(template, [{ role: "user", content: "x", deep }]).param).toBe("messages");
  });
});
