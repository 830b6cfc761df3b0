/** What the samples have in common. */
import type { Family } from "./parse.ts";

export interface Sample extends Family {
  title: string;
  text: string;
  content?: string;
  reasoning?: string;
  calls?: [name: string, args: unknown][];
  ids?: string[];
}

export const paris: [string, unknown] = ["get_weather", { city: "Paris", days: 3 }];
export const rome: [string, unknown] = ["get_weather", { city: "Rome" }];
export const code = 'if (a < b && c > "d") {\n\treturn `</x>`;\n}\n// 🙂\\n';
