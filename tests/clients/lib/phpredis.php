<?php
// A connection of phpredis, and the keys that it finds.

function redis(): Redis
{
    $redis = new Redis();
    $redis->connect(getenv('REDIS_HOST'), (int) getenv('REDIS_PORT'));
    $redis->auth(getenv('REDIS_PASSWORD'));
    return $redis;
}

function keys(Redis $redis, string $pattern): array
{
    $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    $cursor = null;
    $keys = [];
    while (($some = $redis->scan($cursor, $pattern)) !== false) {
        $keys = array_merge($keys, $some);
    }
    return array_values(array_unique($keys));
}
