// Checkpoints: a folder per generation, of named sections, each with its length and checksum in a
// manifest that is written last and renamed into place with the folder.
//
//   DIRECTORY/checkpoints/00000000000000000042/{manifest, SECTION...}
//
// Writing is a matter of two threads: the stage's hands over bytes as they were at the cut, another
// writes, syncs and renames. A checkpoint counts when checkpoint_writer_poll says that it is
// durable.
//
// A generation whose manifest or any checksum does not hold is passed over for the one before, with
// a warning that says so, and renamed to NUMBER.corrupt. A stage may also place files of its own
// (RocksDB's hard links) in the folder given by checkpoint_writer_path; it names them by
// checkpoint_add_file so that they are checked too.
//
// The manifest is text, one fact a line, closed by its own checksum:
//
//   freshet-checkpoint 2
//   place 1234                               (of the journal: steps from here on are not contained)
//   section runner 311 89abcdef01234567      (length, checksum over blocks of 64 KiB)
//   blocks rows.41 9911 0123456789abcdef     (may be one file with an older generation's)
//   file rocks/000012.sst 9911 0123456789abcdef
//   end fedcba9876543210
//
// A file of more than 1 MiB is checked by its length and its first and last 64 KiB: what places
// such files (RocksDB) checks every block of them itself, and reading gigabytes at each checkpoint
// would cost more than it finds.
#ifndef FRESHET_STAGE_CHECKPOINT_H
#define FRESHET_STAGE_CHECKPOINT_H

#include "base/disk.h"
#include "base/stream.h"

struct checkpoint_writer;
struct checkpoint_reader;

// Opens a section (one at a time; name of letters, digits, '-', '_', '.'); bytes written to
// *ret_sink go into it until the next section.
CHECKED enum status checkpoint_section(struct checkpoint_writer *writer, const char *name,
                                       struct sink *ret_sink, struct error *err);
// Opens a section of blocks that carry their own checksums, which whoever reads it checks: opening
// a checkpoint looks at its length alone. Its bytes come by checkpoint_give and checkpoint_take.
CHECKED enum status checkpoint_blocks(struct checkpoint_writer *writer, const char *name,
                                      struct error *err);
// Appends bytes to the open section and takes them over: the buffer is empty afterwards.
CHECKED enum status checkpoint_give(struct checkpoint_writer *writer, struct buffer *bytes,
                                    struct error *err);
// Of the newest generation there is, which must hold a section of that name: appends its bytes to
// the open section, or makes it a section of this generation too (the same file under one more
// name). What is missing shows when the checkpoint is to become durable.
CHECKED enum status checkpoint_take(struct checkpoint_writer *writer, const char *name,
                                    struct error *err);
CHECKED enum status checkpoint_keep(struct checkpoint_writer *writer, const char *name,
                                    struct error *err);
// Is there an older generation that shares no section with the newest? While there is none, one bad
// block could spoil every generation.
bool checkpoint_writer_fallback(const struct checkpoint_writer *writer);
// Bytes handed over that are not on disk yet: the time to stop and wait a little.
size_t checkpoint_writer_backlog(const struct checkpoint_writer *writer);
// Waits until no more than `bytes` of them are left, or the writing has failed.
void checkpoint_writer_wait(const struct checkpoint_writer *writer, size_t bytes);
const char *checkpoint_writer_path(const struct checkpoint_writer *writer); // the folder being made
// A file or a folder tree that the stage itself put below the writer's path, relative to it, and
// leaves alone from now on. It is synced.
CHECKED enum status checkpoint_add_file(struct checkpoint_writer *writer, const char *relative,
                                        struct error *err);

// STATUS_NOT_FOUND when the checkpoint has no such section. Reads from its beginning; one section
// is open at a time.
CHECKED enum status checkpoint_open_section(struct checkpoint_reader *reader, const char *name,
                                            struct source *ret_source, uint64_t *ret_length,
                                            struct error *err);
// A section of blocks, whose checksums are the caller's to check; closed by disk_close. Threads may
// read it at once. STATUS_NOT_FOUND as above.
CHECKED enum status checkpoint_open_blocks(struct checkpoint_reader *reader, const char *name,
                                           struct disk_file **ret_file, uint64_t *ret_length,
                                           struct error *err);
const char *checkpoint_reader_path(const struct checkpoint_reader *reader);

// What the runner and `freshet inspect` use.

// Begins a new generation below `directory` in a temporary folder.
CHECKED enum status checkpoint_writer_open(const char *directory,
                                           struct checkpoint_writer **ret_writer,
                                           struct error *err);
// Once durable the generation is to be copied to the folder `copy` (borrowed until the writer is
// closed), if not NULL: what stands there already is linked. A copy that fails is a warning;
// *ret_oldest_place of checkpoint_writer_poll then stays where the oldest copy needs it.
void checkpoint_writer_copy(struct checkpoint_writer *writer, const char *copy);
// Hands the rest over: the generation is to become durable and visible, then all but the newest
// `kept` generations go; the newest that stands on other files than they stays as well.
CHECKED enum status checkpoint_writer_finish(struct checkpoint_writer *writer, int64_t place,
                                             size_t kept, struct error *err);
// How far that is; with `wait`, waits for it. Any failure so far is returned.
// *ret_oldest_place: the journal's place of the oldest generation that is left.
CHECKED enum status checkpoint_writer_poll(struct checkpoint_writer *writer, bool wait,
                                           bool *ret_durable, int64_t *ret_oldest_place,
                                           struct error *err);
// Both at once.
CHECKED enum status checkpoint_writer_commit(struct checkpoint_writer *writer, int64_t place,
                                             size_t kept, int64_t *ret_oldest_place,
                                             struct error *err);
void checkpoint_writer_close(
    struct checkpoint_writer *writer); // what is not committed is left behind
uint64_t checkpoint_writer_generation(const struct checkpoint_writer *writer);

// Opens and verifies one generation. STATUS_CORRUPT, STATUS_NOT_FOUND.
CHECKED enum status checkpoint_reader_open(const char *directory, uint64_t generation,
                                           struct checkpoint_reader **ret_reader,
                                           struct error *err);
// The newest generation that verifies; each that does not is set aside with a warning in the name
// of `stage`. STATUS_NOT_FOUND when there is none.
CHECKED enum status checkpoint_reader_newest(const char *directory, const char *stage,
                                             struct checkpoint_reader **ret_reader,
                                             struct error *err);
// Sets a generation aside that showed itself corrupt (`reason`) only when it was read.
CHECKED enum status checkpoint_set_aside(const char *directory, uint64_t generation,
                                         const char *stage, const struct error *reason,
                                         struct error *err);
void checkpoint_reader_close(struct checkpoint_reader *reader);
uint64_t checkpoint_reader_generation(const struct checkpoint_reader *reader);
int64_t checkpoint_reader_place(const struct checkpoint_reader *reader);
// The sections and files, i from 0: the name and the length in bytes, or NULL past the last.
const char *checkpoint_reader_item(const struct checkpoint_reader *reader, size_t i,
                                   uint64_t *ret_length);
// Generations present, ascending, from the arena.
CHECKED enum status checkpoint_list(const char *directory, struct arena *arena,
                                    uint64_t **ret_generations, size_t *ret_count,
                                    struct error *err);

#endif
