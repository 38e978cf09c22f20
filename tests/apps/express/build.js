// The build step: a page from Markdown, with a package that only the build needs.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { marked } from "marked";

mkdirSync("dist", { recursive: true });
writeFileSync("dist/index.html", marked.parse(readFileSync("page.md", "utf8")));
console.log("wrote dist/index.html");
