<?php

declare(strict_types=1);

namespace Shop;

final class Greeting
{
    public const VERSION = 1;

    public function text(): string
    {
        return 'Hello from PHP, version ' . self::VERSION;
    }
}
