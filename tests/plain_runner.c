/*
 * plain_runner: runs tests that are written for Criterion without its library: each in a plain fork of
 * the program. For ThreadSanitizer, under which the library finds no room for its arena in the address space,
 * and for a debugger. Understands --tap=FILE, --timeout SECONDS, --filter TEXT and -j N.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, MOST_JOBS = 64 };

struct criterion_options criterion_options;

/* Criterion's macros put pointers to all tests and suites into these sections. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

/* What a program does before and after all its tests. */
extern f_report_hook __start_cr_pra[] __attribute__((weak)), __stop_cr_pra[] __attribute__((weak));
extern f_report_hook __start_cr_poa[] __attribute__((weak)), __stop_cr_poa[] __attribute__((weak));

/* Of the one test that this process runs. */
static const struct criterion_test *current;
static const struct criterion_suite *current_suite;
static jmp_buf *left; /* where a test that ends early goes on */
static int failures;
static bool skipped;

void criterion_internal_test_setup(void)
{
    if (current_suite != NULL && current_suite->data->init != NULL)
        current_suite->data->init();
    if (current->data->init != NULL)
        current->data->init();
}

void criterion_internal_test_main(void (*run)(void))
{
    jmp_buf after, *before = left;
    left = &after;
    if (setjmp(after) == 0)
        run();
    left = before;
}

void criterion_internal_test_teardown(void)
{
    if (current->data->fini != NULL)
        current->data->fini();
    if (current_suite != NULL && current_suite->data->fini != NULL)
        current_suite->data->fini();
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (stats->passed)
        return;
    failures++;
    (void)fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
}

void criterion_abort_test(void)
{
    longjmp(*left, 1);
}

void criterion_continue_test(void)
{
}

void criterion_skip_test(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    skipped = true;
    longjmp(*left, 1);
}

void criterion_test_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void cri_asserts_passed_incr(void)
{
}

char *cr_translate_assert_msg(int number, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, number);
    const char *expression = va_arg(arguments, const char *);
    if (asprintf(&text, "assertion failed: %s", expression) < 0)
        text = NULL;
    va_end(arguments);
    return text;
}

int cr_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(text, format, arguments);
    va_end(arguments);
    return length;
}

int cr_vasprintf(char **text, const char *format, va_list arguments)
{
    return vasprintf(text, format, arguments);
}

void cr_asprintf_free(char *text)
{
    free(text);
}

/* ------------------------------------------------- what a test prints */

static FILE *redirected[3];

static void redirect(int number)
{
    redirected[number] = tmpfile();
    if (redirected[number] == NULL || dup2(fileno(redirected[number]), number) < 0)
        criterion_test_die("cannot redirect descriptor %d\n", number);
}

void cr_redirect_stdout(void)
{
    redirect(STDOUT_FILENO);
}

void cr_redirect_stderr(void)
{
    redirect(STDERR_FILENO);
}

static int has_printed(int number, const char *expected)
{
    static char printed[1 << 16];
    (void)fflush(NULL);
    rewind(redirected[number]);
    size_t length = fread(printed, 1, sizeof printed - 1, redirected[number]);
    printed[length] = '\0';
    return strcmp(printed, expected) == 0;
}

int cr_stdout_match_str(const char *expected)
{
    return has_printed(STDOUT_FILENO, expected);
}

int cr_stderr_match_str(const char *expected)
{
    return has_printed(STDERR_FILENO, expected);
}

/* ---------------------------------------------------------- the runner */

struct job {
    pid_t pid; /* 0: free */
    const struct criterion_test *test;
};

static struct job jobs[MOST_JOBS];
static FILE *tap;
static unsigned failed_tests;

static const struct criterion_suite *suite_of(const struct criterion_test *test)
{
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
        if (*suite != NULL && strcmp((*suite)->name, test->category) == 0)
            return *suite;
    return NULL;
}

static _Noreturn void be_test(const struct criterion_test *test, unsigned timeout)
{
    current = test;
    current_suite = suite_of(test);
    double own = test->data->timeout;
    if (own == 0 && current_suite != NULL)
        own = current_suite->data->timeout;
    alarm(own > timeout ? (unsigned)own : timeout);
    jmp_buf after;
    left = &after;
    if (setjmp(after) == 0)
        test->test();
    (void)fflush(NULL);
    exit(skipped ? EXIT_SKIPPED : failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS); /* where a sanitiser may yet object */
}

static void report(const struct criterion_test *test, int status)
{
    const char *name = test->name, *suite = test->category;
    int expected_signal = test->data->signal;
    bool good = expected_signal != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == expected_signal
                                     : WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        (void)fprintf(tap, "ok - %s::%s # SKIP\n", suite, name);
    } else if (good) {
        (void)fprintf(tap, "ok - %s::%s\n", suite, name);
    } else {
        failed_tests++;
        (void)fprintf(tap, "not ok - %s::%s %s\n", suite, name,
                      WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "timed out" : "");
        (void)fprintf(stderr, "[FAIL] %s::%s (%s %d)\n", suite, name, WIFSIGNALED(status) ? "signal" : "exit status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    (void)fflush(tap);
}

/* Waits for one of the tests under way, and returns its place. A hook's own children may end meanwhile. */
static int wait_for_one(void)
{
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0)
            criterion_test_die("no test is under way\n");
        for (int i = 0; i < MOST_JOBS; i++)
            if (jobs[i].pid == pid) {
                jobs[i].pid = 0;
                report(jobs[i].test, status);
                return i;
            }
    }
}

static void run_all(const char *filter, unsigned timeout, int width)
{
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (*test == NULL || (*test)->data->disabled ||
            (filter != NULL && strstr((*test)->data->identifier_, filter) == NULL))
            continue;
        int place = 0;
        while (place < width && jobs[place].pid != 0)
            place++;
        if (place == width)
            place = wait_for_one();
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            be_test(*test, timeout);
        jobs[place] = (struct job){.pid = pid, .test = *test};
    }
    for (int i = 0; i < MOST_JOBS; i++)
        while (jobs[i].pid != 0)
            (void)wait_for_one();
}

static void call_hooks(f_report_hook *hook, const f_report_hook *end)
{
    for (; hook < end; hook++)
        if (*hook != NULL)
            (*hook)(NULL);
}

int main(int argc, char **argv)
{
    const char *filter = NULL;
    unsigned timeout = 120;
    int width = 2;
    tap = stdout;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--tap=", 6) == 0)
            tap = fopen(argv[i] + 6, "we");
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc)
            timeout = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            filter = argv[++i];
        else if (strncmp(argv[i], "-j", 2) == 0)
            width = atoi(argv[i] + 2);
    }
    if (tap == NULL || width < 1 || width > MOST_JOBS)
        return 2;
    call_hooks(__start_cr_pra, __stop_cr_pra);
    run_all(filter, timeout, width);
    call_hooks(__start_cr_poa, __stop_cr_poa);
    return failed_tests > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
