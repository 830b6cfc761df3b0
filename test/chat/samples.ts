/** Outputs of every family, written after the families' own chat templates and documentation, with what they mean. */
import type { Sample } from "./sample.ts";
import { jsonSamples } from "./samples-json.ts";
import { otherSamples } from "./samples-other.ts";
import { reasoningSamples } from "./samples-reasoning.ts";
import { taggedSamples } from "./samples-tagged.ts";

export const samples: readonly Sample[] = [...jsonSamples, ...taggedSamples, ...otherSamples, ...reasoningSamples];
