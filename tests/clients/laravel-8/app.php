<?php
// A PHP site whose sessions are Laravel's, in the cache, in Redis. What the framework's middleware does for
// each request (StartSession) is done by hand: its id comes from the cookie, it is started and saved.
require __DIR__ . '/../lib/phpredis.php';
require 'Illuminate/Session/autoload.php';
require 'Illuminate/Cache/autoload.php';
require 'Illuminate/Redis/autoload.php';

use Illuminate\Cache\RedisStore;
use Illuminate\Cache\Repository;
use Illuminate\Redis\RedisManager;
use Illuminate\Session\CacheBasedSessionHandler;
use Illuminate\Session\Store;

const COOKIE = 'laravel_session';
const PREFIX = 'laravel_cache';

$redis = new RedisManager(null, 'phpredis', ['default' => [
    'host' => getenv('REDIS_HOST'), 'port' => getenv('REDIS_PORT'), 'database' => 0,
    'password' => getenv('REDIS_PASSWORD'),
]]);

function session(RedisManager $redis): Store
{
    $minutes = (int) getenv('SESSION_SECONDS') / 60;
    $cache = new Repository(new RedisStore($redis, PREFIX, 'default'));
    $session = new Store(COOKIE, new CacheBasedSessionHandler($cache, $minutes));
    $session->setId($_COOKIE[COOKIE] ?? null);
    $session->start();
    return $session;
}

function change(string $route, Store $session): void
{
    switch ($route) {
    case 'POST /login':
        $session->put('user', $_POST['user']);
        break;
    case 'GET /count':
        $session->increment('count');
        break;
    case 'POST /renew':
        $session->migrate(true);
        break;
    case 'POST /logout':
        $session->invalidate();
        break;
    }
}

function answer(string $route, RedisManager $redis): array
{
    $client = $redis->connection()->client();
    switch ($route) {
    case 'GET /list':
        return ['keys' => keys($client, PREFIX . ':*')];
    case 'POST /clear':
        $keys = keys($client, PREFIX . ':*');
        return ['deleted' => $keys ? $client->del($keys) : 0];
    }
    $session = session($redis);
    change($route, $session);
    $session->save();
    setcookie(COOKIE, $session->getId(), 0, '/');
    return ['user' => $session->get('user'), 'count' => $session->get('count')];
}

ini_set('display_errors', '0');
ini_set('log_errors', '1');
try {
    $route = $_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    $answer = answer($route, $redis);
    header('Content-Type: application/json');
    echo json_encode($answer, JSON_THROW_ON_ERROR);
} catch (Throwable $error) {
    error_log((string) $error);
    http_response_code(500);
    echo $error->getMessage();
}
