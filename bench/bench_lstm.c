/* bench_lstm.c - checks and times recurrent layers: what the command line asks for, one problem after the other. */
#define _GNU_SOURCE /* getopt_long, isatty */
#include "bench.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: bench_lstm [PROBLEM...] [options]\n"
    "Checks each problem against the formulas in double, then times it. PROBLEM is a name of --list or a problem "
    "string\n"
    "such as lstm:n1t25c512h512 or gru:... (batch, timesteps, inputs, units; then l2 for two layers, :bi for both\n"
    "directions, :time for time-major, ...).\n"
    "Without one: all of --list that the library offers, and recorded speech.\n"
    "\n"
    "  --backend reference|cpu|cuda|auto   where to run; auto: cuda if it works, else cpu (the default)\n"
    "  --algorithm auto|stepwise|hoisted|persistent\n"
    "  --precision f32|tf32                tf32: cuda may round products' inputs to 10 bits\n"
    "  --weights f32|f16|bf16|int8         how the weights are kept\n"
    "  --training                          time forward and backward: dx and the gradients of all weights\n"
    "  --dropout R, --recurrent-dropout R  rates, with --training\n"
    "  --recompute                         with --training: gates are made again, not kept\n"
    "  --lengths full|uniform              uniform: sequences end anywhere in 1..T\n"
    "  --threads N                         of the cpu backend (1)\n"
    "  --isa best|portable|avx2|avx512|avx512_bf16   the newest instruction set that the cpu backend may use\n"
    "  --seconds S                         how long to time each problem (1)\n"
    "  --real FILE                         stream the recorded speech of FILE, frame by frame\n"
    "  --json FILE|-                       write all figures as JSON; -: to stdout, in place of the table\n"
    "  --worker                            answer the line protocol of bench/peers on stdin and stdout\n"
    "  --list, --help, --version\n";

__attribute__((format(printf, 1, 2))) static exit_code refuse(const char *format, ...) {
  va_list arguments;
  fprintf(stderr, "bench_lstm: ");
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\n");
  return EXIT_USAGE;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* Words in the order of an enumeration's values. */
static const char *const backends[] = {"auto", "cpu", "cuda", "reference", NULL};
static const char *const algorithms[] = {"auto", "stepwise", "hoisted", "persistent", NULL};
static const char *const isas[] = {"best", "portable", "avx2", "avx512", "avx512_bf16", NULL};
static const char *const precisions[] = {"f32", "tf32", NULL};
static const char *const types[] = {"f32", "f16", "bf16", "int8", NULL};
static const char *const lengths[] = {"full", "uniform", NULL};

/* The place of the option's word in words; or -1, and the sentence is printed. */
static int choose(const char *option, const char *word, const char *const words[]) {
  for (int i = 0; words[i]; i++)
    if (!strcmp(words[i], word)) return i;
  fprintf(stderr, "bench_lstm: --%s %s is not one of", option, word);
  for (int i = 0; words[i]; i++) fprintf(stderr, "%s %s", i ? "," : "", words[i]);
  fprintf(stderr, "\n");
  return -1;
}

/* The option's number; or -1, and the sentence is printed. */
static double number(const char *option, const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (end != text && !*end && value >= least && value <= most) return value;
  refuse("--%s %s is not a number in %g..%g", option, text, least, most);
  return -1;
}

static const struct option long_options[] = {
    {"backend", required_argument, NULL, 'b'},
    {"algorithm", required_argument, NULL, 'a'},
    {"precision", required_argument, NULL, 'p'},
    {"weights", required_argument, NULL, 'W'},
    {"training", no_argument, NULL, 'T'},
    {"dropout", required_argument, NULL, 'd'},
    {"recurrent-dropout", required_argument, NULL, 'R'},
    {"recompute", no_argument, NULL, 'c'},
    {"lengths", required_argument, NULL, 'L'},
    {"threads", required_argument, NULL, 't'},
    {"isa", required_argument, NULL, 'i'},
    {"seconds", required_argument, NULL, 's'},
    {"real", required_argument, NULL, 'r'},
    {"json", required_argument, NULL, 'j'},
    {"worker", no_argument, NULL, 'w'},
    {"list", no_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

/* One option; 0 when its argument is none. */
static int take_option(options *o, int letter) {
  int choice = 0;
  double value = 0;
  switch (letter) {
    case 'b': choice = choose("backend", optarg, backends), o->context.backend = (rondo_backend)choice; break;
    case 'a': choice = choose("algorithm", optarg, algorithms), o->algorithm = (rondo_algorithm)choice; break;
    case 'i': choice = choose("isa", optarg, isas), o->context.max_isa = (rondo_isa)choice; break;
    case 'p': choice = choose("precision", optarg, precisions), o->allow_tf32 = choice == 1; break;
    case 'W': choice = choose("weights", optarg, types), o->weights = (rondo_dtype)choice; break;
    case 'L': choice = choose("lengths", optarg, lengths), o->ragged = choice == 1; break;
    case 'd': value = number("dropout", optarg, 0, 0.99), o->dropout = (float)value; break;
    case 'R': value = number("recurrent-dropout", optarg, 0, 0.99), o->recurrent_dropout = (float)value; break;
    case 'T': o->training = 1; break;
    case 'c': o->recompute = 1; break;
    case 't': value = number("threads", optarg, 1, 1024), o->context.threads = (int)value; break;
    case 's': value = number("seconds", optarg, 0, 3600), o->seconds = value; break;
    case 'r': o->speech = optarg; break;
    case 'j': o->json = optarg; break;
    case 'w': o->worker = 1; break;
    case 'l': o->list = 1; break;
    case 'h': o->help = 1; break;
    case 'v': o->version = 1; break;
    default: return 0; /* getopt_long has printed a sentence */
  }
  return choice >= 0 && value >= 0;
}

/* A worker is told of training line by line. */
static exit_code check_training(const options *o) {
  int trains = o->training || o->worker;
  if (o->dropout > 0 && !trains) return refuse("--dropout is for --training");
  if (o->recurrent_dropout > 0 && !trains) return refuse("--recurrent-dropout is for --training");
  if (o->recompute && !trains) return refuse("--recompute is for --training");
  if (o->training && o->speech) return refuse("--real is not for --training");
  if (o->ragged && o->worker) return refuse("--lengths is not for --worker, whose peers have full sequences");
  if (o->training && o->worker) return refuse("--worker is told of training on stdin");
  return EXIT_FINE;
}

static exit_code read_options(options *o, int argc, char **argv) {
  *o = (options){.seconds = 1, .context = {.threads = 1}};
  for (int letter; (letter = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
    if (!take_option(o, letter)) return EXIT_USAGE;
  o->problems = (const char **)argv + optind;
  o->problem_count = argc - optind;
  for (int i = 0; i < o->problem_count; i++) {
    problem p;
    char message[PROBLEM_TEXT];
    if (!problem_parse(&p, shape_problem(o->problems[i]), message, sizeof message))
      return refuse("%s is neither a name of --list nor a problem string: %s", o->problems[i], message);
    if (o->ragged && p.mask) return refuse("--lengths is not for %s, which has a mask", o->problems[i]);
    if (o->ragged && !problem_has_state(&p))
      return refuse("--lengths is not for %s: dense, it skips no timestep", o->problems[i]);
    if (!o->training && problem_trains(&p))
      return refuse("%s has dropout or recompute, which are for --training", o->problems[i]);
  }
  if (o->worker && o->problem_count) return refuse("--worker takes its problems from stdin, not %s", o->problems[0]);
  return check_training(o);
}

static void list_shapes(void) {
  for (const shape *row = shapes; row->name; row++) printf("%-16s %s\n", row->name, row->problem);
}

/* Without a problem and a file: the whole table, and the speech that the source tree holds, if it is there, which is
 * not for training. */
static void use_defaults(options *o) {
  static const char *names[64];
  static const char speech_file[] = RONDO_DATA_DIR "/silero_vad_lstm.tensors";
  if (o->problem_count || o->speech) return;
  o->problems = names;
  while (shapes[o->problem_count].name) names[o->problem_count] = shapes[o->problem_count].name, o->problem_count++;
  if (o->training) return;
  if (!access(speech_file, R_OK))
    o->speech = speech_file;
  else
    fprintf(stderr, "bench_lstm: no recorded speech: %s cannot be read\n", speech_file);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* A line on a terminal that says what goes on, and gives way to the next; nothing elsewhere. NULL: clears it. */
static void progress(int done, int count, const char *what) {
  if (!isatty(STDERR_FILENO)) return;
  if (what)
    fprintf(stderr, "\r\033[K[%d/%d] %s", done + 1, count, what);
  else
    fprintf(stderr, "\r\033[K");
  fflush(stderr);
}

typedef struct run {
  const options *options;
  rondo_context *ctx;
  limits limits;
  result *results; /* (problem_count) */
  speech speech;
  FILE *text; /* for people */
  int frozen; /* whether graphs are timed too */
} run;

static int longest_name(const options *o) {
  size_t longest = strlen("problem");
  for (int i = 0; i < o->problem_count; i++)
    if (strlen(o->problems[i]) > longest) longest = strlen(o->problems[i]);
  return (int)longest;
}

/* A problem that is not offered is only noted, unless there is no other. */
static exit_code run_problems(run *r) {
  const options *o = r->options;
  int width = longest_name(o), offered = 0;
  exit_code code = EXIT_FINE;
  if (!o->problem_count) return code;
  report_columns(r->text, width, r->frozen);
  for (int i = 0; i < o->problem_count; i++) {
    result *line = &r->results[i];
    line->name = o->problems[i];
    snprintf(line->problem, sizeof line->problem, "%s", shape_problem(o->problems[i]));
    progress(i, o->problem_count + !!o->speech, line->name);
    rondo_status status = problem_measure(line, r->ctx, o, &r->limits);
    progress(0, 0, NULL);
    if (status == RONDO_OK) report_row(r->text, line, width, r->frozen);
    if (status == RONDO_OK ? check_wrong(&line->check) : status != RONDO_UNSUPPORTED) code = EXIT_WRONG;
    offered += status != RONDO_UNSUPPORTED;
  }
  report_notes(r->text, r->results, o->problem_count, width, r->frozen);
  return offered ? code : refuse("%s: %s", r->results[0].name, r->results[0].reason);
}

static exit_code run_speech(run *r) {
  char message[512];
  progress(r->options->problem_count, r->options->problem_count + 1, "recorded speech");
  rondo_status status = speech_measure(&r->speech, r->ctx, r->options, message, sizeof message);
  progress(0, 0, NULL);
  if (status != RONDO_OK) {
    refuse("%s: %s", r->options->speech, message);
    return status == RONDO_BAD_FILE || status == RONDO_UNSUPPORTED ? EXIT_USAGE : EXIT_WRONG;
  }
  report_speech(r->text, &r->speech);
  return speech_wrong(&r->speech) ? EXIT_WRONG : EXIT_FINE;
}

static exit_code write_json(const run *r) {
  const options *o = r->options;
  int to_stdout = !strcmp(o->json, "-");
  FILE *file = to_stdout ? stdout : fopen(o->json, "w");
  if (!file) return refuse("--json %s cannot be written", o->json);
  report_json(file, rondo_context_text(r->ctx), &r->limits, is_simulated(r->ctx), r->results, o->problem_count,
              o->speech ? &r->speech : NULL);
  int failed = ferror(file);
  if (!to_stdout) failed |= fclose(file);
  return failed ? refuse("--json %s cannot be written", o->json) : EXIT_FINE;
}

static exit_code run_all(run *r) {
  const options *o = r->options;
  rondo_backend backend = rondo_context_backend(r->ctx);
  r->frozen = backend == RONDO_CUDA && !o->training;
  if (backend != RONDO_CUDA)
    limits_measure(&r->limits, o->context.max_isa, backend == RONDO_CPU ? o->context.threads : 1);
  report_header(r->text, rondo_context_text(r->ctx), &r->limits, is_simulated(r->ctx));
  exit_code code = run_problems(r);
  if (code != EXIT_USAGE && o->speech) {
    exit_code speech_code = run_speech(r);
    if (code == EXIT_FINE) code = speech_code;
  }
  if (code != EXIT_USAGE && o->json && write_json(r) != EXIT_FINE) code = EXIT_USAGE;
  return code;
}

static exit_code refuse_backend(const options *o) {
  return refuse("--backend %s cannot run here: %s", backends[o->context.backend], rondo_last_error());
}

/* As a worker; a backend that cannot run is better said at once than to every line. */
static exit_code serve(const options *o) {
  rondo_context *ctx;
  if (rondo_context_create(&ctx, &o->context) != RONDO_OK) return refuse_backend(o);
  rondo_context_destroy(ctx);
  worker_run(o);
  return EXIT_FINE;
}

static exit_code bench(options *o) {
  run r = {.options = o, .text = stdout};
  if (rondo_context_create(&r.ctx, &o->context) != RONDO_OK) return refuse_backend(o);
  use_defaults(o);
  if (o->json && !strcmp(o->json, "-")) r.text = fopen("/dev/null", "w");
  r.results = calloc((size_t)o->problem_count + 1, sizeof *r.results);
  exit_code code = r.text && r.results ? run_all(&r) : refuse("no host memory");
  if (r.text && r.text != stdout) fclose(r.text);
  free(r.results);
  rondo_context_destroy(r.ctx);
  return code;
}

int main(int argc, char **argv) {
  options o;
  exit_code code = read_options(&o, argc, argv);
  if (code != EXIT_FINE) return code;
  if (o.help) return fputs(usage, stdout), EXIT_FINE;
  if (o.version) return printf("bench_lstm %s\n", rondo_version()), EXIT_FINE;
  if (o.list) return list_shapes(), EXIT_FINE;
  return o.worker ? serve(&o) : bench(&o);
}
