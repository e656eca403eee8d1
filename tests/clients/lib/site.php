<?php
// A PHP site for what lib/story.py asks, whatever keeps its sessions. site() gets the functions that
// list the keys of all sessions and delete some.

// A session that can't be started is an error: PHP itself would only warn.
function started(): void
{
    if (!session_start()) {
        throw new RuntimeException('no session: ' . (error_get_last()['message'] ?? ''));
    }
}

function answer(string $route, callable $keys, callable $delete): array
{
    switch ($route) {
    case 'GET /list':
        return ['keys' => $keys()];
    case 'POST /clear':
        return ['deleted' => $delete($keys())];
    }
    started();
    switch ($route) {
    case 'POST /login':
        $_SESSION['user'] = $_POST['user'];
        break;
    case 'GET /count':
        $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
        break;
    case 'POST /renew':
        if (!session_regenerate_id(true)) {
            throw new RuntimeException('no other id');
        }
        break;
    case 'POST /logout':
        if (!session_destroy()) {
            throw new RuntimeException('not destroyed');
        }
        $_SESSION = [];
        break;
    }
    return ['user' => $_SESSION['user'] ?? null, 'count' => $_SESSION['count'] ?? null];
}

function site(callable $keys, callable $delete): void
{
    ini_set('display_errors', '0');
    ini_set('log_errors', '1');
    try {
        $route = $_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
        $answer = answer($route, $keys, $delete);
        // Written now, so that an error of it is this request's answer.
        if (session_status() === PHP_SESSION_ACTIVE && !session_write_close()) {
            throw new RuntimeException('not written');
        }
        header('Content-Type: application/json');
        echo json_encode($answer, JSON_THROW_ON_ERROR);
    } catch (Throwable $error) {
        error_log((string) $error);
        http_response_code(500);
        echo $error->getMessage();
    }
}
