import express from "express";

const app = express();
app.use(express.static("dist"));
app.get("/slow", (request, response) => {
  const seconds = Math.min(Number(request.query.seconds ?? 1), 20);
  setTimeout(() => response.send(`Slept ${seconds} s\n`), seconds * 1000);
});

const server = app.listen(process.env.PORT, () => console.log(`listening on ${process.env.PORT}`));
process.on("SIGTERM", () => {
  server.close(() => console.log("stopped"));
  server.closeIdleConnections();
});
