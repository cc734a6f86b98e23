/* test_tensors.c - the reader of .tensors files on good, cut and hostile bytes. */
#include "harness.h"
#include "tensors.h"

#include <string.h>

#define HEADER "rondo tensors 1\n"

static const char sample[] = HEADER
    "# peer a name\n# empty \nf32 a 2 1\nu8 b\nf64 c 1\n\n"
    "\0\0\200\077\0\0\0\300"
    "\7"
    "\0\0\0\0\0\0\370\077";

static void reads_what_was_written(const void *parameter) {
  (void)parameter;
  char message[TENSORS_MESSAGE] = "";
  tensors *file = tensors_parse(sample, sizeof sample - 1, message);
  if (!EXPECT(file, "%s", message)) return;
  const float *a = tensors_f32(file, "a", 2);
  const double *c = tensors_f64(file, "c", 0);
  const tensor *b = tensors_find(file, "b");
  const char *peer = tensors_meta(file, "peer"), *empty = tensors_meta(file, "empty");
  EXPECT(a && a[0] == 1 && a[1] == -2, "the tensor a is wrong");
  EXPECT(b && b->rank == 0 && b->count == 1 && b->bytes == 1 && *(unsigned char *)b->data == 7,
         "the scalar b is wrong");
  EXPECT(c && c[0] == 1.5, "the tensor c is wrong");
  EXPECT(peer && !strcmp(peer, "a name"), "the value of peer is wrong");
  EXPECT(empty && !*empty, "the empty value is wrong");
  EXPECT(!tensors_f32(file, "a", 3) && !tensors_f32(file, "c", 1) && !tensors_f64(file, "d", 0) &&
             !tensors_meta(file, "pee"),
         "something was found that is not there");
  tensors_free(file);
}

/* Files that must be refused with a sentence. */
static void refuse(const char *bytes, size_t size, const char *what) {
  char message[TENSORS_MESSAGE] = "";
  char *exact = test_memory(size + !size); /* so that a sanitizer sees a read behind the end */
  memcpy(exact, bytes, size);
  tensors *file = tensors_parse(exact, size, message);
  EXPECT(!file && *message, "a file with %s was read", what);
  tensors_free(file);
}

static void refuses_every_cut(const void *parameter) {
  (void)parameter;
  for (size_t size = 0; size + 1 < sizeof sample; size++) refuse(sample, size, "its end cut off");
}

typedef struct hostile {
  const char *name, *bytes;
} hostile;

static const hostile hostile_files[] = {{"another_magic", "rondo tensors 2\n\n"},
                                        {"no_end", HEADER "# a b\n"},
                                        {"more_data", HEADER "u8 a\n\nxy"},
                                        {"no_data", HEADER "f32 a 1\n\n"},
                                        {"huge", HEADER "f32 a 4611686018427387905\n\n1234"},
                                        {"product_overflows", HEADER "f64 a 4294967296 4294967296\n\n12345678"},
                                        {"bytes_overflow", HEADER "f64 a 2305843009213693952\n\n"},
                                        {"digits_overflow", HEADER "u8 a 18446744073709551617\n\nx"},
                                        {"sum_overflows", HEADER "u8 a 1\nu8 b 18446744073709551615\n\nx"},
                                        {"zero", HEADER "u8 a 0\n\n"},
                                        {"negative", HEADER "u8 a -1\n\nx"},
                                        {"not_a_number", HEADER "u8 a 1x\n\nx"},
                                        {"two_spaces", HEADER "u8 a  1\n\nx"},
                                        {"space_at_end", HEADER "u8 a 1 \n\nx"},
                                        {"rank_9", HEADER "u8 a 1 1 1 1 1 1 1 1 1\n\nx"},
                                        {"no_name", HEADER "u8\n\nx"},
                                        {"empty_name", HEADER "u8 \n\nx"},
                                        {"type", HEADER "f16 a 1\n\nxy"},
                                        {"twice", HEADER "u8 a\nu8 a\n\nxy"},
                                        {"bare_mark", HEADER "#\n\n"},
                                        {"mark_without_key", HEADER "# \n\n"},
                                        {NULL, NULL}};

static void refuses(const void *parameter) {
  const hostile *file = parameter;
  refuse(file->bytes, strlen(file->bytes), file->name);
}

/* Any byte may be anything: the reader must come back, under a sanitizer without a complaint. */
static void survives_every_flip(const void *parameter) {
  (void)parameter;
  char message[TENSORS_MESSAGE] = "", *bytes = test_memory(sizeof sample - 1);
  for (size_t i = 0; i < sizeof sample - 1; i++) {
    for (int value = 0; value < 256; value++) {
      memcpy(bytes, sample, sizeof sample - 1);
      bytes[i] = (char)value;
      message[0] = 0;
      tensors *file = tensors_parse(bytes, sizeof sample - 1, message);
      EXPECT(!file == (*message != 0), "byte %zu as %d: a file and a sentence, or neither", i, value);
      tensors_free(file);
    }
  }
}

static void refuses_what_is_no_file(const void *parameter) {
  (void)parameter;
  char message[TENSORS_MESSAGE] = "";
  EXPECT(!tensors_read(RONDO_TEST_DATA "/golden/none.tensors", message) && strstr(message, "none.tensors"),
         "a missing file gives \"%s\"", message);
  EXPECT(!tensors_read(RONDO_TEST_DATA "/golden/index.txt", message), "index.txt was read as tensors");
  EXPECT(!tensors_read(RONDO_TEST_DATA, message), "a folder was read as tensors");
}

const test_suite test_tensors = {"Tensors", TEST_ONCE,
                                 (const test_row[]){{"reads_what_was_written", reads_what_was_written, NULL, 0},
                                                    {"refuses", refuses, TEST_TABLE(hostile_files)},
                                                    {"refuses_every_cut", refuses_every_cut, NULL, 0},
                                                    {"survives_every_flip", survives_every_flip, NULL, 0},
                                                    {"refuses_what_is_no_file", refuses_what_is_no_file, NULL, 0},
                                                    {NULL, NULL, NULL, 0}}};
