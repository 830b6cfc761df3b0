/** Calls whose arguments stand between tags. */
import { code, paris, rome, type Sample } from "./sample.ts";

export const taggedSamples: readonly Sample[] = [
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
