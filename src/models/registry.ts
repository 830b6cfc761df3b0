/** Which `model_type` of config.json is served by which file. */
import { StartupError } from "../errors.ts";
import { apertus } from "./architectures/apertus.ts";
import { bert, distilbert, roberta } from "./architectures/bert.ts";
import { cohere, cohere2 } from "./architectures/cohere.ts";
import { deepseekV2 } from "./architectures/deepseek-v2.ts";
import { deepseekV3, glm4MoeLite } from "./architectures/deepseek-v3.ts";
import { ernie4_5 } from "./architectures/ernie4-5.ts";
import { ernie45Moe } from "./architectures/ernie4-5-moe.ts";
import { exaone } from "./architectures/exaone.ts";
import { exaone4 } from "./architectures/exaone4.ts";
import { falconH1 } from "./architectures/falcon-h1.ts";
import { gemma } from "./architectures/gemma.ts";
import { gemma2 } from "./architectures/gemma2.ts";
import { gemma3, gemma3Text } from "./architectures/gemma3.ts";
import { gemma3n } from "./architectures/gemma3n.ts";
import { gemma4, gemma4Text } from "./architectures/gemma4.ts";
import { glm } from "./architectures/glm.ts";
import { glm4 } from "./architectures/glm4.ts";
import { glm4Moe } from "./architectures/glm4-moe.ts";
import { gptNeox } from "./architectures/gpt-neox.ts";
import { gptOss } from "./architectures/gpt-oss.ts";
import { gpt2, gptBigcode } from "./architectures/gpt2.ts";
import { granite } from "./architectures/granite.ts";
import { graniteMoe } from "./architectures/granitemoe.ts";
import { graniteMoeHybrid } from "./architectures/granitemoehybrid.ts";
import { helium } from "./architectures/helium.ts";
import { hunyuanV1Dense } from "./architectures/hunyuan-v1-dense.ts";
import { internlm2 } from "./architectures/internlm2.ts";
import { internlm3 } from "./architectures/internlm3.ts";
import { lfm2 } from "./architectures/lfm2.ts";
import { lfm2Moe } from "./architectures/lfm2-moe.ts";
import { llama } from "./architectures/llama.ts";
import { llama4, llama4Text } from "./architectures/llama4.ts";
import { mamba2 } from "./architectures/mamba2.ts";
import { mimo } from "./architectures/mimo.ts";
import { minicpm } from "./architectures/minicpm.ts";
import { minimax } from "./architectures/minimax.ts";
import { ministral3 } from "./architectures/ministral3.ts";
import { mistral3 } from "./architectures/mistral3.ts";
import { mixtral } from "./architectures/mixtral.ts";
import { nanochat } from "./architectures/nanochat.ts";
import { nemotron } from "./architectures/nemotron.ts";
import { nemotronH } from "./architectures/nemotron-h.ts";
import { nemotronNas } from "./architectures/nemotron-nas.ts";
import { olmo } from "./architectures/olmo.ts";
import { olmo2, olmo3 } from "./architectures/olmo2.ts";
import { olmoe } from "./architectures/olmoe.ts";
import { phi } from "./architectures/phi.ts";
import { phi3 } from "./architectures/phi3.ts";
import { qwen2 } from "./architectures/qwen2.ts";
import { qwen2Moe } from "./architectures/qwen2-moe.ts";
import { qwen3 } from "./architectures/qwen3.ts";
import { qwen3_5 } from "./architectures/qwen3-5.ts";
import { qwen3Moe } from "./architectures/qwen3-moe.ts";
import { qwen3Next } from "./architectures/qwen3-next.ts";
import { seedOss } from "./architectures/seed-oss.ts";
import { smollm3 } from "./architectures/smollm3.ts";
import { stablelm } from "./architectures/stablelm.ts";
import { starcoder2 } from "./architectures/starcoder2.ts";
import { pixtral, qwen2Vl, qwen3Vl } from "./architectures/vision-language.ts";
import type { EncoderArchitecture } from "./encoder.ts";
import type { Architecture } from "./model.ts";
import { quote } from "./wording.ts";

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([
  ["llama", llama],
  ["mistral", llama],
  ["gemma2", gemma2],
  ["gemma3", gemma3],
  ["gemma3_text", gemma3Text],
  ["gemma3n", gemma3n],
  ["gemma4", gemma4],
  ["gemma4_unified", gemma4],
  ["gemma4_text", gemma4Text],
  ["llama4", llama4],
  ["llama4_text", llama4Text],
  ["mistral3", mistral3],
  ["llava", mistral3],
  ["qwen3_moe", qwen3Moe],
  ["glm4_moe", glm4Moe],
  ["glm4_moe_lite", glm4MoeLite],
  ["gpt_oss", gptOss],
  ["deepseek_v2", deepseekV2],
  ["deepseek_v3", deepseekV3],
  ["kimi_k2", deepseekV3],
  ["joyai_llm_flash", deepseekV3],
  ["minimax", minimax],
  ["minimax_m2", minimax],
  ["ernie4_5_moe", ernie45Moe],
  ["qwen2_moe", qwen2Moe],
  ["mixtral", mixtral],
  ["olmoe", olmoe],
  ["granitemoe", graniteMoe],
  ["iquestcoder", llama],
  ["xverse", llama],
  ["qwen2", qwen2],
  ["qwen3", qwen3],
  ["phi3", phi3],
  ["glm4", glm4],
  ["ministral3", ministral3],
  ["olmo2", olmo2],
  ["olmo3", olmo3],
  ["smollm3", smollm3],
  ["granite", granite],
  ["seed_oss", seedOss],
  ["ernie4_5", ernie4_5],
  ["exaone4", exaone4],
  ["hunyuan_v1_dense", hunyuanV1Dense],
  ["cohere", cohere],
  ["cohere2", cohere2],
  ["starcoder2", starcoder2],
  ["stablelm", stablelm],
  ["phi", phi],
  ["gemma", gemma],
  ["olmo", olmo],
  ["internlm2", internlm2],
  ["internlm3", internlm3],
  ["minicpm", minicpm],
  ["helium", helium],
  ["mimo", mimo],
  ["nemotron", nemotron],
  ["apertus", apertus],
  ["nemotron-nas", nemotronNas],
  ["exaone", exaone],
  ["pixtral", pixtral],
  ["qwen3_vl", qwen3Vl],
  ["qwen2_5_vl", qwen2Vl],
  ["qwen2_vl", qwen2Vl],
  ["gpt_bigcode", gptBigcode],
  ["gpt2", gpt2],
  ["nanochat", nanochat],
  ["gpt_neox", gptNeox],
  ["telechat3", llama],
  ["glm", glm],
  ["falcon_h1", falconH1],
  ["granitemoehybrid", graniteMoeHybrid],
  ["lfm2", lfm2],
  ["lfm2_moe", lfm2Moe],
  ["mamba2", mamba2],
  ["nemotron_h", nemotronH],
  ["qwen3_5", qwen3_5],
  ["qwen3_5_moe", qwen3_5],
  ["qwen3_next", qwen3Next],
]);

/** Models that make embeddings and nothing else. */
const ENCODERS: ReadonlyMap<string, EncoderArchitecture> = new Map([
  ["bert", bert],
  ["roberta", roberta],
  ["xlm-roberta", roberta],
  ["camembert", roberta],
  ["distilbert", distilbert],
]);

/** All that a config may name. */
export function listModelTypes(): string[] {
  return [...ARCHITECTURES.keys(), ...ENCODERS.keys()];
}

/** Undefined: it is no encoder. */
export function findEncoder(modelType: string): EncoderArchitecture | undefined {
  return ENCODERS.get(modelType);
}

/** Throws `StartupError` naming what is supported. */
export function findArchitecture(modelType: string): Architecture {
  const found = ARCHITECTURES.get(modelType);
  if (found) return found;
  if (ENCODERS.has(modelType)) {
    throw new StartupError(`model type ${JSON.stringify(modelType)} makes embeddings only: there is nothing that generates`);
  }
  throw new StartupError(`model type ${quote(modelType)} is not supported; supported: ${listModelTypes().join(", ")}`);
}
