const mime = require("mime");

exports.greeting = () => `Hello from a workspace, version 1, with ${mime.getType("a.html")}`;
