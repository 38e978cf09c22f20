<?php

declare(strict_types=1);

require __DIR__ . '/../vendor/autoload.php';

$path = (string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($path === '/slow') {
    sleep((int) ($_GET['seconds'] ?? 1));
}
if ($path === '/log') {
    error_log('a line of the app');
}
if (!in_array($path, ['/', '/slow', '/log'], true)) {
    http_response_code(404);
    exit('There is no ' . htmlspecialchars($path));
}

echo (new Shop\Greeting())->text(), "\n";
