// Makes dist/: the page, its headers, and the script under a name that follows from its content.
const { createHash } = require("node:crypto");
const { cpSync, mkdirSync, readFileSync, writeFileSync } = require("node:fs");

const script = readFileSync("src/app.js");
const name = `app.${createHash("sha256").update(script).digest("hex").slice(0, 12)}.js`;
mkdirSync("dist/assets", { recursive: true });
writeFileSync(`dist/assets/${name}`, script);
writeFileSync("dist/index.html", readFileSync("src/index.html", "utf8").replace("SCRIPT", name));
cpSync("src/_headers", "dist/_headers");
console.log(`dist/assets/${name}`);
