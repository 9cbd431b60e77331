// Matrix products: every instruction set of this machine against plain loops, at shapes around the
// edges of tiles and panels.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "model/product.h"

enum { MOST = 300 }; // of rows, depth and columns

static const size_t shapes[][3] = {
    // rows, depth, columns
    {1, 1, 1},      {1, 16, 220},  {2, 7, 31},     {5, 33, 32}, {6, 64, 33},
    {11, 3, 16},    {12, 20, 17},  {13, 20, 64},   {24, 0, 40}, {64, 128, 64},
    {257, 256, 36}, {300, 9, 300}, {150, 200, 96},
};

struct bench {
    real *a, *b, *c, *expected, *packed, *scratch;
};

static real *numbers(struct rng *rng, size_t count) {
    real *made = memory_new(count, sizeof *made);
    assert_non_null(made);
    for (size_t i = 0; i < count; i++)
        made[i] = (real)rng_normal(rng);
    return made;
}

static void bench_init(struct bench *bench) {
    struct rng rng;
    rng_init(&rng, 3);
    bench->a = numbers(&rng, MOST * MOST);
    bench->b = numbers(&rng, MOST * MOST);
    bench->c = numbers(&rng, MOST * MOST);
    bench->expected = numbers(&rng, MOST * MOST);
    bench->packed = memory_new(product_packed(MOST, MOST), sizeof(real));
    bench->scratch = memory_new(PRODUCT_SCRATCH, sizeof(real));
    assert_non_null(bench->packed);
    assert_non_null(bench->scratch);
}

static void bench_deinit(struct bench *bench) {
    memory_free(bench->a);
    memory_free(bench->b);
    memory_free(bench->c);
    memory_free(bench->expected);
    memory_free(bench->packed);
    memory_free(bench->scratch);
    assert_true(product_choose(0));
}

// expected = alpha * sum over i of a(r, i) b(i, j) (+ c), in double; a turned: a(r, i) = a[i][r].
static void expect(struct bench *bench, size_t rows, size_t depth, size_t columns, bool turned,
                   double alpha, bool add) {
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++) {
            double sum = 0;
            for (size_t i = 0; i < depth; i++)
                sum += (double)(turned ? bench->a[i * MOST + r] : bench->a[r * MOST + i]) *
                       (double)bench->b[i * MOST + j];
            bench->expected[r * MOST + j] =
                (real)(alpha * sum + (add ? (double)bench->c[r * MOST + j] : 0));
        }
}

// All of c that the product owns is as expected, and nothing beside it was written.
static void check(const struct bench *bench, const real *before, size_t rows, size_t columns) {
    for (size_t r = 0; r < MOST; r++)
        for (size_t j = 0; j < MOST; j++) {
            size_t at = r * MOST + j;
            if (r < rows && j < columns)
                assert_true(fabs((double)(bench->c[at] - bench->expected[at])) < 2e-4);
            else
                assert_true(memcmp(&bench->c[at], &before[at], sizeof(real)) == 0);
        }
}

static void products_equal_plain_loops_with_every_instruction_set(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    static real before[MOST * MOST];
    for (size_t set = 0; product_choose(set); set++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (int add = 0; add < 2; add++) {
                size_t rows = shapes[i][0], depth = shapes[i][1], columns = shapes[i][2];
                memcpy(before, bench.c, sizeof before);
                expect(&bench, rows, depth, columns, false, 1, add);
                product_pack(bench.b, NULL, MOST, 0, depth, depth, columns, bench.packed);
                product_rows(bench.a, MOST, rows, bench.packed, depth, columns, add, bench.c, MOST);
                check(&bench, before, rows, columns);
                memcpy(before, bench.c, sizeof before);
                expect(&bench, rows, depth, columns, true, 0.5, add);
                product_sums(bench.a, MOST, rows, bench.b, MOST, columns, depth, (real)0.5, add,
                             bench.c, MOST, bench.scratch);
                check(&bench, before, rows, columns);
            }
    bench_deinit(&bench);
}

static void a_packed_operand_is_the_matrix_or_its_transpose_times_the_factors(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t rows = shapes[i][0], columns = shapes[i][2];
        for (size_t first = 0; first < rows;
             first += PRODUCT_PANEL) // in parts, as several threads do
            product_pack(bench.a, bench.b, MOST, first,
                         rows - first < PRODUCT_PANEL ? rows - first : PRODUCT_PANEL, rows, columns,
                         bench.packed);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) {
                real found =
                    bench
                        .packed[(c / PRODUCT_PANEL * rows + r) * PRODUCT_PANEL + c % PRODUCT_PANEL];
                real wanted = bench.a[r * MOST + c] * bench.b[r * MOST + c];
                assert_true(memcmp(&found, &wanted, sizeof found) == 0);
            }
        for (size_t first = 0; first < rows; first += PRODUCT_PANEL)
            product_pack_turned(bench.a, bench.b, MOST, first,
                                rows - first < PRODUCT_PANEL ? rows - first : PRODUCT_PANEL,
                                columns, bench.packed);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) {
                real found = bench.packed[(r / PRODUCT_PANEL * columns + c) * PRODUCT_PANEL +
                                          r % PRODUCT_PANEL];
                real wanted = bench.a[r * MOST + c] * bench.b[r * MOST + c];
                assert_true(memcmp(&found, &wanted, sizeof found) == 0);
            }
    }
    bench_deinit(&bench);
}

static void a_row_is_the_same_whoever_stands_beside_it_and_in_every_set_of_a_kind(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    product_pack(bench.b, NULL, MOST, 0, 100, 100, 77, bench.packed);
    const char *build = NULL;
    for (size_t set = 0; product_choose(set); set++) {
        if (!build || strcmp(build, product_build()) != 0)
            product_rows(bench.a, MOST, MOST, bench.packed, 100, 77, false, bench.expected, MOST);
        build = product_build();
        for (size_t r = 0; r < MOST; r++)
            product_rows(bench.a + r * MOST, MOST, 1, bench.packed, 100, 77, false,
                         bench.c + r * MOST, MOST);
        for (size_t r = 0; r < MOST; r++)
            assert_memory_equal(bench.c + r * MOST, bench.expected + r * MOST, 77 * sizeof(real));
    }
    bench_deinit(&bench);
}

static void rows_are_picked_up_by_their_index(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    const uint32_t index[] = {7, 0, 7, 250, 3, 11, 12};
    for (size_t set = 0; product_choose(set); set++)
        for (size_t count = 0; count <= 7; count++) {
            real sum[PRODUCT_PANEL];
            product_pick(bench.a, MOST, index, count, sum);
            for (size_t c = 0; c < PRODUCT_PANEL; c++) {
                double expected = 0;
                for (size_t i = 0; i < count; i++)
                    expected += (double)bench.a[index[i] * MOST + c];
                assert_true(fabs((double)sum[c] - expected) < 1e-5);
            }
        }
    bench_deinit(&bench);
}

static void part_of_a_packed_operand_multiplies_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    product_pack(bench.b, NULL, MOST, 0, 100, 100, 77, bench.packed);
    for (size_t set = 0; product_choose(set); set++) {
        // Both halves of the inner dimension, one after the other, are the whole.
        product_rows_part(bench.a, MOST, 30, bench.packed, 100, 0, 40, 77, false, bench.c, MOST);
        product_rows_part(bench.a + 40, MOST, 30, bench.packed, 100, 40, 60, 77, true, bench.c,
                          MOST);
        expect(&bench, 30, 100, 77, false, 1, false);
        for (size_t r = 0; r < 30; r++)
            for (size_t c = 0; c < 77; c++)
                assert_true(fabs((double)(bench.c[r * MOST + c] - bench.expected[r * MOST + c])) <
                            2e-4);
    }
    bench_deinit(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_plain_loops_with_every_instruction_set),
        cmocka_unit_test(a_packed_operand_is_the_matrix_or_its_transpose_times_the_factors),
        cmocka_unit_test(a_row_is_the_same_whoever_stands_beside_it_and_in_every_set_of_a_kind),
        cmocka_unit_test(rows_are_picked_up_by_their_index),
        cmocka_unit_test(part_of_a_packed_operand_multiplies_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
