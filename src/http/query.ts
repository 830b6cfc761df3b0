/** For a route's `transform`: Elysia makes lists and objects of what looks like some; here the values in a query string are texts. */
export function readQuery(context: { request: Request; query: Record<string, unknown> }): void {
  context.query = Object.fromEntries(new URL(context.request.url).searchParams);
}
