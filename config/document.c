// Settings written out again: canonical lines, their hash, and the Markdown documentation.
#include <string.h>

#include "base/hash.h"
#include "config/config.h"
#include "config/scalar.h"

enum { PATH_TEXT_MAX = 256 };

struct walk {
    struct buffer *into;
    enum {
        WALK_ALL,      // secrets as "***"
        WALK_IDENTITY, // secrets and reloadable settings left out
        WALK_FIXED,    // reloadable settings left out, secrets as their hash
    } what;
};

static void print_table(const struct walk *walk, const struct option_table *table,
                        const void *settings, const char *path);

static void print_secret_hash(const struct walk *walk, const char *text) {
    buffer_append_text(walk->into, "%016llx",
                       (unsigned long long)(text ? hash_bytes(text, strlen(text), 0) : 0));
}

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
        bool secret = option->type == OPTION_SECRET;
        if ((walk->what != WALK_ALL && option->reloadable) ||
            (walk->what == WALK_IDENTITY && secret))
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
            if (secret && walk->what == WALK_FIXED)
                print_secret_hash(walk, *(const char *const *)field);
            else
                scalar_print(option, field, walk->into);
            buffer_append_byte(walk->into, '\n');
        }
    }
}

void config_print(const struct option_table *root, const void *settings, struct buffer *into) {
    struct walk walk = {into, WALK_ALL};
    print_table(&walk, root, settings, "");
}

// The key of the first line at which two texts of walks differ.
static bool first_difference(const struct buffer *before, const struct buffer *after, char *ret_key,
                             size_t size) {
    size_t line = 0, least = before->length < after->length ? before->length : after->length;
    for (size_t i = 0; i < least; i++) {
        if (before->data[i] != after->data[i]) {
            const struct buffer *longer = before->length >= after->length ? before : after;
            const char *text = (const char *)longer->data + line;
            snprintf(ret_key, size, "%.*s", (int)strcspn(text, " "), text);
            return true;
        }
        if (before->data[i] == '\n')
            line = i + 1;
    }
    return false;
}

bool config_unsafe_change(const struct option_table *root, const void *before, const void *after,
                          char *ret_key, size_t size) {
    struct buffer texts[2];
    const void *settings[2] = {before, after};
    for (int i = 0; i < 2; i++) {
        struct walk walk = {&texts[i], WALK_FIXED};
        buffer_init(&texts[i]);
        print_table(&walk, root, settings[i], "");
        buffer_append_byte(&texts[i], 0); // so that equal lengths or a difference end both
        REQUIRE(!texts[i].failed);
    }
    bool differ = first_difference(&texts[0], &texts[1], ret_key, size);
    buffer_deinit(&texts[0]);
    buffer_deinit(&texts[1]);
    return differ;
}

void config_reloadable(const struct option_table *root, const char *path, struct buffer *into) {
    for (size_t i = 0; i < root->count; i++) {
        const struct option *option = &root->options[i];
        char below[PATH_TEXT_MAX];
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", option->key);
        if (option->type == OPTION_SECTION)
            config_reloadable(option->table, below, into);
        else if (option->reloadable)
            buffer_append_text(into, "%s%s", into->length > 0 ? " " : "", below);
    }
}

uint64_t config_hash(const struct option_table *root, const void *settings) {
    struct buffer text;
    buffer_init(&text);
    struct walk walk = {&text, WALK_IDENTITY};
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
