/** Lets everything else that waits for this event loop have its turn. */
export const macrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
