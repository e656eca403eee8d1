/* exec: see exec.h. The loop gets SIGCHLD like any other signal. Nothing but async-signal-safe
 * calls stand between fork and exec: threads that look names up may be running. */
#include "cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/exec_place.h"

extern char **environ;

/* An application's first command should not find a server that has not yet met its PostgreSQL. */
enum { START_PATIENCE_US = 5 * 1000 * 1000 };

struct exec {
    struct exec_place place;
    char **command; /* main()'s */
    char **argv;    /* ours, its strings main()'s and the place's */
    pid_t child;    /* 0 = not started, or ended */
    bool due;       /* prepared, not started */
    int64_t start_at_us; /* whatever the server's state is then */
    bool own_group; /* it has the terminal */
    struct timer *killer;
    struct timer *starter; /* has the loop turn at start_at_us */
    struct loop *loop;
    const struct config *config;
    void (*ended)(void *arg, int code);
    void *arg;
};

const int exec_passed_signals[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH,
                                   SIGTTIN, SIGTTOU, SIGCONT, 0};

/* ---- the command line ---- */

/* Behind --exec everything belongs to the command. */
static int find_exec(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--exec") == 0)
            return i;
    }
    return argc;
}

/* `--exec-url KIND` or `--exec-url=KIND` among the first *argc words, which loses it. */
static bool take_kind(int *argc, char **argv, bool *given, bool *tcp, struct buf *error)
{
    int kept = 0;
    *given = *tcp = false;
    for (int i = 0; i < *argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--exec-url") == 0)
            value = i + 1 < *argc ? argv[++i] : "";
        else if (strncmp(argv[i], "--exec-url=", 11) == 0)
            value = argv[i] + 11;
        else
            argv[kept++] = argv[i];
        if (value == NULL)
            continue;
        *given = true;
        *tcp = strcmp(value, "tcp") == 0;
        if (!*tcp && strcmp(value, "unix") != 0) {
            buf_append_cstr(error, "command line: --exec-url is unix or tcp");
            return false;
        }
    }
    *argc = kept;
    return true;
}

static bool gives_password(int argc, char **argv, char **env)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--requirepass", 13) == 0)
            return true;
    }
    for (; *env != NULL; env++) {
        if (strncmp(*env, "RESPGRES_CONF_REQUIREPASS", 25) == 0)
            return true;
    }
    return false;
}

/* Program, file, the place's flags, the user's flags. */
static void stack_flags(struct exec *x, int *argc, char ***argv)
{
    char *flags[EXEC_FLAGS_MAX];
    int extra = exec_place_flags(&x->place, flags);
    int n = 0;
    int from = 0;
    x->argv = mem_alloc((size_t)(*argc + extra + 1) * sizeof(*x->argv));
    do {
        x->argv[n++] = (*argv)[from++];
    } while (from < *argc && from < 2 && strncmp((*argv)[from], "--", 2) != 0);
    for (int i = 0; i < extra; i++)
        x->argv[n++] = flags[i];
    while (from < *argc)
        x->argv[n++] = (*argv)[from++];
    x->argv[n] = NULL;
    *argc = n;
    *argv = x->argv;
}

bool exec_take(int *argc, char ***argv, char **env, struct exec **x, struct buf *error)
{
    bool given;
    bool tcp;
    int at = find_exec(*argc, *argv);
    int command = at + 1;
    bool wanted = at < *argc;
    *x = NULL;
    if (wanted && command < *argc && strcmp((*argv)[command], "--") == 0)
        command++;
    if (wanted && command >= *argc) {
        buf_append_cstr(error, "command line: --exec needs a command: --exec -- gunicorn app:app");
        return false;
    }
    char **rest = *argv + command;
    *argc = at;
    if (!take_kind(argc, *argv, &given, &tcp, error))
        return false;
    if (wanted) {
        struct exec *made = mem_zalloc(sizeof(*made));
        made->command = rest;
        if (!exec_place_make(&made->place, tcp, gives_password(*argc, *argv, env), error)) {
            exec_free(made);
            return false;
        }
        stack_flags(made, argc, argv);
        *x = made;
    } else if (given) {
        buf_append_cstr(error, "command line: --exec-url is for --exec");
        return false;
    }
    return true;
}

void exec_free(struct exec *x)
{
    if (x == NULL)
        return;
    timer_free(x->killer);
    timer_free(x->starter);
    exec_place_remove(&x->place);
    mem_free(x->argv);
    mem_free(x);
}

/* ---- the child ---- */

static void reset_signals(void)
{
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        (void)sigaction(signo, &fresh, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

/* In the child, all signals blocked. Should respgres die, the application must not stay. */
static void become(const struct exec *x, char **env, pid_t parent)
{
    if (x->own_group) {
        (void)setpgid(0, 0);
        (void)tcsetpgrp(STDIN_FILENO, getpid());
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    reset_signals();
    execvpe(x->command[0], x->command, env);
    int why = errno;
    say("respgres: --exec: ");
    say(x->command[0]);
    say(why == ENOENT ? ": not found\n" : ": cannot be run\n");
    _exit(why == ENOENT ? 127 : 126);
}

static void give_terminal_back(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    (void)sigaction(SIGTTOU, &ignore, &before);
    (void)tcsetpgrp(STDIN_FILENO, getpgrp());
    (void)sigaction(SIGTTOU, &before, NULL);
}

static void on_ended(struct exec *x, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    log_event(LOG_NOTICE, "child-ended", "pid=%d code=%d", (int)x->child, code);
    x->child = 0;
    if (x->own_group)
        give_terminal_back();
    if (x->killer != NULL)
        timer_clear(x->killer);
    x->ended(x->arg, code);
}

static void on_child_signal(void *arg, int signo)
{
    struct exec *x = arg;
    int status;
    pid_t pid;
    (void)signo;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == x->child)
            on_ended(x, status);
    }
}

static void on_start_time(void *arg)
{
    (void)arg; /* exec_turn looks at the clock */
}

bool exec_prepare(struct exec *x, struct loop *loop, const struct config *c,
                  void (*ended)(void *arg, int code), void *arg, struct buf *error)
{
    if (x->place.tcp ? c->port == 0 : c->unixsocket[0] == '\0') {
        buf_printf(error, "--exec: %s is turned off, so there is nothing to tell the command",
                   x->place.tcp ? "port" : "unixsocket");
        return false;
    }
    x->loop = loop;
    x->config = c;
    x->ended = ended;
    x->arg = arg;
    x->due = true;
    x->start_at_us = clock_mono_us() + START_PATIENCE_US;
    x->starter = timer_new(loop, on_start_time, x);
    timer_set(x->starter, START_PATIENCE_US);
    return true;
}

static bool start(struct exec *x, struct buf *error)
{
    char **env = exec_place_environment(&x->place, x->config, environ);
    pid_t self = getpid();
    sigset_t all, before;
    x->own_group = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    loop_on_signal(x->loop, SIGCHLD, on_child_signal, x);
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(x, env, self);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    exec_place_free_environment(env);
    if (pid < 0) {
        buf_printf(error, "--exec: %s", strerror(errno));
        return false;
    }
    x->child = pid;
    log_event(LOG_NOTICE, "child-started", "pid=%d", (int)pid);
    return true;
}

bool exec_turn(struct exec *x, bool serves, struct buf *error)
{
    if (x == NULL || !x->due || (!serves && clock_mono_us() < x->start_at_us))
        return true;
    x->due = false;
    timer_clear(x->starter);
    return start(x, error);
}

int64_t exec_port(const struct exec *x)
{
    if (x == NULL)
        return -1;
    return x->place.tcp ? strtol(x->place.port, NULL, 10) : 0;
}

bool exec_running(const struct exec *x)
{
    return x != NULL && x->child != 0;
}

void exec_signal(struct exec *x, int signo)
{
    if (exec_running(x))
        (void)kill(x->child, signo);
}

static void on_patience_gone(void *arg)
{
    exec_signal(arg, SIGKILL);
}

void exec_end(struct exec *x, struct loop *loop, int64_t patience_us)
{
    exec_signal(x, SIGTERM);
    if (x->killer == NULL)
        x->killer = timer_new(loop, on_patience_gone, x);
    timer_set(x->killer, patience_us);
}

void exec_reap_orphans(void)
{
    (void)signal(SIGCHLD, SIG_IGN);
}
