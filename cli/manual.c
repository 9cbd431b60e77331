// roff and bash from texts that people read elsewhere too.
#include "cli/manual.h"

#include <stdio.h>
#include <string.h>

static const char exit_codes[] =
    "0 done\n1 failed\n2 the command line cannot be understood\n3 the configuration or its schemas "
    "are wrong\n4 a server could not be reached\n5 a newer instance of a task has taken over\n6 a "
    "log, build or configuration is not the one that the journal names\n7 stopped by a signal "
    "before the work was done\n";

// Text with roff's own characters escaped; a line that begins with a dot or quote stays text.
static void put_roff(struct buffer *into, const char *text, size_t length) {
    bool line_begins = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (line_begins && (c == '.' || c == '\''))
            buffer_append_text(into, "\\&");
        if (c == '\\')
            buffer_append_text(into, "\\e");
        else if (c == '-')
            buffer_append_text(into, "\\-");
        else
            buffer_append_byte(into, (unsigned char)c);
        line_begins = c == '\n';
    }
}

static void put_block(struct buffer *into, const char *text) {
    buffer_append_text(into, ".PP\n.nf\n");
    put_roff(into, text, strlen(text));
    buffer_append_text(into, "\n.fi\n");
}

void manual_page(struct buffer *into) {
    size_t count;
    const struct command *const *list = command_list(&count);
    buffer_append_text(into,
                       ".TH FRESHET 1 \"\" \"freshet " FRESHET_VERSION "\"\n.SH NAME\nfreshet "
                       "\\- continual learning of recommender models from event streams\n"
                       ".SH SYNOPSIS\n.B freshet\n.I COMMAND\n[\\fIARGUMENTS\\fR]\n"
                       ".SH COMMANDS\n");
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(into, ".SS ");
        put_roff(into, list[i]->name, strlen(list[i]->name));
        buffer_append_byte(into, ' ');
        put_roff(into, list[i]->arguments, strlen(list[i]->arguments));
        buffer_append_byte(into, '\n');
        put_roff(into, list[i]->summary, strlen(list[i]->summary));
        buffer_append_byte(into, '\n');
        put_block(into, list[i]->help);
    }
    buffer_append_text(into, ".SH EXIT STATUS\n");
    put_block(into, exit_codes);
    buffer_append_text(into, ".SH SIGNALS\nSIGTERM and SIGINT: commit, take a checkpoint, end. "
                             "SIGHUP: read the settings again that may change while running; "
                             "a change of any other is refused whole.\n"
                             ".SH SEE ALSO\n.BR freshet (5)\n");
}

// A row of the documentation's tables: | `key` | type | default | help |
static bool put_row(struct buffer *into, const char *line, size_t length) {
    const char *cells[5];
    size_t lengths[5], count = 0;
    for (size_t at = 1; at < length && count < 5;) {
        size_t end = at;
        while (end < length && !(line[end] == '|' && line[end - 1] != '\\'))
            end++;
        if (end >= length && count < 4)
            return false;
        size_t begin = at + (line[at] == ' '), cut = end - (end > begin && line[end - 1] == ' ');
        cells[count] = line + begin;
        lengths[count++] = cut - begin;
        at = end + 1;
    }
    if (count < 4 || lengths[0] < 3 || cells[0][0] != '`')
        return false;
    buffer_append_text(into, ".TP\n\\fB");
    put_roff(into, cells[0] + 1, lengths[0] - 2);
    buffer_append_text(into, "\\fR (");
    put_roff(into, cells[1], lengths[1]);
    if (lengths[2] > 0) {
        buffer_append_text(into, "; ");
        put_roff(into, cells[2], lengths[2]);
    }
    buffer_append_text(into, ")\n");
    put_roff(into, cells[3], lengths[3]);
    buffer_append_byte(into, '\n');
    return true;
}

void manual_config_page(struct buffer *into) {
    struct buffer text;
    buffer_init(&text);
    config_document(&settings_options, &text);
    buffer_append_byte(&text, 0);
    into->failed |= text.failed;
    buffer_append_text(into,
                       ".TH FRESHET 5 \"\" \"freshet " FRESHET_VERSION "\"\n.SH NAME\nfreshet "
                       "\\- configuration of a deployment\n.SH DESCRIPTION\n");
    for (const char *line = text.failed ? "" : (const char *)text.data; *line;) {
        size_t length = strcspn(line, "\n"), hashes = strspn(line, "#");
        if (hashes > 0 && line[hashes] == ' ') {
            buffer_append_text(into, hashes <= 2 ? ".SH " : ".SS ");
            put_roff(into, line + hashes + 1, length - hashes - 1);
            buffer_append_byte(into, '\n');
        } else if (line[0] == '|') {
            (void)put_row(into, line, length); // heads and rules of tables are left out
        } else if (length == 0) {
            buffer_append_text(into, ".PP\n");
        } else {
            put_roff(into, line, length);
            buffer_append_byte(into, '\n');
        }
        line += length + (line[length] == '\n');
    }
    buffer_append_text(into, ".SH SEE ALSO\n.BR freshet (1)\n");
    buffer_deinit(&text);
}

// Each --option that a text names, once.
static void put_options(struct buffer *into, const char *text) {
    for (const char *at = text; (at = strstr(at, "--")) != NULL;) {
        size_t length = 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-");
        bool seen = length < 4;
        for (const char *before = text; before < at && !seen; before++)
            seen = strncmp(before, at, length) == 0 &&
                   strspn(before + 2, "abcdefghijklmnopqrstuvwxyz-") + 2 == length;
        if (!seen)
            buffer_append_text(into, " %.*s", (int)length, at);
        at += length;
    }
}

void manual_bash(struct buffer *into) {
    size_t count;
    const struct command *const *list = command_list(&count);
    buffer_append_text(into, "# Completion of freshet's commands and options for bash.\n"
                             "_freshet() {\n"
                             "    local word=${COMP_WORDS[COMP_CWORD]} options\n"
                             "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                             "        COMPREPLY=($(compgen -W \"");
    for (size_t i = 0; i < count; i++)
        buffer_append_text(into, "%s ", list[i]->name);
    buffer_append_text(into, "--help --version\" -- \"$word\"))\n"
                             "        return\n"
                             "    fi\n"
                             "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < count; i++) {
        char text[4096];
        snprintf(text, sizeof text, "%s %s", list[i]->arguments, list[i]->help);
        buffer_append_text(into, "        %s) options=\"", list[i]->name);
        put_options(into, text);
        buffer_append_text(into, " --help\" ;;\n");
    }
    buffer_append_text(into, "        *) return ;;\n"
                             "    esac\n"
                             "    case $word in\n"
                             "        -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
                             "        *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                             "    esac\n"
                             "}\n"
                             "complete -o filenames -F _freshet freshet\n");
}
