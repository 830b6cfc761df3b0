/** A schema asks for what grammars cannot hold an output to. */
export class UnsupportedSchema extends Error {
  override readonly name = "UnsupportedSchema";
  /** The keyword that asks. */
  readonly keyword: string;
  /** Where it stands, as a JSON pointer; null where that is not known. */
  readonly place: string | null;

  constructor(keyword: string, reason: string, place: string | null = null) {
    super(`'${keyword}'${place === null ? "" : ` at '${place || "#"}'`} is not supported: ${reason}.`);
    this.keyword = keyword;
    this.place = place;
  }
}

/** The schema is none: a keyword has a value that it cannot have. */
export class InvalidSchema extends Error {
  override readonly name = "InvalidSchema";
}
