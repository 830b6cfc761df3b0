/** A model on the hub, as the user named it. */
export interface Repository {
  owner: string;
  name: string;
  /** `owner/name` */
  id: string;
  /** Branch, tag or commit. */
  revision: string;
}

export const commitPattern = /^[0-9a-f]{40}$/;

/** The hub's own rules for a part of an id; they leave no room for path tricks. */
const partPattern = /^\w(?:[\w.-]{0,94}\w)?$/;
const revisionPattern = /^\w[\w./-]{0,199}$/;

/** `owner/name` or `owner/name@revision`; null when it is anything else. */
export function parseRepository(model: string): Repository | null {
  const [id = "", revision = "main", ...surplus] = model.split("@");
  const [owner = "", name = "", ...deeper] = id.split("/");
  if (surplus.length > 0 || deeper.length > 0) return null;
  if (![owner, name].every((part) => partPattern.test(part) && !/--|\.\./.test(part)) || name.endsWith(".git")) return null;
  const segments = revision.split("/");
  if (!revisionPattern.test(revision) || segments.some((part) => part === "" || part.startsWith(".") || part.endsWith(".")))
    return null;
  return { owner, name, id, revision };
}
