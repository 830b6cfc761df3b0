/**
 * The formats of JSON Schema as patterns of whole texts. Where a format has rules beyond these, fewer texts are allowed
 * than it has, never more.
 */
const DAY_OF_MONTH = [
  "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
  "(0[469]|11)-(0[1-9]|[12][0-9]|30)",
  "02-(0[1-9]|1[0-9]|2[0-8])",
].join("|");
const LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
const DATE = `([0-9]{4}-(${DAY_OF_MONTH})|${LEAP_YEAR}-02-29)`;
const HOUR_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]";
const TIME = `${HOUR_MINUTE}:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-]${HOUR_MINUTE})`;

const LABEL = "[A-Za-z0-9](-?[A-Za-z0-9]){0,15}";
const HOSTNAME = `${LABEL}(\\.${LABEL}){0,3}`;
const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const EMAIL = `${ATOM}(\\.?${ATOM}){0,31}@${HOSTNAME}`;

const BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV4 = `${BYTE}(\\.${BYTE}){3}`;
const GROUP = "[0-9A-Fa-f]{1,4}";
const LAST_GROUPS = `(${GROUP}:${GROUP}|${IPV4})`;
const IPV6 = [
  `(${GROUP}:){6}${LAST_GROUPS}`,
  ...[0, 1, 2, 3, 4, 5].map((before) => {
    const left = before === 0 ? "" : `(${GROUP}(:${GROUP}){0,${before - 1}})?`;
    const right = 5 - before;
    return `${left}::(${GROUP}:){${right}}${LAST_GROUPS}`;
  }),
  `(${GROUP}(:${GROUP}){0,5})?::${GROUP}`,
  `(${GROUP}(:${GROUP}){0,6})?::`,
].join("|");

const ENCODED = "%[0-9A-Fa-f]{2}";
const SEGMENT_CHAR = `([A-Za-z0-9._~!$&'()*+,;=:@-]|${ENCODED})`;
const SEGMENT_CHAR_NO_COLON = `([A-Za-z0-9._~!$&'()*+,;=@-]|${ENCODED})`;
const HOST_CHAR = `([A-Za-z0-9._~!$&'()*+,;=-]|${ENCODED})`;
const AUTHORITY = `((${HOST_CHAR}|:)*@)?(${HOST_CHAR}*|\\[(${IPV6})\\])(:[0-9]{0,5})?`;
const TAIL = `(\\?(${SEGMENT_CHAR}|[/?])*)?(#(${SEGMENT_CHAR}|[/?])*)?`;
const HIERARCHY = `(//${AUTHORITY}(/${SEGMENT_CHAR}*)*|/(${SEGMENT_CHAR}+(/${SEGMENT_CHAR}*)*)?`;
const ROOTLESS = `${SEGMENT_CHAR}+(/${SEGMENT_CHAR}*)*`;
const RELATIVE = `${SEGMENT_CHAR_NO_COLON}+(/${SEGMENT_CHAR}*)*`;
const URI = `[A-Za-z][A-Za-z0-9+.-]*:(${HIERARCHY}|${ROOTLESS})?)${TAIL}`;
const URI_REFERENCE = `(${URI}|(${HIERARCHY}|${RELATIVE})?)${TAIL})`;
const VARIABLE = `([A-Za-z0-9_]|${ENCODED})(\\.?([A-Za-z0-9_]|${ENCODED}))*(:[1-9][0-9]{0,3}|\\*)?`;
const URI_TEMPLATE = `([A-Za-z0-9._~!$&()*+,;=:@/?#\\[\\]-]|${ENCODED}|\\{[+#./;?&]?${VARIABLE}(,${VARIABLE})*\\})*`;

const POINTER = "(/([^/~]|~[01])*)*";
const DURATION_TIME = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
const DURATION_DATE = "([0-9]+D|[0-9]+M([0-9]+D)?|[0-9]+Y([0-9]+M([0-9]+D)?)?)";

const PATTERNS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  "date-time": `${DATE}[Tt]${TIME}`,
  duration: `P(${DURATION_DATE}(${DURATION_TIME})?|${DURATION_TIME}|[0-9]+W)`,
  email: EMAIL,
  "idn-email": EMAIL,
  hostname: HOSTNAME,
  "idn-hostname": HOSTNAME,
  ipv4: IPV4,
  ipv6: IPV6,
  uuid: "[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
  uri: URI,
  iri: URI,
  "uri-reference": URI_REFERENCE,
  "iri-reference": URI_REFERENCE,
  "uri-template": URI_TEMPLATE,
  "json-pointer": POINTER,
  "relative-json-pointer": `(0|[1-9][0-9]{0,8})(#|${POINTER})`,
};

/** Formats of the standard that no pattern describes. */
const BEYOND_PATTERNS: ReadonlySet<string> = new Set(["regex"]);

/** The pattern of a format; null for one that the standard does not have and that says nothing; undefined: not supported. */
export function formatPattern(name: string): string | null | undefined {
  if (BEYOND_PATTERNS.has(name)) return undefined;
  return Object.hasOwn(PATTERNS, name) ? PATTERNS[name]! : null;
}
