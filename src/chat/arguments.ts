import type { Reading } from "./events.ts";
import type { Context } from "./format.ts";
import { escapeJson } from "./json.ts";
import type { Marks } from "./marks.ts";
import { findParameterTypes } from "./parameter-types.ts";
import { convertParameter, isStringOnly } from "./parameter-value.ts";

export interface MemberOptions {
  /** Where the value ends. */
  end: Marks;
  /** One line end after the beginning and one before the end belong to the marks. */
  onLines?: boolean;
  /** Overrules the schema: the text is a string, or it is JSON. */
  isString?: boolean;
}

/** Writes the arguments of one call from parameters that stand as plain text between marks. */
export class ArgumentsWriter {
  readonly #context: Context;
  readonly #tool: string;
  #count = 0;

  constructor(context: Context, tool: string) {
    this.#context = context;
    this.#tool = tool;
  }

  /** Reads a parameter's value and writes it by its schema, a string as it comes. False: it has no end. */
  *member(name: string, { end, onLines = false, isString }: MemberOptions): Reading<boolean> {
    const { reader, tools } = this.#context;
    const types = findParameterTypes(tools, this.#tool, name);
    this.#write(`${this.#count++ === 0 ? "{" : ", "}${JSON.stringify(name)}: `);
    if (onLines) yield* reader.accept("\n");
    if (isString ?? isStringOnly(types)) return yield* this.#string(end, onLines);
    const { text, mark } = yield* reader.upTo(end);
    if (mark === null) {
      this.#write(text);
      return false;
    }
    this.#write(convertParameter(onLines && text.endsWith("\n") ? text.slice(0, -1) : text, isString === false ? null : types));
    return true;
  }

  close(): void {
    this.#write(this.#count === 0 ? "{}" : "}");
  }

  *#string(end: Marks, onLines: boolean): Reading<boolean> {
    let held = "";
    this.#write('"');
    const mark = yield* this.#context.reader.until(end, (text) => {
      const all = held + text;
      held = onLines && all.endsWith("\n") ? "\n" : "";
      this.#write(escapeJson(all.slice(0, all.length - held.length)));
    });
    if (mark !== null) this.#write('"');
    return mark !== null;
  }

  #write(json: string): void {
    this.#context.writer.arguments(json);
  }
}
