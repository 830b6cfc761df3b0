import { isRecord } from "../tokenizer-config.ts";

/** What is put around every text. */
export interface Frame {
  prefix: readonly number[];
  suffix: readonly number[];
}

const none: Frame = { prefix: [], suffix: [] };

/** The `post_processor` of tokenizer.json for a single text. Throws for one that does more than putting tokens around it. */
export function readFrame(config: unknown): Frame {
  if (config === null || config === undefined) return none;
  if (!isRecord(config)) throw new Error("post_processor is not an object");
  switch (config.type) {
    case "Sequence": {
      const list = Array.isArray(config.processors) ? config.processors.map(readFrame) : [];
      return list.reduce(
        (inner, outer) => ({
          prefix: [...outer.prefix, ...inner.prefix],
          suffix: [...inner.suffix, ...outer.suffix],
        }),
        none,
      );
    }
    case "ByteLevel":
      return none;
    case "BertProcessing":
    case "RobertaProcessing":
      return { prefix: [readPairId(config.cls)], suffix: [readPairId(config.sep)] };
    case "TemplateProcessing":
      return readTemplate(config);
    default:
      throw new Error(`unknown post_processor ${JSON.stringify(config.type)}`);
  }
}

/** `["[CLS]", 101]` */
function readPairId(pair: unknown): number {
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined;
  if (typeof id !== "number") throw new Error("the post_processor names a token without an id");
  return id;
}

function readTemplate(config: Record<string, unknown>): Frame {
  const pieces: unknown[] = Array.isArray(config.single) ? config.single : [];
  const isText = (piece: unknown) => isRecord(piece) && isRecord(piece.Sequence);
  const at = pieces.findIndex(isText);
  if (at < 0 || pieces.findLastIndex(isText) !== at) throw new Error("the post_processor does not take a text once");
  const ids = (list: unknown[]) => list.flatMap((piece) => readSpecialIds(piece, config.special_tokens));
  return { prefix: ids(pieces.slice(0, at)), suffix: ids(pieces.slice(at + 1)) };
}

function readSpecialIds(piece: unknown, specials: unknown): number[] {
  const name = isRecord(piece) && isRecord(piece.SpecialToken) ? String(piece.SpecialToken.id) : "";
  const entry = isRecord(specials) ? specials[name] : undefined;
  const ids: unknown = isRecord(entry) ? entry.ids : undefined;
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === "number")) {
    throw new Error(`the post_processor does not say what ${JSON.stringify(name)} is`);
  }
  return ids;
}
