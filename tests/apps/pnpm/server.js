const http = require("node:http");
const { readFileSync } = require("node:fs");

const page = readFileSync("page.html", "utf8");

async function main() {
  const { default: mime } = await import("mime");
  const server = http.createServer((_, response) => {
    response.setHeader("Content-Type", mime.getType("html"));
    response.end(`<p>Hello from pnpm, version 1</p>\n${page}`);
  });
  server.listen(process.env.PORT || 8080);
  process.on("SIGTERM", () => server.close());
}

main();
