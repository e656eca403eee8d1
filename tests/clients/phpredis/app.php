<?php
// PHP's own sessions, kept in Redis by the handler of phpredis. php.ini's settings are in `run`; the
// place is set here, because it depends on the environment.
require __DIR__ . '/../lib/phpredis.php';
require __DIR__ . '/../lib/site.php';

$place = getenv('REDIS_HOST') . ':' . getenv('REDIS_PORT');
ini_set('session.save_path', "tcp://$place?auth=" . urlencode(getenv('REDIS_PASSWORD')));
ini_set('session.gc_maxlifetime', getenv('SESSION_SECONDS'));

site(
    fn () => keys(redis(), 'PHPREDIS_SESSION:*'),
    fn (array $keys) => $keys ? redis()->del($keys) : 0
);
