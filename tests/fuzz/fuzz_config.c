// A configuration of any text against the whole table of options.
#include <string.h>

#include "base/disk.h"
#include "cli/settings.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    struct settings settings;
    struct arena arena;
    struct error err;
    // Secrets may name files; a configuration is its owner's, but no fuzzing should read about.
    for (size_t i = 0; i + 4 < length; i++)
        if (memcmp(bytes + i, "file:", 5) == 0)
            return 0;
    memset(&settings, 0, sizeof settings);
    arena_init(&arena, 4096);
    enum status status = config_parse("fuzz", (const char *)bytes, length, &settings_options,
                                      &settings, &arena, &err);
    if (status == STATUS_OK) {
        struct buffer text;
        buffer_init(&text);
        config_print(&settings_options, &settings, &text);
        (void)config_hash(&settings_options, &settings);
        if (spec_check(&settings.data, &err) != STATUS_OK ||
            ingest_settings_check(&settings.ingest, &err) != STATUS_OK)
            REQUIRE(err.message[0] != '\0');
        buffer_deinit(&text);
    } else {
        REQUIRE(err.message[0] != '\0' && !strchr(err.message, '\n'));
    }
    arena_deinit(&arena);
    return 0;
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    static const char *const files[] = {"config/simulated.yaml", "config/kuairand.yaml",
                                        "config/compose.yaml"};
    static const char small[] = "a: &x [1, *x]\n? {b: c}\n: !!int '3'\n--- |\n text\n";
    struct error err;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buffer text;
        buffer_init(&text);
        REQUIRE(disk_read_all(files[i], &text, &err) == STATUS_OK);
        emit(text.data, text.length);
        buffer_deinit(&text);
    }
    emit(small, sizeof small - 1);
}
