/* The most that one core can multiply: products of values that stay in registers, as fast as they can be issued.
 * Prints the name of the instructions and 10^9 operations a second (a product and a sum are two), 8 bit and float,
 * and how many 10^9 bytes a second are read from a buffer of argv[1] bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define UNROLL 16
#define ROUNDS 20000000L

#if defined(__AMX_INT8__) && defined(__linux__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
static double now(void);

/* Products of whole tiles: 16 rows of 64 bytes by 64 rows of 16, into four sums in turn. 0 where the system forbids them. */
static double tiles(long rounds) {
    struct {
        uint8_t palette, first_row, unused[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    if (syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */)) return 0;
    for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = 16;
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
    static const uint8_t nothing[64];
    _tile_loadd(0, nothing, 0);
    _tile_loadd(1, nothing, 0);
    _tile_loadd(2, nothing, 0);
    _tile_loadd(3, nothing, 0);
    _tile_loadd(4, nothing, 0);
    _tile_loadd(5, nothing, 0);
    _tile_loadd(6, nothing, 0);
    _tile_loadd(7, nothing, 0);
    double start = now();
    for (long i = 0; i < rounds; i++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    double seconds = now() - start;
    __asm__ volatile("tilerelease");
    return 2.0 * 4 * 16 * 16 * 64 * rounds / seconds / 1e9;
}
#else
static double tiles(long rounds) {
    (void)rounds;
    return 0;
}
#endif

#if defined(__AVX512VNNI__)
#include <immintrin.h>
typedef __m512i ints;
typedef __m512 floats;
#define NAME8 "vpdpbusd, 512 bit"
#define NAMEF "vfmadd231ps, 512 bit"
#define LANES8 64
#define LANESF 16
#define STEP8(acc, a, b) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#define STEPF(acc, a, b) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
typedef __m256i ints;
typedef __m256 floats;
#define LANES8 32
#define LANESF 8
#if defined(__AVXVNNI__)
#define NAME8 "vpdpbusd, 256 bit"
#define STEP8(acc, a, b) __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#else
#define NAME8 "vpmaddubsw, vpmaddwd, vpaddd, 256 bit"
#define STEP8(acc, a, b) __asm__ volatile("vpmaddubsw %2, %1, %%ymm15\n\tvpmaddwd %1, %%ymm15, %%ymm15\n\t" \
    "vpaddd %%ymm15, %0, %0" : "+x"(acc) : "x"(a), "x"(b) : "ymm15")
#endif
#define NAMEF "vfmadd231ps, 256 bit"
#define STEPF(acc, a, b) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#undef UNROLL
#define UNROLL 12
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
typedef int32x4_t ints;
typedef float32x4_t floats;
#define NAME8 "sdot, 128 bit"
#define NAMEF "fmla, 128 bit"
#define LANES8 16
#define LANESF 4
#define STEP8(acc, a, b) __asm__ volatile("sdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(a), "w"(b))
#define STEPF(acc, a, b) __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(acc) : "w"(a), "w"(b))
#else
#error "no loop for this processor"
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The bodies are unrolled by the compiler: an accumulator in memory would measure memory. */
#define MEASURE(type, STEP, lanes, result)                                                                            \
    do {                                                                                                              \
        type acc[UNROLL] = {{0}}, a = {0}, b = {0};                                                                   \
        double start = now();                                                                                         \
        for (long round = 0; round < ROUNDS; round++)                                                                 \
            _Pragma("GCC unroll 16") for (int i = 0; i < UNROLL; i++) STEP(acc[i], a, b);                             \
        result = 2.0 * lanes * UNROLL * ROUNDS / (now() - start) / 1e9;                                               \
    } while (0)

static double read_rate(size_t bytes) {
    size_t n = bytes / sizeof(uint64_t);
    uint64_t *buffer = malloc(n * sizeof(uint64_t)), sum = 0;
    if (!buffer) return 0;
    for (size_t i = 0; i < n; i++) buffer[i] = i;
    double best = 0;
    for (int round = 0; round < 20; round++) {
        double start = now();
        for (size_t i = 0; i < n; i++) sum += buffer[i];
        double rate = n * sizeof(uint64_t) / (now() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    __asm__ volatile("" : : "r"(sum));
    free(buffer);
    return best;
}

int main(int argc, char **argv) {
    double eight, whole, matrices = tiles(ROUNDS);
    MEASURE(ints, STEP8, LANES8, eight);
    MEASURE(floats, STEPF, LANESF, whole);
    const char *name = matrices > eight ? "tdpbusd, AMX" : NAME8;
    if (matrices > eight) eight = matrices;
    printf("%s|%.1f|%s|%.1f|%.2f\n", name, eight, NAMEF, whole, argc > 1 ? read_rate(strtoul(argv[1], 0, 10)) : 0);
    return 0;
}
