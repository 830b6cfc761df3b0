/** The library: `import { ContinuousBatchingServer, createApp } from "mlx-cb-serve"`. */

export { EmbeddingServer } from "./engine/embedding-server.ts";
export type { GenerateOptions } from "./engine/generate.ts";
export { type ModelServer, openServer } from "./engine/open-server.ts";
export type { ChatMessage, Generation, GenerationChunk, GenerationRequest, InferenceServer } from "./engine/request.ts";
export { ContinuousBatchingServer, type ServerOptions } from "./engine/server.ts";
export * from "./errors.ts";
export { type App, type AppOptions, createApp } from "./http/app.ts";
