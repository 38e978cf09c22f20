// Makes static/window.css of front/window.css; only a development dependency can do it.
const { mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const CleanCSS = require("clean-css");

const made = new CleanCSS().minify(readFileSync("front/window.css", "utf8"));
if (made.errors.length) throw new Error(made.errors.join("; "));
mkdirSync("static", { recursive: true });
writeFileSync("static/window.css", made.styles);
console.log(`static/window.css: ${made.styles.length} bytes`);
