const { writeFileSync } = require("node:fs");
const { marked } = require("marked");

writeFileSync("page.html", marked.parse("# Built with a development dependency\n"));
