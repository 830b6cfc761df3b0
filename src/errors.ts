/** The closed taxonomy of what can go wrong. `src/http/errors.ts` is the one place that maps it to HTTP. */
export type ErrorKind =
  | "invalid_request"
  | "unauthorized"
  | "not_found"
  | "payload_too_large"
  | "overloaded"
  | "engine_failure"
  | "unavailable"
  | "startup";

export class ServeError extends Error {
  override readonly name: string = "ServeError";
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** The client sent something that cannot be honoured; `param` names the offending field as the client wrote it. */
export class InvalidRequest extends ServeError {
  override readonly name = "InvalidRequest";
  readonly param: string | null;
  readonly code: string | null;

  constructor(message: string, param: string | null = null, code: string | null = null) {
    super("invalid_request", message);
    this.param = param;
    this.code = code;
  }
}

export class Unauthorized extends ServeError {
  override readonly name = "Unauthorized";
  constructor(message: string) {
    super("unauthorized", message);
  }
}

/** No such route, model or stored object. */
export class NotFound extends ServeError {
  override readonly name = "NotFound";
  readonly param: string | null;
  readonly code: string | null;

  constructor(message: string, param: string | null = null, code: string | null = null) {
    super("not_found", message);
    this.param = param;
    this.code = code;
  }
}

export class PayloadTooLarge extends ServeError {
  override readonly name = "PayloadTooLarge";
  constructor(message: string) {
    super("payload_too_large", message);
  }
}

/** The queue is full: try again after `retryAfterSeconds`. */
export class Overloaded extends ServeError {
  override readonly name = "Overloaded";
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super("overloaded", message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** A forward pass failed: everything that was running ends with this, and the server reports itself broken. */
export class EngineFailure extends ServeError {
  override readonly name = "EngineFailure";
  constructor(message: string, options?: ErrorOptions) {
    super("engine_failure", message, options);
  }
}

/** The server is shutting down or has failed before: nothing new is taken. */
export class Unavailable extends ServeError {
  override readonly name = "Unavailable";
  constructor(message: string) {
    super("unavailable", message);
  }
}

/** The server cannot start: wrong option, missing or corrupt model, port taken. The message is one clear sentence. */
export class StartupError extends ServeError {
  override readonly name = "StartupError";
  constructor(message: string, options?: ErrorOptions) {
    super("startup", message, options);
  }
}
