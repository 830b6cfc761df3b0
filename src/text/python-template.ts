import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { toValue } from "./python-values.ts";
import { helpers } from "./template-helpers.ts";
import { rewrite } from "./template-rewrite.ts";

/**
 * A chat template that renders as Python's jinja2 does, set up as transformers does (trim_blocks, lstrip_blocks, `tojson` without
 * HTML escapes). The library prints values as JavaScript does and ignores arguments of `strip`: the parsed tree is rewritten so that
 * such places call functions of our own, under names that no template can spell.
 */
export class PythonTemplate {
  private readonly program: ReturnType<typeof parse>;

  /** Throws whatever the parser throws. */
  constructor(source: string) {
    this.program = parse(tokenize(source.replace(/\r\n?/g, "\n"), { lstrip_blocks: true, trim_blocks: true }));
    rewrite(this.program);
  }

  /** Throws whatever the template or a function given to it throws. */
  render(variables: ReadonlyMap<string, unknown>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries(constants)) environment.variables.set(name, toValue(value));
    for (const [name, value] of variables) environment.variables.set(name, toValue(value));
    for (const [name, value] of helpers) environment.variables.set(name, value);
    return String(new Interpreter(environment).run(this.program).value);
  }
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null, range: listRange };

function listRange(first: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, first] : [first, stop];
  if (step === 0) throw new Error("range() step must not be zero");
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (length > 100_000) throw new Error("range() is too long");
  return Array.from({ length }, (_, index) => from + index * step);
}
