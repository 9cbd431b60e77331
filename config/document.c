// Settings written out again: canonical lines, their hash, and the Markdown documentation.
#include <string.h>

#include "base/hash.h"
#include "config/config.h"
#include "config/scalar.h"

enum { PATH_TEXT_MAX = 256 };

struct walk {
    struct buffer *into;
    bool identity; // leave out secrets and reloadable settings
};

static void print_table(const struct walk *walk, const struct option_table *table,
                        const void *settings, const char *path);

static void print_items(const struct walk *walk, const struct option *option, const void *field,
                        const char *path) {
    const struct option_sections *list = field;
    if (option->type == OPTION_SECTIONS) {
        for (size_t i = 0; i < list->count; i++) {
            char below[PATH_TEXT_MAX];
            int length = snprintf(below, sizeof below, "%s[%zu]", path, i);
            REQUIRE(length > 0 && (size_t)length < sizeof below);
            print_table(walk, option->table,
                        (const unsigned char *)list->items + i * option->table->struct_bytes,
                        below);
        }
        return;
    }
    size_t size = option->type == OPTION_INTS ? sizeof(int64_t) : sizeof(const char *);
    buffer_append_text(walk->into, "%s = [", path);
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_text(walk->into, i ? ", " : "");
        scalar_print(option, (const unsigned char *)list->items + i * size, walk->into);
    }
    buffer_append_text(walk->into, "]\n");
}

static void print_table(const struct walk *walk, const struct option_table *table,
                        const void *settings, const char *path) {
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const void *field = (const unsigned char *)settings + option->offset;
        char below[PATH_TEXT_MAX];
        if (walk->identity && (option->reloadable || option->type == OPTION_SECRET))
            continue;
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", option->key);
        switch (option->type) {
        case OPTION_SECTION:
            print_table(walk, option->table, field, below);
            break;
        case OPTION_SECTIONS:
        case OPTION_INTS:
        case OPTION_TEXTS:
            print_items(walk, option, field, below);
            break;
        default:
            buffer_append_text(walk->into, "%s = ", below);
            scalar_print(option, field, walk->into);
            buffer_append_byte(walk->into, '\n');
        }
    }
}

void config_print(const struct option_table *root, const void *settings, struct buffer *into) {
    struct walk walk = {into, false};
    print_table(&walk, root, settings, "");
}

uint64_t config_hash(const struct option_table *root, const void *settings) {
    struct buffer text;
    buffer_init(&text);
    struct walk walk = {&text, true};
    print_table(&walk, root, settings, "");
    REQUIRE(!text.failed); // a few kilobytes at start: there is no going on without
    uint64_t hash = hash_bytes(text.data, text.length, 0);
    buffer_deinit(&text);
    return hash;
}

static void document_type(const struct option *option, struct buffer *into) {
    if (option->type == OPTION_CHOICE) {
        for (int i = 0; option->choices[i]; i++)
            buffer_append_text(into, "%s`%s`", i ? ", " : "", option->choices[i]);
        return;
    }
    buffer_append_text(into, "%s", scalar_type_name(option->type));
    size_t before = into->length;
    buffer_append_text(into, ", ");
    size_t comma = into->length;
    scalar_print_range(option, into);
    if (into->length == comma)
        into->length = before; // no range
}

static void document_default(const struct option *option, struct buffer *into) {
    if (option->type == OPTION_SECTIONS)
        buffer_append_text(into, "none");
    else if (!option->default_text && option->type != OPTION_INTS && option->type != OPTION_TEXTS)
        buffer_append_text(into, "**required**");
    else if (!option->default_text || !option->default_text[0])
        buffer_append_text(into, "empty");
    else
        buffer_append_text(into, "`%s`", option->default_text);
}

static void document_table(const struct option_table *table, const char *path,
                           struct buffer *into) {
    bool scalars = false;
    buffer_append_text(into, "\n## %s\n\n%s\n", path[0] ? path : "Top level", table->help);
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type == OPTION_SECTION)
            continue;
        if (!scalars)
            buffer_append_text(into, "\n| key | type | default | meaning |\n|---|---|---|---|\n");
        scalars = true;
        buffer_append_text(into, "| `%s` | ", option->key);
        document_type(option, into);
        buffer_append_text(into, " | ");
        document_default(option, into);
        buffer_append_text(into, " | %s%s |\n", option->help,
                           option->reloadable ? " Safe to reload." : "");
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        if (option->type != OPTION_SECTION && option->type != OPTION_SECTIONS)
            continue;
        char below[PATH_TEXT_MAX];
        snprintf(below, sizeof below, "%s%s%s%s", path, path[0] ? "." : "", option->key,
                 option->type == OPTION_SECTIONS ? "[]" : "");
        document_table(option->table, below, into);
    }
}

void config_document(const struct option_table *root, struct buffer *into) {
    buffer_append_text(
        into,
        "# %s\n\n%s\n\nGenerated by `freshet options`. Durations are written `250ms`, "
        "`10s`, `5m`, `2h`, `7d`; sizes `64KiB`, `512MiB`, `2GiB`. `${NAME}` and "
        "`${NAME:-default}` are replaced by the environment. A secret may be given "
        "as `{file: PATH}` or `{env: NAME}`. A key that is not known is refused.\n",
        root->title, root->help);
    document_table(root, "", into);
}
