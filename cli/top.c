// freshet top: asks the daemons every few seconds and draws what they say.
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/top.h"

static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t resized;

static void on_signal(int number) {
    if (number == SIGWINCH)
        resized = 1;
    else
        stop_asked = 1;
}

// Colours wherever a person looks, unless NO_COLOR is set; blocks where the locale has them.
static struct top_screen screen_of(bool terminal) {
    struct winsize size;
    struct top_screen screen = {.colour = terminal && !getenv("NO_COLOR"),
                                .unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    if (!terminal)
        return screen;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    screen.width = known ? size.ws_col : 80;
    screen.height = known ? size.ws_row : 24;
    return screen;
}

static int print_json(const struct top_sight *sight) {
    json_t *all = top_json(sight);
    bool good = all && json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && putchar('\n') != EOF;
    json_decref(all);
    return good ? EXIT_DONE : EXIT_FAILED;
}

static int print_once(const struct top_sight *sight) {
    struct buffer text;
    struct top_screen screen = screen_of(false);
    buffer_init(&text);
    top_draw(sight, &screen, &text);
    bool good = !text.failed && fwrite(text.data, 1, text.length, stdout) == text.length;
    buffer_deinit(&text);
    return good ? EXIT_DONE : EXIT_FAILED;
}

// Everything is written at once, over what stood there, so that nothing flickers.
static void redraw(const struct top_sight *sight, size_t task) {
    struct buffer text, shown;
    struct top_screen screen = screen_of(true);
    screen.task = task;
    buffer_init(&text);
    buffer_init(&shown);
    top_draw(sight, &screen, &text);
    buffer_append_text(&shown, "\033[H");
    int rows = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] != '\n') {
            buffer_append_byte(&shown, text.data[i]);
            continue;
        }
        buffer_append_text(&shown, ++rows < screen.height ? "\033[K\r\n" : "\033[K");
    }
    buffer_append_text(&shown, "\033[J");
    for (size_t at = 0; !text.failed && !shown.failed && at < shown.length;) {
        ssize_t wrote = write(STDOUT_FILENO, shown.data + at, shown.length - at);
        if (wrote <= 0)
            break;
        at += (size_t)wrote;
    }
    buffer_deinit(&text);
    buffer_deinit(&shown);
}

// A key, or 0 when none came within the time or a signal did.
static char key_within(int timeout_ms) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;
    if (poll(&in, 1, timeout_ms) <= 0)
        return 0;
    if (read(STDIN_FILENO, &key, 1) != 1)
        stop_asked = 1; // the terminal has gone
    return key;
}

static void watch(struct top_sight *sight, int interval_ms) {
    size_t task = 0;
    while (!stop_asked) {
        top_fetch(sight);
        do {
            resized = 0;
            redraw(sight, task);
            char key = key_within(interval_ms);
            if (key == 'q' || key == 3)
                return;
            if (key == 't')
                task = task + 1 < 64 ? task + 1 : 0;
            else if (key == 0 && !resized)
                break;
        } while (!stop_asked);
    }
}

static int run_terminal(struct top_sight *sight, int interval_ms) {
    struct termios before, raw;
    struct sigaction action = {.sa_handler = on_signal};
    REQUIRE(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
            sigaction(SIGHUP, &action, NULL) == 0 && sigaction(SIGWINCH, &action, NULL) == 0);
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0;
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l", stdout);
    fflush(stdout);
    watch(sight, interval_ms);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return EXIT_DONE;
}

static int run_top(int argc, char **argv) {
    static struct top_sight sight;
    const char *addresses[TOP_DAEMONS_MAX] = {"127.0.0.1:9464"}, *interval = "2";
    bool once = false, json = false;
    int64_t seconds;
    const struct argument arguments[] = {{.name = "--once", .flag = &once},
                                         {.name = "--json", .flag = &json},
                                         {.name = "--interval", .value = &interval}};
    if (!arguments_parse(&command_top, argc, argv, arguments, 3, addresses, 0, TOP_DAEMONS_MAX) ||
        !arguments_number(&command_top, "--interval", interval, 1, 3600, &seconds))
        return EXIT_USAGE;
    for (size_t i = 0; i < TOP_DAEMONS_MAX && addresses[i]; i++, sight.count++) {
        struct error err;
        if (http_address_parse(addresses[i], &sight.daemons[i].address, &err) != STATUS_OK) {
            (void)command_fail(&err);
            return EXIT_USAGE;
        }
    }
    (void)setlocale(LC_CTYPE, "");
    if (!once && !json && isatty(STDOUT_FILENO))
        return run_terminal(&sight, (int)seconds * 1000);
    top_fetch(&sight);
    int code = json ? print_json(&sight) : print_once(&sight);
    for (size_t i = 0; i < sight.count && code == EXIT_DONE; i++)
        if (!sight.daemons[i].flow)
            code = (int)exit_code_of(sight.daemons[i].err.status);
    top_release(&sight);
    return code;
}

const struct command command_top = {
    .name = "top",
    .arguments = "[HOST:PORT...] [--once] [--json] [--interval SECONDS]",
    .summary = "watches daemons in a terminal",
    .help =
        "  HOST:PORT       monitor.listen of each daemon to watch; 127.0.0.1:9464 by default\n"
        "  --once          print once and end, as without a terminal\n"
        "  --json          print once as JSON: state, alarms and the newest value of each series\n"
        "  --interval N    seconds between two looks; 2 by default\n"
        "\n"
        "Keys: q ends, t shows the domains of the next task. The first lines name the daemons\n"
        "and their alarms; docs/operations.md says what to do about each. With --once and\n"
        "--json the exit code tells whether every daemon answered.",
    .run = run_top,
};
