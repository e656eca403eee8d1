<?php
// PHP's sessions, kept in Redis by Predis' handler.
require __DIR__ . '/../lib/site.php';
require '/usr/share/php/Predis/Autoloader.php';
Predis\Autoloader::register();

$redis = new Predis\Client(
    ['host' => getenv('REDIS_HOST'), 'port' => (int) getenv('REDIS_PORT'), 'password' => getenv('REDIS_PASSWORD')],
    ['prefix' => 'sessions:']
);
$handler = new Predis\Session\Handler($redis, ['gc_maxlifetime' => (int) getenv('SESSION_SECONDS')]);
$handler->register();

// The prefix is put before a pattern, and stays on the keys that SCAN returns.
function keys(Predis\Client $redis): array
{
    return array_values(array_unique(iterator_to_array(new Predis\Collection\Iterator\Keyspace($redis, '*'), false)));
}

function delete(Predis\Client $redis, array $keys): int
{
    $bare = array_map(fn (string $key) => substr($key, strlen('sessions:')), $keys);
    return $bare ? $redis->del($bare) : 0;
}

site(fn () => keys($redis), fn (array $keys) => delete($redis, $keys));
