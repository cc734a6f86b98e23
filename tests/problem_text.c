/* problem_text.c - the strings of problems, both ways, from tables. */
#include "problem.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define AT(field) offsetof(problem, field)

static const struct cell_rule {
  const char *name;
  rondo_cell cell;
} cell_rules[] = {{"lstm", RONDO_LSTM}, {"gru", RONDO_GRU}, {"rnn", RONDO_RNN}, {"dense", RONDO_DENSE}};

typedef struct size_rule {
  char letter;
  size_t offset; /* of an int in problem */
  int fallback;  /* when it is left out; 0: required */
  int largest;
} size_rule;

static const size_rule size_rules[] = {
    {'n', AT(batch), 0, PROBLEM_MAX_SIZE},        {'t', AT(timesteps), 0, PROBLEM_MAX_SIZE},
    {'c', AT(input_size), 0, PROBLEM_MAX_SIZE},   {'h', AT(hidden_size), 0, PROBLEM_MAX_SIZE},
    {'l', AT(num_layers), 1, PROBLEM_MAX_LAYERS},
};

/* What follows an option's name. */
typedef enum option_kind {
  FLAG,     /* nothing */
  WORD,     /* "=" and one of words, whose place from 1 is the value of a second field */
  SIZE,     /* "=" and a whole number */
  NUMBER,   /* "=" and a number above 0, below limit */
  FUNCTION, /* "=" and a function */
  SIZED     /* "=" and a whole number, then perhaps "=" and a function in a second field */
} option_kind;

static const char *const merges[] = {"sum", "mul", "ave", "separate", NULL};
static const char *const masks[] = {"left", "holes", "rows", "right", NULL};
static const char *const types[] = {"f16", "bf16", "int8", NULL};

typedef struct option_rule {
  const char *name;
  option_kind kind;
  size_t offset; /* of an int, a float or a rondo_function in problem */
  size_t second; /* WORD, SIZED: of the second field. A WORD whose fields differ may be left out */
  const char *const *words;
  float limit;
} option_rule;

static const option_rule option_rules[] = {
    {"bi", WORD, AT(bidirectional), AT(merge), merges, 0},
    {"back", FLAG, AT(go_backwards), 0, NULL, 0},
    {"timeorder", FLAG, AT(time_order), 0, NULL, 0},
    {"before", FLAG, AT(reset_before), 0, NULL, 0},
    {"nobias", FLAG, AT(no_bias), 0, NULL, 0},
    {"time", FLAG, AT(time_major), 0, NULL, 0},
    {"strided", FLAG, AT(strided), 0, NULL, 0},
    {"len", FLAG, AT(lengths), 0, NULL, 0},
    {"mask", WORD, AT(mask), AT(mask), masks, 0},
    {"zero", FLAG, AT(zero_output_for_mask), 0, NULL, 0},
    {"h0", FLAG, AT(initial_state), 0, NULL, 0},
    {"slots", FLAG, AT(slots), 0, NULL, 0},
    {"restart", FLAG, AT(restart), 0, NULL, 0},
    {"act", FUNCTION, AT(activation), 0, NULL, 0},
    {"ract", FUNCTION, AT(recurrent_activation), 0, NULL, 0},
    {"oact", FUNCTION, AT(output_activation), 0, NULL, 0},
    {"peephole", FLAG, AT(peephole), 0, NULL, 0},
    {"cifg", FLAG, AT(input_forget), 0, NULL, 0},
    {"norm", FLAG, AT(layer_norm), 0, NULL, 0},
    {"proj", SIZE, AT(projection_size), 0, NULL, 0},
    {"cellclip", NUMBER, AT(cell_clip), 0, NULL, 1e6f},
    {"clip", NUMBER, AT(clip), 0, NULL, 1e6f},
    {"zoneout", NUMBER, AT(zoneout), 0, NULL, 1},
    {"zoneoutc", NUMBER, AT(zoneout_cell), 0, NULL, 1},
    {"dropout", NUMBER, AT(dropout), 0, NULL, 1},
    {"rdropout", NUMBER, AT(recurrent_dropout), 0, NULL, 1},
    {"ldropout", NUMBER, AT(layer_dropout), 0, NULL, 1},
    {"head", SIZED, AT(head_units), AT(head_activation), NULL, 0},
    {"recompute", FLAG, AT(recompute), 0, NULL, 0},
    {"weights", WORD, AT(weights), AT(weights), types, 0},
    {"tf32", FLAG, AT(allow_tf32), 0, NULL, 0},
    {"tiny", FLAG, AT(tiny), 0, NULL, 0},
    {"big", FLAG, AT(big), 0, NULL, 0},
};

static const char *const functions[RONDO_SOFTMAX + 1] = {
    NULL,           "tanh",        "sigmoid",
    "hard_sigmoid", "relu",        "linear",
    "softsign",     "softplus",    "elu",
    "selu",         "exponential", "silu",
    "gelu",         "leaky_relu",  "relu6",
    "mish",         "hard_silu",   "hard_tanh",
    "log_sigmoid",  "affine",      "thresholded_relu",
    "scaled_tanh",  "celu",        "squareplus",
    "soft_shrink",  "hard_shrink", "tanh_shrink",
    "threshold",    "sparse_plus", "sparse_sigmoid",
    "softmax",
};

static const float largest_parameter = 1e6f; /* of a function */

const char *problem_function_name(rondo_activation kind) {
  return (unsigned)kind <= RONDO_SOFTMAX ? functions[kind] : NULL;
}

/* ---- Parsing ----------------------------------------------------------------------------------------------------- */

/* A string, how far it is read, and where the sentence goes. */
typedef struct reader {
  const char *at;
  char *message;
  size_t size;
} reader;

/* The reason, and the place: what follows it in the string, with bytes that do not print shown as "?". */
__attribute__((format(printf, 3, 4))) static int refuse(const reader *r, const char *at, const char *format, ...) {
  char place[25] = "", reason[160];
  for (size_t i = 0; i < sizeof place - 1 && at[i]; i++) place[i] = isprint((unsigned char)at[i]) ? at[i] : '?';
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  snprintf(r->message, r->size, "%s at \"%s\"", reason, place);
  return 0;
}

/* Reads name if it stands there and nothing of a word follows. */
static int take_word(reader *r, const char *name) {
  size_t length = strlen(name);
  int follows = strncmp(r->at, name, length) == 0 && !isalnum((unsigned char)r->at[length]) && r->at[length] != '_';
  if (follows) r->at += length;
  return follows;
}

static int take_letter(reader *r, char letter) {
  int follows = *r->at == letter;
  r->at += follows;
  return follows;
}

/* The value of digits alone, at most just above largest; 0 when there are none. */
static int take_digits(reader *r, int largest) {
  int value = 0;
  for (; isdigit((unsigned char)*r->at) && value <= largest; r->at++) value = value * 10 + (*r->at - '0');
  return value;
}

/* A decimal number: what strtof takes beyond that (infinities, hexadecimals) is refused. */
static int take_number(reader *r, float *value) {
  const char *at = r->at, *digits = at + (*at == '-');
  if (digits[strspn(digits, "0123456789.")] && strchr("xX", digits[strspn(digits, "0123456789.")])) return 0;
  if (!isdigit((unsigned char)*digits) && *digits != '.') return 0;
  char *end;
  *value = strtof(at, &end);
  r->at = end;
  return end != at && isfinite(*value);
}

static void *field(problem *p, size_t offset) {
  return (char *)p + offset;
}

static int parse_cell(problem *p, reader *r) {
  for (int i = 0; i < COUNT(cell_rules); i++) {
    if (!take_word(r, cell_rules[i].name)) continue;
    p->cell = cell_rules[i].cell;
    return take_letter(r, ':') || refuse(r, r->at, "expected \":\" and sizes such as n3t5c7h9");
  }
  return refuse(r, r->at, "expected a cell, which is lstm, gru, rnn or dense,");
}

static int parse_sizes(problem *p, reader *r) {
  for (int i = 0; i < COUNT(size_rules); i++) {
    const size_rule *rule = &size_rules[i];
    const char *at = r->at;
    int value = rule->fallback;
    if (take_letter(r, rule->letter)) {
      value = take_digits(r, rule->largest);
      if (value < 1 || value > rule->largest)
        return refuse(r, at, "expected \"%c\" and a number in 1..%d", rule->letter, rule->largest);
    }
    if (!value) return refuse(r, at, "expected \"%c\" and a number", rule->letter);
    *(int *)field(p, rule->offset) = value;
  }
  return 1;
}

static int parse_word(problem *p, reader *r, const option_rule *rule) {
  const char *at = r->at;
  int optional = rule->offset != rule->second;
  *(int *)field(p, rule->offset) = 1;
  if (optional && *at != '=') return 1;
  if (take_letter(r, '='))
    for (int i = 0; rule->words[i]; i++) {
      if (!take_word(r, rule->words[i])) continue;
      *(int *)field(p, rule->second) = i + 1;
      return 1;
    }
  char known[100] = "";
  for (int i = 0; rule->words[i]; i++) {
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", rule->words[i]);
  }
  return refuse(r, at, "expected \"=\" and one of %s", known);
}

/* "(alpha)", "(alpha,beta)" or nothing. */
static int parse_parameters(rondo_function *f, reader *r) {
  const char *at = r->at;
  if (!take_letter(r, '(')) return 1;
  int good = take_number(r, &f->alpha);
  if (good && take_letter(r, ',')) good = take_number(r, &f->beta);
  good = good && take_letter(r, ')') && fabsf(f->alpha) <= largest_parameter && fabsf(f->beta) <= largest_parameter;
  return good || refuse(r, at, "expected \"(\", one or two numbers up to %g and \")\"", (double)largest_parameter);
}

static int parse_function(problem *p, reader *r, size_t offset) {
  rondo_function *f = field(p, offset);
  const char *at = r->at;
  if (take_letter(r, '='))
    for (int i = 1; i < COUNT(functions); i++) {
      if (!take_word(r, functions[i])) continue;
      f->kind = (rondo_activation)i;
      return parse_parameters(f, r);
    }
  return refuse(r, at, "expected \"=\" and a function such as tanh or relu");
}

static int parse_value(problem *p, reader *r, const option_rule *rule) {
  const char *at = r->at;
  if (rule->kind == NUMBER) {
    float *value = field(p, rule->offset);
    int good = take_letter(r, '=') && take_number(r, value) && *value > 0 && *value < rule->limit;
    return good || refuse(r, at, "expected \"=\" and a number above 0, below %g", (double)rule->limit);
  }
  int *value = field(p, rule->offset);
  if (take_letter(r, '=')) *value = take_digits(r, PROBLEM_MAX_SIZE);
  if (*value < 1 || *value > PROBLEM_MAX_SIZE)
    return refuse(r, at, "expected \"=\" and a number in 1..%d", PROBLEM_MAX_SIZE);
  return rule->kind == SIZE || *r->at != '=' || parse_function(p, r, rule->second);
}

static int parse_option(problem *p, reader *r, uint64_t *given) {
  for (int i = 0; i < COUNT(option_rules); i++) {
    const option_rule *rule = &option_rules[i];
    const char *at = r->at;
    if (!take_word(r, rule->name)) continue;
    if (*given >> i & 1) return refuse(r, at, "an option is given twice");
    *given |= (uint64_t)1 << i;
    switch (rule->kind) {
      case FLAG: *(int *)field(p, rule->offset) = 1; return 1;
      case WORD: return parse_word(p, r, rule);
      case FUNCTION: return parse_function(p, r, rule->offset);
      default: return parse_value(p, r, rule);
    }
  }
  return refuse(r, r->at, "expected an option such as back or time");
}

int problem_parse(problem *p, const char *text, char *message, size_t size) {
  problem parsed;
  reader r = {text, message, size};
  uint64_t given = 0;
  memset(&parsed, 0, sizeof parsed); /* the bytes between fields too, so that problems compare as bytes */
  if (!parse_cell(&parsed, &r) || !parse_sizes(&parsed, &r)) return 0;
  while (take_letter(&r, ':'))
    if (!parse_option(&parsed, &r, &given)) return 0;
  if (*r.at) return refuse(&r, r.at, "expected \":\" and an option, or the end,");
  if (parsed.tiny && parsed.big) return refuse(&r, r.at, "tiny and big exclude each other");
  if (parsed.lengths && parsed.mask) return refuse(&r, r.at, "len and mask exclude each other");
  if (parsed.weights && problem_trains(&parsed)) return refuse(&r, r.at, "weights and training exclude each other");
  *p = parsed;
  return 1;
}

/* ---- Printing ---------------------------------------------------------------------------------------------------- */

typedef struct writer {
  char *text;
  size_t size, used;
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (w->used < w->size) w->used += (size_t)vsnprintf(w->text + w->used, w->size - w->used, format, arguments);
  va_end(arguments);
}

/* With as few digits as give the same float again. */
static void put_number(writer *w, float value) {
  char text[32];
  for (int digits = 1; digits <= 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, (double)value);
    if (strtof(text, NULL) == value) break;
  }
  put(w, "%s", text);
}

static void put_function(writer *w, const rondo_function *f) {
  put(w, "=%s", functions[f->kind]);
  if (f->alpha == 0 && f->beta == 0) return;
  put(w, "(");
  put_number(w, f->alpha);
  if (f->beta != 0) put(w, ",");
  if (f->beta != 0) put_number(w, f->beta);
  put(w, ")");
}

/* All kinds of fields are zero when their option is not given, and begin with an int or a float. */
static int is_given(problem *p, const option_rule *rule) {
  return rule->kind == NUMBER ? *(float *)field(p, rule->offset) != 0 : *(int *)field(p, rule->offset) != 0;
}

static void put_option(writer *w, problem *p, const option_rule *rule) {
  int value = rule->kind == NUMBER ? 0 : *(int *)field(p, rule->offset);
  int word = rule->kind == WORD ? *(int *)field(p, rule->second) : 0;
  put(w, ":%s", rule->name);
  if (word) put(w, "=%s", rule->words[word - 1]);
  if (rule->kind == FUNCTION) put_function(w, field(p, rule->offset));
  if (rule->kind == NUMBER) put(w, "=");
  if (rule->kind == NUMBER) put_number(w, *(float *)field(p, rule->offset));
  if (rule->kind == SIZE || rule->kind == SIZED) put(w, "=%d", value);
  if (rule->kind == SIZED && ((rondo_function *)field(p, rule->second))->kind) put_function(w, field(p, rule->second));
}

char *problem_print(const problem *p, char *text, size_t size) {
  problem copy = *p;
  writer w = {text, size, 0};
  for (int i = 0; i < COUNT(cell_rules); i++)
    if (cell_rules[i].cell == p->cell) put(&w, "%s:", cell_rules[i].name);
  for (int i = 0; i < COUNT(size_rules); i++) {
    int value = *(int *)field(&copy, size_rules[i].offset);
    if (value != size_rules[i].fallback) put(&w, "%c%d", size_rules[i].letter, value);
  }
  for (int i = 0; i < COUNT(option_rules); i++)
    if (is_given(&copy, &option_rules[i])) put_option(&w, &copy, &option_rules[i]);
  return text;
}
