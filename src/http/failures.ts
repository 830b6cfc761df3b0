import { ErrorBody } from "./fields.ts";
import { described } from "./schema.ts";

const failure = described(ErrorBody);

/** Failures that any `/v1` route may answer with. */
export const commonFailures = { 401: failure, 500: failure } as const;

/** Failures of the routes that generate. */
export const generationFailures = {
  400: failure,
  ...commonFailures,
  404: failure,
  413: failure,
  429: failure,
  503: failure,
} as const;
