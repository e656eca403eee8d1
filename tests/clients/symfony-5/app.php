<?php
// PHP's sessions, kept in Redis by Symfony's handler.
require __DIR__ . '/../lib/phpredis.php';
require __DIR__ . '/../lib/site.php';
require 'Symfony/Component/HttpFoundation/autoload.php';

use Symfony\Component\HttpFoundation\Session\Storage\Handler\RedisSessionHandler;

try {
    $redis = redis();
    $handler = new RedisSessionHandler($redis, ['ttl' => (int) getenv('SESSION_SECONDS')]);
    session_set_save_handler($handler, true);
} catch (RedisException $error) {
    http_response_code(500);
    exit($error->getMessage());
}
site(fn () => keys($redis, 'sf_s*'), fn (array $keys) => $keys ? $redis->del($keys) : 0);
