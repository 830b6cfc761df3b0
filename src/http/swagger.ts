/// <reference path="./assets.d.ts" />
import { Elysia } from "elysia";
import favicon from "swagger-ui-dist/favicon-32x32.png" with { type: "file" };
import license from "swagger-ui-dist/LICENSE" with { type: "file" };
import notice from "swagger-ui-dist/NOTICE" with { type: "file" };
import style from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import script from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };

const files: Record<string, { path: string; type: string }> = {
  "swagger-ui.css": { path: style, type: "text/css; charset=utf-8" },
  "swagger-ui-bundle.js": { path: script, type: "text/javascript; charset=utf-8" },
  "favicon.png": { path: favicon, type: "image/png" },
  LICENSE: { path: license, type: "text/plain; charset=utf-8" },
  NOTICE: { path: notice, type: "text/plain; charset=utf-8" },
};

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mlx-cb-serve API</title>
<link rel="icon" href="/swagger/favicon.png">
<link rel="stylesheet" href="/swagger/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script>
// No validator: it is a service on the internet.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null, deepLinking: true, tryItOutEnabled: true });
</script>
</body>
</html>
`;

/** Swagger UI from files inside the executable: it needs nothing from outside. */
export function swaggerRoutes() {
  const app = new Elysia()
    .get("/swagger", () => new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } }), {
      detail: { hide: true },
    })
    .get("/", ({ redirect }) => redirect("/swagger"), { detail: { hide: true } });
  for (const [name, { path, type }] of Object.entries(files)) {
    const headers = { "content-type": type, "cache-control": "public, max-age=86400" };
    app.get(`/swagger/${name}`, () => new Response(Bun.file(path), { headers }), { detail: { hide: true } });
  }
  return app;
}
