import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { fileError, readModelText } from "./model-file.ts";
import { isObject, parseModelJson } from "./model-json.ts";

/** A chat template among several, such as `default` or `tool_use`. */
export interface NamedTemplate {
  readonly name: string;
  readonly template: string;
}

const MAX_BYTES = 16 * 2 ** 20;
const MAX_TEMPLATES = 64;
const DIRECTORY = "additional_chat_templates";

/**
 * The chat templates that lie in files of their own, `names` being what the model directory has: chat_template.jinja and what
 * additional_chat_templates adds to it, else chat_template.json. Empty when there is none. Throws `StartupError`.
 */
export async function readChatTemplates(directory: string, names: ReadonlySet<string>): Promise<readonly NamedTemplate[]> {
  const templates: NamedTemplate[] = [];
  if (names.has("chat_template.jinja")) {
    templates.push({ name: "default", template: await readModelText(join(directory, "chat_template.jinja"), MAX_BYTES) });
  }
  if (names.has(DIRECTORY)) templates.push(...(await readAdditional(join(directory, DIRECTORY))));
  if (templates.length > 0 || !names.has("chat_template.json")) return templates;
  const path = join(directory, "chat_template.json");
  const { chat_template: value } = parseModelJson(await readModelText(path, MAX_BYTES), path);
  const named = typeof value === "string" ? [{ name: "default", template: value }] : value;
  if (Array.isArray(named) && named.length > 0 && named.every(isNamedTemplate)) return named;
  throw new StartupError(`${path} has no chat_template that is a string`);
}

async function readAdditional(path: string): Promise<NamedTemplate[]> {
  let files: string[];
  try {
    files = (await readdir(path)).filter((file) => file.endsWith(".jinja")).sort();
  } catch (error) {
    throw fileError(error, path);
  }
  if (files.length > MAX_TEMPLATES) throw new StartupError(`${path} has more than ${MAX_TEMPLATES} chat templates`);
  return Promise.all(
    files.map(async (file) => ({
      name: file.slice(0, -".jinja".length),
      template: await readModelText(join(path, file), MAX_BYTES),
    })),
  );
}

function isNamedTemplate(value: unknown): value is NamedTemplate {
  return isObject(value) && typeof value.name === "string" && typeof value.template === "string";
}
