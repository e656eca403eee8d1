<?php
// PHP's own sessions, kept in Redis by the handler of phpredis. php.ini's settings are in `run`; the
// place is set here, because it depends on the environment.
require __DIR__ . '/../lib/site.php';

$place = getenv('REDIS_HOST') . ':' . getenv('REDIS_PORT');
ini_set('session.save_path', "tcp://$place?auth=" . urlencode(getenv('REDIS_PASSWORD')));
ini_set('session.gc_maxlifetime', getenv('SESSION_SECONDS'));

function redis(): Redis
{
    $redis = new Redis();
    $redis->connect(getenv('REDIS_HOST'), (int) getenv('REDIS_PORT'));
    $redis->auth(getenv('REDIS_PASSWORD'));
    $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    return $redis;
}

function keys(): array
{
    $redis = redis();
    $cursor = null;
    $keys = [];
    while (($some = $redis->scan($cursor, 'PHPREDIS_SESSION:*')) !== false) {
        $keys = array_merge($keys, $some);
    }
    return array_values(array_unique($keys));
}

site('keys', fn (array $keys) => $keys ? redis()->del($keys) : 0);
