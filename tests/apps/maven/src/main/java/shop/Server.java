package shop;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

public final class Server {
    private static final String VERSION = "1";

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Server::greet);
        server.createContext("/slow", Server::takeYourTime);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(10)));
        server.start();
    }

    private static void greet(HttpExchange exchange) throws IOException {
        answer(exchange, Greeting.words() + " " + VERSION + ", Java " + Runtime.version().feature() + "\n");
    }

    private static void takeYourTime(HttpExchange exchange) throws IOException {
        try {
            Thread.sleep(Long.parseLong(exchange.getRequestURI().getQuery().replace("seconds=", "")) * 1000);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        answer(exchange, "at last\n");
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        try (var out = exchange.getResponseBody()) {
            out.write(body);
        }
    }
}
