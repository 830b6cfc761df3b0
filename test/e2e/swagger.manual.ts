/**
 * Opens Swagger UI of the executable in a real browser, tries a chat completion from the page and takes pictures. By hand, not
 * part of the test command, which must not need a browser: `bun test/e2e/swagger.manual.ts [CHROMIUM] [PICTURE.png]`.
 */
import { chromium, type Page } from "playwright-core";
import { startServer } from "./serve.ts";

const [executablePath = "/usr/bin/chromium", picture = "/tmp/swagger.png"] = process.argv.slice(2);

/** What the page showed as the answer of an operation. */
async function tryOut(page: Page, operationId: string, example: string | null): Promise<{ status: string; body: string }> {
  const block = page.locator(`.opblock[id$="-${operationId}"]`);
  await block.locator(".opblock-summary-control").click();
  const choice = block.locator(".examples-select select");
  if (example !== null) await choice.selectOption({ label: example });
  await block.locator("button.execute").click();
  const response = block.locator(".live-responses-table .response").first();
  await response.waitFor({ timeout: 20_000 });
  return {
    status: (await response.locator(".response-col_status").first().textContent()) ?? "",
    body: (await response.locator(".highlight-code, .microlight").first().textContent()) ?? "",
  };
}

async function check(url: string): Promise<void> {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
  });
  const outside: string[] = [];
  const problems: string[] = [];
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1400 } });
    await page.route("**/*", (route) => {
      const { href, origin, protocol } = new URL(route.request().url());
      if (origin === url || protocol === "data:" || protocol === "blob:") return route.continue();
      outside.push(href);
      return route.abort();
    });
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(message.text());
    });
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(`${url}/swagger`);
    await page.locator(".opblock").first().waitFor();
    await page.screenshot({ path: picture.replace(/\.png$/, "-closed.png"), fullPage: true });

    const chat = await tryOut(page, "createChatCompletion", null);
    await page.screenshot({ path: picture, fullPage: true });
    const health = await tryOut(page, "getHealth", null);
    const answers = { chat, health };
    for (const [name, { status, body }] of Object.entries(answers)) {
      if (!status.startsWith("200")) throw new Error(`${name} was answered ${status}: ${body}`);
    }
    if (!/"role": "assistant"/.test(chat.body)) throw new Error(`no answer in the page: ${chat.body}`);
    if (outside.length > 0) throw new Error(`the page asked for ${outside.join(", ")}`);
    if (problems.length > 0) throw new Error(`the console says: ${problems.join("\n")}`);
    console.log(`200, nothing asked for outside, ${picture} taken:\n${chat.body}`);
  } finally {
    await browser.close();
  }
}

const server = await startServer();
try {
  await check(server.url);
} finally {
  await server.stop();
}
