/* worker.c - answers the line protocol by which a comparing program sets Rondo beside its peers (bench/peers).
 *
 * A line of stdin is a shape as a JSON object, the answer a JSON object on a line of stdout:
 *
 *     {"cell":"lstm","timesteps":T,"batch":B,"input":I,"hidden":H,"layers":L,"directions":D,
 *      "precision":"f32"|"f16"|"bf16"|"int8","training":0|1,"seconds":S,"threads":N}
 *     {"seconds":[...]}         a time for every call, as many as fit S seconds
 *     {"error":"..."}           why there are none
 *
 * x is (T, B, I) and y (T, B, D*H). With training a call is forward and backward: dx and the gradients of all weights
 * from a dy. f16, bf16, int8 are the type of weights. The same shape again is timed at once, as it is still there and
 * warm. */
#include "bench.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { WARM_UP_CALLS = 3, LEAST_CALLS = 3, MOST_CALLS = 20000, LONGEST_LINE = 4096 };

/* What was asked for last, and what was made of it. */
typedef struct worker {
  const options *options;
  char key[512];     /* all of the request but its seconds; "" before the first one */
  char failure[512]; /* why this shape cannot be timed; "" when it can */
  rondo_context *ctx;
  subject subject;
  int open; /* whether there is a subject */
} worker;

typedef struct request {
  int timesteps, batch, input, hidden, layers, directions, training, threads;
  char cell[16], precision[16];
  double seconds;
} request;

/* Numbers are required but for those with a default above 0 (below: 0 is one too). */
static const struct {
  const char *name;
  size_t offset;
  int least, most, fallback; /* fallback -1: required */
} numbers[] = {
    {"timesteps", offsetof(request, timesteps), 1, PROBLEM_MAX_SIZE, -1},
    {"batch", offsetof(request, batch), 1, PROBLEM_MAX_SIZE, -1},
    {"input", offsetof(request, input), 1, PROBLEM_MAX_SIZE, -1},
    {"hidden", offsetof(request, hidden), 1, PROBLEM_MAX_SIZE, -1},
    {"layers", offsetof(request, layers), 1, PROBLEM_MAX_LAYERS, 1},
    {"directions", offsetof(request, directions), 1, 2, 1},
    {"training", offsetof(request, training), 0, 1, 0},
    {"threads", offsetof(request, threads), 1, 1024, 1},
};

static int read_number(request *r, const json_object *line, size_t which, char *message, size_t size) {
  const json_member *found = json_find(line, numbers[which].name);
  double value = found ? found->number : numbers[which].fallback;
  int known = found || numbers[which].fallback >= 0;
  if (!known || (found && found->is_text) || !(value >= numbers[which].least && value <= numbers[which].most) ||
      value != (int)value) {
    snprintf(message, size, "%s must be a whole number in %d..%d", numbers[which].name, numbers[which].least,
             numbers[which].most);
    return 0;
  }
  memcpy((char *)r + numbers[which].offset, &(int){(int)value}, sizeof(int));
  return 1;
}

static int read_request(request *r, const char *text, char *message, size_t size) {
  json_object line;
  const char *wrong = json_parse(&line, text);
  *r = (request){.cell = "lstm", .precision = "f32"};
  for (size_t i = 0; !wrong && i < sizeof numbers / sizeof *numbers; i++)
    if (!read_number(r, &line, i, message, size)) return 0;
  const json_member *cell = json_find(&line, "cell"), *precision = json_find(&line, "precision"),
                    *seconds = json_find(&line, "seconds");
  if (wrong)
    snprintf(message, size, "%s", wrong);
  else if (!seconds || seconds->is_text || !(seconds->number >= 0 && seconds->number <= 3600))
    snprintf(message, size, "seconds must be a number in 0..3600");
  else {
    r->seconds = seconds->number;
    if (cell) snprintf(r->cell, sizeof r->cell, "%.15s", cell->is_text ? cell->text : "?");
    if (precision) snprintf(r->precision, sizeof r->precision, "%.15s", precision->is_text ? precision->text : "?");
    return 1;
  }
  return 0;
}

/* f32 is the peers' word for "as exact as you are asked to be": what the command line says, then, is within it. */
static int request_weights(rondo_dtype *weights, const char *precision) {
  if (!strcmp(precision, "f16")) return *weights = RONDO_F16, 1;
  if (!strcmp(precision, "bf16")) return *weights = RONDO_BF16, 1;
  if (!strcmp(precision, "int8")) return *weights = RONDO_INT8, 1;
  return !strcmp(precision, "f32");
}

/* 1, or 0 and a sentence when no plan can say what is wanted; whether the library offers it is for the plan to find. */
static int request_plan(problem *p, rondo_plan_desc *desc, const request *r, const options *o, char *message,
                        size_t size) {
  static const struct {
    const char *name;
    rondo_cell cell;
  } cells[] = {{"lstm", RONDO_LSTM}, {"gru", RONDO_GRU}, {"rnn", RONDO_RNN}};
  size_t which = 0, count = sizeof cells / sizeof *cells;
  while (which < count && strcmp(cells[which].name, r->cell) != 0) which++;
  if (which == count) {
    snprintf(message, size, "cell %s is not lstm, gru or rnn", r->cell);
    return 0;
  }
  *p = (problem){
      .cell = cells[which].cell,
      .batch = r->batch,
      .timesteps = r->timesteps,
      .input_size = r->input,
      .hidden_size = r->hidden,
      .num_layers = r->layers,
      .bidirectional = r->directions == 2,
      .time_major = 1,
  };
  options asked = *o;
  asked.training = r->training;
  if (!r->training) asked.recompute = 0, asked.dropout = asked.recurrent_dropout = 0;
  if (!request_weights(&asked.weights, r->precision)) {
    snprintf(message, size, "precision %s is not offered, only f32, f16, bf16 and int8", r->precision);
    return 0;
  }
  *desc = options_plan(&asked, p);
  return 1;
}

static void worker_close(worker *w) {
  if (w->open) subject_close(&w->subject);
  rondo_context_destroy(w->ctx);
  w->ctx = NULL;
  w->open = 0;
}

/* Context, plan, data and warm-up for a shape that was not there before. On failure the sentence is in failure. */
static void worker_open(worker *w, const request *r) {
  problem p;
  rondo_plan_desc desc;
  rondo_context_desc context = w->options->context;
  context.threads = r->threads;
  worker_close(w);
  w->failure[0] = 0;
  if (!request_plan(&p, &desc, r, w->options, w->failure, sizeof w->failure)) return;
  const char *why = NULL;
  if (rondo_context_create(&w->ctx, &context) != RONDO_OK)
    why = rondo_last_error();
  else if (subject_open(&w->subject, w->ctx, &p, &desc, 0) != RONDO_OK)
    why = w->subject.why;
  else
    w->open = 1;
  for (int i = 0; !why && i < WARM_UP_CALLS; i++)
    if (subject_run(&w->subject) != RONDO_OK) why = w->subject.why;
  if (why) snprintf(w->failure, sizeof w->failure, "%s", why);
}

static void answer(const double *times, int count, const char *failure) {
  if (count) {
    printf("{\"seconds\":[");
    for (int i = 0; i < count; i++) printf("%s%.9g", i ? "," : "", times[i]);
    printf("]}\n");
  } else {
    printf("{\"error\":");
    json_write_text(stdout, failure);
    printf("}\n");
  }
  fflush(stdout);
}

static void worker_answer(worker *w, const char *line) {
  static double times[MOST_CALLS];
  char key[sizeof w->key], message[512];
  request r;
  if (!read_request(&r, line, message, sizeof message)) {
    answer(NULL, 0, message);
    return;
  }
  snprintf(key, sizeof key, "%s %s t%d n%d c%d h%d l%d d%d training %d threads %d", r.cell, r.precision, r.timesteps,
           r.batch, r.input, r.hidden, r.layers, r.directions, r.training, r.threads);
  if (strcmp(key, w->key) != 0) {
    worker_open(w, &r);
    memcpy(w->key, key, sizeof key);
  }
  int count = w->failure[0] ? 0 : subject_time(&w->subject, r.seconds, LEAST_CALLS, MOST_CALLS, times);
  if (!count && !w->failure[0]) snprintf(w->failure, sizeof w->failure, "%s", w->subject.why);
  answer(times, count, w->failure);
}

void worker_run(const options *o) {
  static char line[LONGEST_LINE];
  worker w = {.options = o};
  while (fgets(line, sizeof line, stdin)) {
    if (!strchr(line, '\n') && !feof(stdin)) { /* the rest of a line that is too long for any request */
      for (int c = getchar(); c != '\n' && c != EOF; c = getchar()) continue;
      answer(NULL, 0, "the line is too long");
    } else if (line[strspn(line, " \t\r\n")]) {
      worker_answer(&w, line);
    }
  }
  worker_close(&w);
}
