package shop;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

final class Greeting {
    static String words() throws IOException {
        try (InputStream file = Greeting.class.getResourceAsStream("/greeting.txt")) {
            return new String(file.readAllBytes(), StandardCharsets.UTF_8).strip();
        }
    }
}
